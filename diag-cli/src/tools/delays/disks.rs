//! For whom disks worked while groups waited for them.

use std::collections::HashMap;

use diag_common::delays::Cell;

/// Time for which one group waited for what a disk did for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// The numbers of the groups.
    pub(super) waiter: u32,
    pub(super) submitter: u32,
    /// For how long, ns.
    pub(super) ns: u64,
}

/// Divides the time for which groups waited for each disk by the time that the disk's requests took, of each group that wanted some. Both
/// have a group's number above and the disk's below.
pub(super) fn shared(waited: &HashMap<u64, Cell>, served: &HashMap<u64, Cell>) -> Vec<Share> {
    let mut disks: HashMap<u32, Vec<(u32, u64)>> = HashMap::new();
    for (&of, cell) in served {
        disks.entry(of as u32).or_default().push(((of >> 32) as u32, cell.ns));
    }
    let mut shares = Vec::new();
    for (&of, cell) in waited {
        let submitters = disks.get(&(of as u32)).map_or(&[][..], Vec::as_slice);
        let whole: u128 = submitters.iter().map(|&(_, ns)| u128::from(ns)).sum();
        shares.extend(submitters.iter().filter(|&&(_, ns)| ns > 0).map(|&(submitter, ns)| Share {
            waiter: (of >> 32) as u32,
            submitter,
            ns: (u128::from(cell.ns) * u128::from(ns) / whole) as u64,
        }));
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(times: &[(u64, u64, u64)]) -> HashMap<u64, Cell> {
        times.iter().map(|&(who, disk, ns)| (who << 32 | disk, Cell { count: 1, ns })).collect()
    }

    #[test]
    fn a_wait_is_divided_by_what_its_disk_did() {
        let waited = table(&[(1, 7, 900), (1, 8, 50), (2, 9, 10)]);
        let served = table(&[(1, 7, 100), (3, 7, 200), (4, 7, 600), (5, 8, 1)]);
        let mut shares = shared(&waited, &served);
        shares.sort_by_key(|share| (share.waiter, share.submitter));
        let share = |waiter, submitter, ns| Share { waiter, submitter, ns };
        assert_eq!(shares, [share(1, 1, 100), share(1, 3, 200), share(1, 4, 600), share(1, 5, 50)]);
    }
}
