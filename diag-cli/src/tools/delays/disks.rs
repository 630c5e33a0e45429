//! For whom disks worked while groups waited for them.

use std::collections::HashMap;

use diag_common::delays::Cell;

/// Divides the time for which groups waited for each disk by the time that the disk's requests took, of each group that wanted some. Both
/// have a group's number above and the disk's below. The result is ns by who waited and who was served.
pub(super) fn shared(waited: &HashMap<u64, Cell>, served: &HashMap<u64, Cell>) -> HashMap<(u32, u32), u64> {
    let mut disks: HashMap<u32, Vec<(u32, u64)>> = HashMap::new();
    for (&of, cell) in served {
        disks.entry(of as u32).or_default().push(((of >> 32) as u32, cell.ns));
    }
    let mut shares: HashMap<(u32, u32), u64> = HashMap::new();
    for (&of, cell) in waited {
        let submitters = disks.get(&(of as u32)).map_or(&[][..], Vec::as_slice);
        let whole: u128 = submitters.iter().map(|&(_, ns)| u128::from(ns)).sum();
        for &(submitter, ns) in submitters.iter().filter(|&&(_, ns)| ns > 0) {
            let share = (u128::from(cell.ns) * u128::from(ns) / whole) as u64;
            *shares.entry(((of >> 32) as u32, submitter)).or_default() += share;
        }
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
        let shares = HashMap::from([((1, 1), 100), ((1, 3), 200), ((1, 4), 600), ((1, 5), 50)]);
        assert_eq!(shared(&waited, &served), shares);
    }
}
