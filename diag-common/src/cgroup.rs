//! Cgroups by their ids; and those that are made while a session traces: the kernel side sends their names, since one may be gone
//! before it is asked for.

/// The id of a hierarchy's root: ids are given out from 1 to `i32::MAX`, then again with a number above 32 bits
/// (`__kernfs_new_node`, fs/kernfs/dir.c, 5.10 to 6.18).
pub const ROOT: u64 = 1;

/// Bits of an id that stands with another one. Ids have more only once a hierarchy has had 2,147,483,647 files and directories.
const BITS: u32 = 31;
const MASK: u64 = (1 << BITS) - 1;

/// Marks two ids as one number: that of the second hierarchy above that of the first.
const BOTH: u64 = 1 << 62;
/// Marks the id of a cgroup of the second hierarchy.
const SECOND: u64 = 1 << 63;

/// A task's cgroups in the two hierarchies that cgroups are named in, as one number. Where it cannot hold both: the first, else,
/// where that is the root, the second.
#[inline(always)]
pub const fn pair(first: u64, second: u64) -> u64 {
    if (first | second) & !MASK == 0 {
        BOTH | second << BITS | first
    } else if first == ROOT {
        SECOND | second
    } else {
        first
    }
}

/// What [`pair`] has made one number of: the ids in the first and in the second hierarchy.
pub const fn parts(pair: u64) -> (Option<u64>, Option<u64>) {
    if pair & SECOND != 0 {
        (None, Some(pair & !SECOND))
    } else if pair & BOTH != 0 {
        (Some(pair & MASK), Some(pair >> BITS & MASK))
    } else {
        (Some(pair), None)
    }
}

/// Bytes of a path at most, with its zero. The kernel allows more; a longer one is counted and not sent.
pub const PATH_BYTES: usize = 1024;

/// A cgroup that was made.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Made {
    /// Its id: the inode number of its directory.
    pub id: u64,
    /// The number of its hierarchy, as `/proc/PID/cgroup` has it; 0 is the unified one.
    pub hierarchy: u32,
    /// Bytes of `path`, without its zero.
    pub length: u32,
    /// Its path from the hierarchy's root.
    pub path: [u8; PATH_BYTES],
}

#[cfg(feature = "user")]
// SAFETY: plain integers and bytes without padding.
unsafe impl aya::Pod for Made {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ids_are_one_number_as_long_as_they_are_small() {
        let largest = i32::MAX as u64;
        for (first, second) in [(ROOT, ROOT), (ROOT, 77), (12, ROOT), (largest, largest), (12, largest)] {
            assert_eq!(parts(pair(first, second)), (Some(first), Some(second)));
        }
        let again = 1 << 32 | 5;
        assert_eq!(parts(pair(again, 77)), (Some(again), None));
        assert_eq!(parts(pair(12, again)), (Some(12), None));
        assert_eq!(parts(pair(ROOT, again)), (None, Some(again)));
    }

    #[test]
    fn numbers_of_different_cgroups_differ() {
        let mut numbers =
            [pair(5, 6), pair(6, 5), pair(5, ROOT), pair(ROOT, 5), pair(ROOT, 1 << 32 | 5), 5, 6];
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|two| two[0] != two[1]) && !numbers.contains(&u64::MAX));
    }
}
