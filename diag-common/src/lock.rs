//! `osdiag lock`: what its eBPF object counts, and the layout in which it is read.
//!
//! Everything is kept twice, by the parity of an epoch, as for every tool.

mod wait;

pub use wait::{HOLDERS, Held, Wait};

/// Contentions of one task that can be under way at the same time.
pub const DEPTH: usize = 4;

/// Contentions of spinning locks that can be under way on a CPU at the same time. A CPU is at work at four levels, each of which
/// interrupts those before it: task, softirq, hard interrupt, NMI. At each it can wait for an rwlock, and within that for the
/// spinlock inside of the rwlock (`queued_write_lock_slowpath`, kernel/locking/qrwlock.c, 6.18).
pub const SPINS: usize = 8;

/// Which lock it is, where its address says so exactly.
pub mod class {
    /// Nothing known.
    pub const NONE: u8 = 0;
    /// `mm_struct.mmap_lock` of the waiter's own memory.
    pub const MMAP_LOCK: u8 = 1;
    /// `sighand_struct.siglock` of the waiter's own process.
    pub const SIGLOCK: u8 = 2;
    /// `files_struct.file_lock` of the waiter's own process.
    pub const FILE_LOCK: u8 = 3;
    /// `rq.__lock` of the waiter's own CPU.
    pub const RQ_LOCK: u8 = 4;
}

/// What the owner of a lock was doing when it was looked at.
pub mod doing {
    /// There was none, or it is not known.
    pub const UNKNOWN: u8 = 0;
    /// On a CPU.
    pub const RUNNING: u8 = 1;
    /// Waiting for a CPU.
    pub const RUNNABLE: u8 = 2;
    /// Asleep in `in_iowait`.
    pub const IO: u8 = 3;
    /// Reclaiming memory, awake or asleep.
    pub const RECLAIM: u8 = 4;
    /// Asleep otherwise.
    pub const BLOCKED: u8 = 5;
    /// In the lock's own queue: the lock had been handed to it, and it had yet to run with it.
    pub const HANDED_OVER: u8 = 6;
    /// Set besides: the lock was held by readers, of which the owner is the last to have come.
    pub const READERS: u8 = 0x80;
}

/// What a cell is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// Waits by length: `item` is a bucket of [`crate::hist`], `extra` a [`class`].
    Wait = 0,
    /// Waits by the stack of the waiter: `item` is the stack's number.
    Caller = 1,
    /// Waits by waiter: `item` is the number of a [`crate::who::Who`].
    Waiter = 2,
    /// Waits by owner: `item` is the number of a [`crate::who::Who`], 0 for none, `extra` what it was [`doing`].
    Owner = 3,
}

/// What a cell counts: one item of one lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct CellKey {
    /// The lock's address; 0 for all locks of the kind that found no room.
    pub lock: u64,
    /// Depends on the family.
    pub item: u32,
    /// [`crate::contention::Kind`]
    pub kind: u8,
    /// [`Family`]
    pub family: u8,
    /// Depends on the family.
    pub extra: u8,
    /// The epoch's parity.
    pub parity: u8,
}

/// What a cell holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Cell {
    /// Time waited, ns.
    pub ns: u64,
    /// Waits; of one that several owners held the lock in, only the owner that had most of it has one.
    pub waits: u64,
    /// The longest, ns.
    pub max_ns: u64,
    /// The shortest, ns; stored inverted (`!ns`), so that zero means none.
    pub min_inverted: u64,
    /// The owner's stack in the longest wait of which one was taken; 0 for none.
    pub stack: u32,
    /// Zero.
    pub reserved: u32,
    /// How long that wait was, ns.
    pub stack_ns: u64,
}

impl Cell {
    /// Whether nothing was counted. A part of a wait can be without a wait of its own.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.min_inverted == 0
    }

    /// Adds another one of the same key.
    #[inline(always)]
    pub fn add(&mut self, other: &Cell) {
        self.ns += other.ns;
        self.waits += other.waits;
        self.extend(other);
    }

    /// Takes over what does not add up: the extremes, and the stack.
    #[inline(always)]
    pub fn extend(&mut self, other: &Cell) {
        if other.max_ns > self.max_ns {
            self.max_ns = other.max_ns;
        }
        if other.min_inverted > self.min_inverted {
            self.min_inverted = other.min_inverted;
        }
        if other.stack != 0 && other.stack_ns >= self.stack_ns {
            self.stack = other.stack;
            self.stack_ns = other.stack_ns;
        }
    }
}

/// Lines of a CPU's cache of cells in each half. A power of two.
pub const LINES: u32 = 512;

/// A cell in a CPU's cache, on its way to the map of all.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Line {
    /// Which cell.
    pub key: CellKey,
    /// What it holds.
    pub cell: Cell,
    /// The epoch in which it was written; another one's has been read.
    pub epoch: u32,
    /// Zero.
    pub reserved: u32,
}

/// A contention of a spinning lock that is under way on a CPU.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Spin {
    /// The lock's address; 0 where there is none.
    pub lock: u64,
    /// When it began, ns of the monotonic clock.
    pub since: u64,
    /// The task whose CPU it was.
    pub task: u64,
    /// How often that task had left a CPU.
    pub switches: u64,
    /// [`crate::contention::Kind`]
    pub kind: u64,
}

/// What is kept of a task.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct TaskState {
    /// Its contentions of sleeping locks, in no order.
    pub waits: [Wait; DEPTH],
}

/// What is kept of a CPU.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Cpu {
    /// Contentions of spinning locks that are under way: of each level those of an rwlock, and of a spinlock.
    pub spins: [Spin; SPINS],
    /// Programs on the kernel's functions that are under way: only one of them counts.
    pub busy: u32,
    /// Zero.
    pub reserved: u32,
    /// Its `struct rq`, where it has been seen.
    pub rq: u64,
    /// From when on the stack of an owner may be taken again, ns.
    pub owner_stack_at: u64,
    /// The same for the waiter of a short wait.
    pub caller_stack_at: u64,
    /// The same for a spinning waiter.
    pub spin_stack_at: u64,
}

#[cfg(feature = "user")]
mod pod {
    use super::{Cell, CellKey, Cpu, Line, TaskState};

    // SAFETY: plain integers without padding, so any bytes are a value.
    unsafe impl aya::Pod for CellKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Cell {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Line {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Cpu {}
    // SAFETY: as above.
    unsafe impl aya::Pod for TaskState {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_no_padding() {
        assert_eq!(size_of::<CellKey>(), 16);
        assert_eq!(size_of::<Cell>(), 48);
        assert_eq!(size_of::<Line>(), 72);
        assert!(LINES.is_power_of_two());
    }

    #[test]
    fn cells_keep_their_extremes_and_the_stack_of_the_longest() {
        let one = |ns: u64, stack| Cell {
            ns,
            waits: 1,
            max_ns: ns,
            min_inverted: !ns,
            stack,
            reserved: 0,
            stack_ns: if stack == 0 { 0 } else { ns },
        };
        let mut cell = Cell::default();
        assert!(cell.is_empty() && !Cell { waits: 0, ..one(0, 0) }.is_empty());
        for (ns, stack) in [(5, 1), (9, 0), (7, 2), (3, 3)] {
            cell.add(&one(ns, stack));
        }
        assert_eq!((cell.ns, cell.waits, cell.max_ns, !cell.min_inverted), (24, 4, 9, 3));
        assert_eq!((cell.stack, cell.stack_ns), (2, 7));
    }
}
