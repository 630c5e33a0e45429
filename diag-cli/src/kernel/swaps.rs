//! What memory is swapped out to.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use super::mountinfo;

/// The devices that have swapped-out pages, in the kernel's own encoding: partitions, and those on which swap files are.
pub(crate) fn devices() -> Vec<u32> {
    let table = fs::read("/proc/swaps").unwrap_or_default();
    let mut devices: Vec<u32> = table.split(|&byte| byte == b'\n').skip(1).filter_map(device).collect();
    devices.sort_unstable();
    devices.dedup();
    devices
}

/// Of a line `Filename Type Size Used Priority`.
fn device(line: &[u8]) -> Option<u32> {
    let (name, kind) = used(line)?;
    let metadata = fs::metadata(Path::new(OsStr::from_bytes(&name))).ok()?;
    let dev = if kind == b"partition" { metadata.rdev() } else { metadata.dev() };
    Some(libc::major(dev) << 20 | libc::minor(dev))
}

/// Name and type of what has anything in it.
fn used(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (name, kind, _, used) = (words.next()?, words.next()?, words.next()?, words.next()?);
    (used != b"0").then(|| (mountinfo::unescape(name), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_nothing_in_it_does_not_count() {
        let line = b"/swap\\040file                           file\t\t262140\t\t128\t\t-2";
        assert_eq!(used(line), Some((b"/swap file".to_vec(), &b"file"[..])));
        assert_eq!(used(b"/dev/zram0 partition 262140 0 100"), None);
        assert_eq!(used(b""), None);
    }
}
