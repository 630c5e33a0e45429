//! How operations are counted: by CPU for the few that are frequent there, and in cells that all CPUs share for the rest.

use super::Failure;
use crate::cells::{Cell, CellKey, Slot, number};

/// What operations are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct GroupKey {
    /// The device in the kernel's own encoding, `major << 20 | minor`.
    pub dev: u32,
    /// [`Op`].
    pub op: u32,
    /// The file system's magic; 0 for a block device opened as a file.
    pub magic: u64,
}

/// Groups that have a number at most. What is kept of each is small: its histogram is in cells.
pub const MAX_GROUPS: u32 = 4_096;

/// Bits of a slot's number in a CPU's table of latencies.
pub const BIN_BITS: u32 = 10;
/// Places in a CPU's table of groups.
pub const HEADS: usize = 64;

/// What one CPU counted in one epoch, as far as it was not turned out of its place by another group.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Half {
    /// Operations and their wall time by [`bin`].
    pub bins: [Slot; 1 << BIN_BITS],
    /// What is known of groups beside that; a group's place is its number modulo [`HEADS`].
    pub heads: [Head; HEADS],
}

impl Half {
    /// A half in which nothing is counted.
    pub const CLEAR: Half = Half { bins: [Slot::FREE; 1 << BIN_BITS], heads: [Head::FREE; HEADS] };
}

/// What a CPU knows of a group beside its histogram.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Head {
    /// The group's number, plus one; 0 for a free place.
    pub of: u64,
    /// Shortest latency, ns; stored inverted (`!ns`), so that zero means none.
    pub min_inverted: u64,
    /// Longest latency, ns.
    pub max_ns: u64,
    /// Bytes that the calls returned.
    pub bytes: u64,
    /// Calls that failed, by [`Failure`]. Those that did not sleep are in no latency.
    pub failed: [u64; Failure::ALL.len()],
}

impl Head {
    /// A free place.
    pub const FREE: Head =
        Head { of: 0, min_inverted: 0, max_ns: 0, bytes: 0, failed: [0; Failure::ALL.len()] };
}

/// What all CPUs share of a group: by number and parity, so that there is always room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Totals {
    /// Operations whose bucket found no room among the shared cells.
    pub rest: Cell,
    /// Waiting time whose cause found no room in the matrix, ns.
    pub unsplit_ns: u64,
    /// Time in which tasks were stopped on their way back, which is in no latency, ns.
    pub stopped_ns: u64,
    /// As in [`Head`], of the groups that were turned out of their places.
    pub bytes: u64,
    /// The same.
    pub failed: [u64; Failure::ALL.len()],
}

impl Totals {
    /// Those of a group of which nothing is counted.
    pub const CLEAR: Totals = Totals {
        rest: Cell { count: 0, ns: 0 },
        unsplit_ns: 0,
        stopped_ns: 0,
        bytes: 0,
        failed: [0; Failure::ALL.len()],
    };

    /// Whether nothing is counted in them.
    pub fn is_clear(&self) -> bool {
        *self == Totals::CLEAR
    }
}

/// The tables of the shared hash.
pub mod table {
    /// Operations and their wall time by [`super::bin`].
    pub const BINS: u32 = 0;
    /// The extremes of latency by [`super::extremes`]: the shortest, inverted, in place of the count, and the longest.
    pub const EXTREMES: u32 = 1;
    /// The matrix, whose table has more of [`super::MatrixKey`] above.
    pub const MATRIX: u32 = 2;
    /// How many bits of the number of a table these are.
    pub const BITS: u32 = 2;
}

/// The key of a latency bucket of a group.
#[inline(always)]
pub const fn bin(group: u32, bucket: u32) -> u64 {
    (group as u64 + 1) << 16 | bucket as u64
}

/// The group and the bucket of such a key.
pub const fn of_bin(of: u64) -> (u32, u32) {
    ((of >> 16) as u32 - 1, of as u32 & 0xffff)
}

/// The slot of a latency bucket in a CPU's table. Buckets of one group have slots of their own, since the latencies of its operations
/// lie near each other, and groups begin as far from each other as can be.
#[inline(always)]
pub const fn place(group: u32, bucket: u32) -> usize {
    (number(group as u64, BIN_BITS) + bucket as usize) & ((1 << BIN_BITS) - 1)
}

/// The key of the extremes that a CPU has seen of a group. No other CPU writes there: a longest cannot be added to.
#[inline(always)]
pub const fn extremes(group: u32, cpu: u32) -> u64 {
    (cpu as u64) << 32 | group as u64
}

/// Cause number for a wait that only its stack explains; user space classifies it.
pub const CAUSE_STACK: u8 = 31;
/// `via` where nothing is known of what the holder or waker was waiting for.
pub const VIA_NONE: u8 = 0xff;

/// A cell of the matrix latency bucket × cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatrixKey {
    /// The group's number.
    pub group: u32,
    /// The operation's latency bucket; with [`MatrixKey::PART`] set, the bucket of the cause's own part.
    pub bucket: u32,
    /// [`crate::cause::Cause`] or [`CAUSE_STACK`].
    pub cause: u8,
    /// What the holder or waker was itself waiting for: a cause, or [`VIA_NONE`].
    pub via: u8,
    /// [`STALLED`] and [`CONTENDED`].
    pub flags: u32,
    /// The kernel stack of the wait; 0 where none was taken.
    pub stack: u32,
}

/// The kernel counted the wait as a memory stall (`in_memstall`).
pub const STALLED: u32 = 1;

/// The task contended for a sleeping lock that the operation's own file does not tell.
pub const CONTENDED: u32 = 2;

const FLAG_BITS: u32 = 2;

impl MatrixKey {
    /// Set in `bucket`: the cell counts the latency of the cause's part alone.
    pub const PART: u32 = 0x8000;

    /// As the shared hash has it.
    #[inline(always)]
    pub const fn packed(&self, parity: u32) -> CellKey {
        let table = table::MATRIX | self.flags << table::BITS | self.group << (table::BITS + FLAG_BITS);
        CellKey {
            of: (self.stack as u64) << 32
                | (self.bucket as u64) << 16
                | (self.cause as u64) << 8
                | self.via as u64,
            half: CellKey::half(parity, table),
        }
    }

    /// What a cell of the shared hash is.
    pub const fn unpacked(table: u32, of: u64) -> MatrixKey {
        MatrixKey {
            group: table >> (table::BITS + FLAG_BITS),
            bucket: (of >> 16) as u32 & 0xffff,
            cause: (of >> 8) as u8,
            via: of as u8,
            flags: table >> table::BITS & ((1 << FLAG_BITS) - 1),
            stack: (of >> 32) as u32,
        }
    }
}

#[cfg(feature = "user")]
mod pod {
    use super::{GroupKey, Half, Totals};

    // SAFETY: each is `#[repr(C)]`, of integers alone, without padding, and valid for every bit pattern.
    unsafe impl aya::Pod for GroupKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Half {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Totals {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_what_they_are_of() {
        assert_eq!(of_bin(bin(0, 0)), (0, 0));
        assert_eq!(of_bin(bin(MAX_GROUPS - 1, 1151)), (MAX_GROUPS - 1, 1151));
        let key = MatrixKey {
            group: MAX_GROUPS - 1,
            bucket: MatrixKey::PART | 1151,
            cause: CAUSE_STACK,
            via: VIA_NONE,
            flags: STALLED | CONTENDED,
            stack: u32::MAX,
        };
        let packed = key.packed(1);
        assert_eq!((packed.parity(), packed.table() & ((1 << table::BITS) - 1)), (1, table::MATRIX));
        assert_eq!(MatrixKey::unpacked(packed.table(), packed.of), key);
    }

    #[test]
    fn buckets_of_a_few_groups_have_slots_of_their_own() {
        // 128 buckets are four octaves.
        let mut taken = [false; 1 << BIN_BITS];
        for group in 0..5 {
            for bucket in 600..728 {
                assert!(!core::mem::replace(&mut taken[place(group, bucket)], true), "{group} {bucket}");
            }
        }
    }

    #[test]
    fn a_half_is_small() {
        // 384 CPUs have two each, and 64 MiB are to do for all maps.
        assert!(384 * 2 * size_of::<Half>() <= 24 << 20);
        assert_eq!(size_of::<GroupKey>(), 16);
    }
}
