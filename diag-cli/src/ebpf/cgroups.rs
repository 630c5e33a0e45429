//! Cgroups that are made while a session traces.

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use diag_common::cgroup::{Made, PATH_BYTES};

use super::maps::take;

/// The ring that their names come through.
pub(crate) struct CgroupsMade(RingBuf<MapData>);

/// Where a path begins in an event.
const PATH: usize = size_of::<Made>() - PATH_BYTES;

impl CgroupsMade {
    /// Takes the ring out of an object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<CgroupsMade> {
        Ok(CgroupsMade(take(ebpf, "CGROUPS_MADE")?))
    }

    /// Hands on those that were made since the last call: their hierarchy's number, id and path.
    pub(crate) fn each(&mut self, mut learn: impl FnMut(u32, u64, &[u8])) {
        while let Some(event) = self.0.next() {
            if let Some((hierarchy, id, path)) = read(&event) {
                learn(hierarchy, id, path);
            }
        }
    }
}

/// Hierarchy, id and path of an event.
fn read(event: &[u8]) -> Option<(u32, u64, &[u8])> {
    let id = u64::from_ne_bytes(event.get(..8)?.try_into().ok()?);
    let hierarchy = u32::from_ne_bytes(event.get(8..12)?.try_into().ok()?);
    let length = u32::from_ne_bytes(event.get(12..PATH)?.try_into().ok()?);
    Some((hierarchy, id, event.get(PATH..PATH.checked_add(length as usize)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_far_as_it_goes() {
        let event =
            [&7_u64.to_ne_bytes()[..], &4_u32.to_ne_bytes(), &5_u32.to_ne_bytes(), b"/ci/1\0"].concat();
        assert_eq!(read(&event), Some((4, 7, &b"/ci/1"[..])));
        for cut in 0..event.len() - 1 {
            assert_eq!(read(&event[..cut]), None, "{cut}");
        }
    }
}
