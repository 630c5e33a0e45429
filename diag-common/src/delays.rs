//! `osdiag delays`: what its eBPF object counts, and the layout in which it is read.
//!
//! A thread is in one piece at each moment: on a CPU, runnable, or asleep. Time is counted in cells, without a pass over all
//! threads: who enters a piece at `t` adds 1 to the cell's count and takes `t` from its sum, who leaves it takes 1 back and adds
//! `t`. So far as a boundary `b` the cell then has `sum + count * b`, modulo 2^64, whatever is still going on.

mod thread;

pub use self::thread::{Thread, phase};
pub use crate::cells::{Cell, CellKey, Slot};
use crate::{
    runs::{Ended, Running},
    stack::Stack,
};

/// What a cell counts, in the lower half of its key; the group's number is in the upper half.
pub mod what {
    /// Bits of a state: a [`crate::cause::Cause`], or one of those below.
    pub const STATE_BITS: u32 = 6;
    const STATE: u32 = (1 << STATE_BITS) - 1;
    /// Asleep, and only the stack tells for what; with [`STALLED`] and [`CONTENDED`] added.
    pub const UNEXPLAINED: u32 = 52;
    /// The kernel counts the sleep as a memory stall (`in_memstall`).
    pub const STALLED: u32 = 1;
    /// The thread contends for a sleeping lock.
    pub const CONTENDED: u32 = 2;
    /// Asleep for I/O (`in_iowait`): the request that ends the sleep tells more.
    pub const IOWAIT: u32 = 60;
    /// Being there at all.
    pub const THREADS: u32 = 63;

    const PLACE_SHIFT: u32 = STATE_BITS;
    const PLACE: u32 = (1 << 11) - 1;
    const BUCKET_SHIFT: u32 = 17;
    const BUCKET: u32 = (1 << 11) - 1;
    const KIND_SHIFT: u32 = 28;
    const VIA_SHIFT: u32 = 30;

    /// Time in a state.
    pub const TIME: u32 = 0;
    /// Time in a state, on a CPU: in reclaim, in compaction, in a lock's slow path.
    pub const ON_CPU: u32 = 1;
    /// Waits that ended, by their length's bucket, with their whole time.
    pub const WAITS: u32 = 2;
    /// Time before the last boundary that the records up to there show in another state than the one it turned out to be: that
    /// state is in the bucket's place.
    pub const LATE: u32 = 3;

    /// A key of time in a state.
    #[inline(always)]
    pub const fn time(state: u32, place: u32) -> u32 {
        state | place << PLACE_SHIFT
    }

    /// The same key, of another kind.
    #[inline(always)]
    pub const fn of_kind(what: u32, kind: u32) -> u32 {
        what & !(3 << KIND_SHIFT) | kind << KIND_SHIFT
    }

    /// The same key, with a bucket.
    #[inline(always)]
    pub const fn with_bucket(what: u32, bucket: u32) -> u32 {
        what & !(BUCKET << BUCKET_SHIFT) | (bucket & BUCKET) << BUCKET_SHIFT
    }

    /// The same key, with another state.
    #[inline(always)]
    pub const fn with_state(what: u32, state: u32) -> u32 {
        what & !STATE | state
    }

    /// The state.
    #[inline(always)]
    pub const fn state(what: u32) -> u32 {
        what & STATE
    }

    /// Whether a state is a sleep that only the stack tells, with [`STALLED`] or [`CONTENDED`].
    #[inline(always)]
    pub const fn is_with(state: u32, flag: u32) -> bool {
        UNEXPLAINED <= state && state < IOWAIT && (state - UNEXPLAINED) & flag != 0
    }

    /// The place.
    #[inline(always)]
    pub const fn place(what: u32) -> u32 {
        what >> PLACE_SHIFT & PLACE
    }

    /// The bucket.
    #[inline(always)]
    pub const fn bucket(what: u32) -> u32 {
        what >> BUCKET_SHIFT & BUCKET
    }

    /// The same key, with what the one who ended the wait was itself waiting for: [`super::via`].
    #[inline(always)]
    pub const fn with_via(what: u32, via: u32) -> u32 {
        what & !(3 << VIA_SHIFT) | via << VIA_SHIFT
    }

    /// [`super::via`].
    #[inline(always)]
    pub const fn via(what: u32) -> u32 {
        what >> VIA_SHIFT
    }

    /// The kind: [`TIME`] to [`LATE`].
    #[inline(always)]
    pub const fn kind(what: u32) -> u32 {
        what >> KIND_SHIFT & 3
    }
}

/// What the one who ended a wait was itself waiting for.
pub mod via {
    /// Nothing, for most of the wait; or it is not known.
    pub const NONE: u32 = 0;
    /// A request at a device.
    pub const DEVICE: u32 = 1;
    /// A request in a queue.
    pub const QUEUE: u32 = 2;
    /// A CPU.
    pub const RUNQUEUE: u32 = 3;
}

/// Where a thread sleeps, as a number: a system call by its own, and these.
pub mod place {
    /// The first number of a 32-bit system call.
    pub const COMPAT: u32 = 512;
    /// The end of the numbers of 32-bit system calls.
    pub const CALLS_END: u32 = 1024;
    /// A page fault from user mode.
    pub const FAULT: u32 = 1024;
    /// The way back to user mode.
    pub const RETURN: u32 = 1025;
    /// Either of these: the stack tells.
    pub const FAULT_OR_RETURN: u32 = 1026;
    /// The end of the thread.
    pub const EXIT: u32 = 1027;
    /// A worker that shares its creator's memory: its registers are its creator's.
    pub const WORKER: u32 = 1028;
    /// A kernel thread.
    pub const KTHREAD: u32 = 1029;
    /// A system call with a number beyond the table.
    pub const OTHER_CALL: u32 = 1030;
    /// It does not sleep.
    pub const NONE: u32 = 1031;
    /// How many numbers there are.
    pub const COUNT: u32 = 1032;
}

/// What threads are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum GroupBy {
    /// Their cgroup; kernel threads are one group.
    Cgroup = 0,
    /// Their name.
    Comm = 1,
    /// Their process.
    Process = 2,
    /// Each is a group.
    Thread = 3,
}

/// What stands for the cgroup of kernel threads, where they are one group.
pub const KERNEL_THREADS: u64 = u64::MAX;

/// What the cells of the shared hash count.
pub mod table {
    /// Time and waits of a group, by [`super::what`].
    pub const ACCOUNT: u32 = 0;
    /// Time for which threads of one group were runnable while another had the CPU: the group that waited above, the one that ran
    /// below. A wait counts as a whole where it ends.
    pub const CPU: u32 = 1;
    /// Time for which threads of a group waited for requests of a disk: the group above, the disk's number below. A wait counts as a
    /// whole where it ends.
    pub const WAITED: u32 = 2;
    /// Time that requests were at a disk: the group that wanted them above, the disk's number below. A request counts as a whole
    /// where it is complete.
    pub const SERVED: u32 = 3;
    /// Time for which threads of a group slept for locks of the kernel: the group above; below that of the task that had the lock when
    /// the sleep began. A wait counts as a whole where it ends.
    pub const LOCK: u32 = 4;
    /// How many tables there are.
    pub const COUNT: usize = 5;
}

/// Bits of a slot's number.
pub const SLOT_BITS: u32 = 9;
/// The same of pairs of groups.
pub const PAIR_BITS: u32 = 7;

/// What one CPU counted in one epoch.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Half {
    /// Of [`table::ACCOUNT`], by a hash of the key.
    pub slots: [Slot; 1 << SLOT_BITS],
    /// Of [`table::CPU`], likewise.
    pub pairs: [Slot; 1 << PAIR_BITS],
}

impl Half {
    /// A half in which nothing is counted.
    pub const CLEAR: Half = Half { slots: [Slot::FREE; 1 << SLOT_BITS], pairs: [Slot::FREE; 1 << PAIR_BITS] };
}

/// What a CPU runs, and who had it before.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Cpu {
    /// The group that runs; see [`crate::runs::who`] for others.
    pub running: Running,
    /// The group whose thread has waited for the CPU and is about to have it; 0 for none.
    pub waiter: u64,
    /// Since when it has waited for those that ran here, ns.
    pub waited_since: u64,
    /// The runs that have ended.
    pub ended: Ended,
}

/// Stacks of waits that nothing else explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct SampleKey {
    /// The group's number.
    pub who: u32,
    /// [`what`], with the bucket of the wait's length.
    pub what: u32,
    /// The stack's number.
    pub stack: u32,
    /// The half, 0 or 1; with [`EVERY`] for long waits, each of which has its stack taken; with [`BEFORE`] for what of their time lies
    /// before the last boundary.
    pub flags: u32,
}

/// The key is of long waits: their time since the last boundary is in no cell of [`what::TIME`], but here.
pub const EVERY: u32 = 2;
/// The key has time of such waits that cells of [`what::TIME`] have, too.
pub const BEFORE: u32 = 4;

/// From this length on, each wait that nothing else explains has its stack taken, and a wait can be one of the longest, ns.
pub const LONG_NS: u64 = 1_000_000;

/// A wait that has ended, or that goes on.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Wait {
    /// How long it lasted, ns.
    pub ns: u64,
    /// When the piece began, ns.
    pub since: u64,
    /// The cgroup's id.
    pub cgroup: u64,
    /// When the thread started, ns since boot; 0 where that is not known.
    pub start_ns: u64,
    /// The thread's name.
    pub comm: [u64; 2],
    /// Its process's name.
    pub process_comm: [u64; 2],
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// The group's number.
    pub who: u32,
    /// [`what`].
    pub what: u32,
    /// The stack's number; 0 for none.
    pub stack: u32,
    /// [`phase`] for a wait that goes on; 0 for one that has ended.
    pub phase: u32,
    /// The stack, where the wait goes on and nothing else explains it.
    pub frames: Stack,
}

/// Ended waits that are sent one by one, in an epoch.
pub const WANTED: u32 = 200;

#[cfg(feature = "user")]
mod pod {
    use super::{Half, SampleKey, Thread};

    // SAFETY: each is `#[repr(C)]`, of integers alone, without padding, and valid for every bit pattern.
    unsafe impl aya::Pod for Half {}
    // SAFETY: as above.
    unsafe impl aya::Pod for SampleKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Thread {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cause::Cause, hist};

    #[test]
    fn a_key_keeps_its_parts_apart() {
        let time = what::time(what::THREADS, place::COUNT - 1);
        let wait = what::of_kind(what::with_bucket(time, hist::BUCKETS - 1), what::LATE);
        assert_eq!(what::state(wait), what::THREADS);
        assert_eq!(what::place(wait), place::COUNT - 1);
        assert_eq!(what::bucket(wait), hist::BUCKETS - 1);
        assert_eq!(what::kind(wait), what::LATE);
        assert_eq!(what::with_bucket(what::of_kind(wait, what::TIME), 0), time);
        assert_eq!(what::state(what::with_state(wait, 3)), 3);
        let behind = what::with_via(wait, via::RUNQUEUE);
        assert_eq!((what::via(wait), what::via(behind)), (via::NONE, via::RUNQUEUE));
        assert_eq!((what::kind(behind), what::with_via(behind, via::NONE)), (what::LATE, wait));
    }

    #[test]
    fn states_are_no_causes() {
        assert!(Cause::ALL.len() <= what::UNEXPLAINED as usize);
    }

    #[test]
    fn what_there_are_many_of_is_small() {
        assert!(size_of::<Thread>() <= 152, "{}", size_of::<Thread>());
        assert!(size_of::<Half>() <= 32 << 10);
        assert_eq!(size_of::<SampleKey>(), 16);
        assert_eq!(size_of::<Wait>() % 8, 0);
    }
}
