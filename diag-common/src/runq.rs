//! `osdiag runq`: what its eBPF object counts, and the layout in which it is read.
//!
//! Each CPU counts into a [`Half`] of its own, of which there are two by the parity of an epoch. What finds no room in a
//! half's tables goes to a hash that all CPUs share.

pub use crate::cells::{Cell, CellKey, Slot};
use crate::{hist, runnable::Runnable, runs::Running};

/// Numbers that stand for a [`crate::who::Who`], and those that stand for none.
pub mod who {
    use crate::runs::who::FIRST;
    pub use crate::runs::who::{IDLE, IRQ, STEAL, UNKNOWN};

    /// Nobody.
    pub const NONE: u32 = 0;
    /// None of those who had a CPU: time from being woken to being queued.
    pub const WAKE: u32 = 5;
    // The first number of an identity lies above those that stand for none.
    const _: () = assert!(WAKE < FIRST);
}

/// What a cell of the shared hash counts.
pub mod kind {
    /// Waits of `who`, by bucket: low half `who`, high half the bucket.
    pub const DELAY: u32 = 0;
    /// Time that `who` waited for somebody: low half the waiter, high half the runner. Where the groups are CPUs, the number
    /// of the one on which the wait ended, plus one, stands above the kind, from bit [`CPU_SHIFT`] on.
    pub const PAIR: u32 = 1;
    /// Time that `who` ran.
    pub const RUN: u32 = 2;
    /// Time that `who` was held by a CPU quota.
    pub const THROTTLED: u32 = 3;
    /// Bits of a kind.
    pub const CPU_SHIFT: u32 = 8;
}

/// Bits of a slot's number in the table of waits.
pub const DELAY_BITS: u32 = 9;
/// Bits of a slot's number in the table of who waited for whom.
pub const PAIR_BITS: u32 = 8;
/// Bits of a slot's number in the table of run times.
pub const RUN_BITS: u32 = 7;

/// What one CPU counted in one epoch. Dense, so that a switch costs one array look-up.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Half {
    /// Waits that ended on this CPU.
    pub waits: u64,
    /// Their time, ns.
    pub delay_ns: u64,
    /// The shortest, ns; stored inverted (`!ns`), so that zero means none.
    pub min_inverted: u64,
    /// The longest, ns.
    pub max_ns: u64,
    /// Time that those waits were held by a CPU quota, ns; not in `delay_ns`.
    pub throttled_ns: u64,
    /// Context switches.
    pub switches: u64,
    /// Time that a task ran, ns.
    pub busy_ns: u64,
    /// Time that none did, ns.
    pub idle_ns: u64,
    /// Time in interrupts, ns; in `busy_ns` and `idle_ns` as well.
    pub irq_ns: u64,
    /// Who ran when this epoch began; above it, from bit 32 on, [`Cpu::target`].
    pub before_who: u64,
    /// How long that run had lasted in the epoch before, ns.
    pub before_ns: u64,
    /// How many waits ended on this CPU, by [`hist::bucket`].
    pub bins: [u64; hist::BUCKETS as usize],
    /// Waits by who waited and their bucket.
    pub delays: [Slot; 1 << DELAY_BITS],
    /// Time by who waited and who ran meanwhile.
    pub pairs: [Slot; 1 << PAIR_BITS],
    /// Time by who ran.
    pub runs: [Slot; 1 << RUN_BITS],
}

impl Half {
    /// A half in which nothing is counted.
    pub const CLEAR: Half = Half {
        waits: 0,
        delay_ns: 0,
        min_inverted: 0,
        max_ns: 0,
        throttled_ns: 0,
        switches: 0,
        busy_ns: 0,
        idle_ns: 0,
        irq_ns: 0,
        before_who: 0,
        before_ns: 0,
        bins: [0; hist::BUCKETS as usize],
        delays: [Slot::FREE; 1 << DELAY_BITS],
        pairs: [Slot::FREE; 1 << PAIR_BITS],
        runs: [Slot::FREE; 1 << RUN_BITS],
    };
}

/// What a CPU does.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Cpu {
    /// Who runs, and since when.
    pub running: Running,
    /// Its `task_struct`; 0 before the first switch.
    pub task: u64,
    /// Its name as it was then.
    pub comm: [u64; 2],
    /// Its `css_set` as it was then.
    pub css: u64,
    /// Whether it is in the session's target.
    pub target: u64,
    /// The steal clock as it was then, ns.
    pub steal: u64,
    /// Time in interrupts since then, ns.
    pub irq_ns: u64,
    /// When the interrupt handler that runs began, ns; 0 for none.
    pub irq_since: u64,
    /// When the soft interrupts that run began, ns; 0 for none.
    pub softirq_since: u64,
}

/// What is known of a task.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TaskState {
    /// When it became runnable, or was woken, ns; 0 for a task that does not wait.
    pub since: u64,
    /// When it was woken, ns, as long as it is on no queue; 0 otherwise.
    pub waking: u64,
    /// How long it took from there to be on a queue, ns.
    pub wake_ns: u64,
    /// How often it had left a CPU by then, by the scheduler's count: as long as it waits, that stays.
    pub runs: u64,
    /// What else is known of the wait.
    pub wait: Runnable,
    /// Not 0 where it was preempted on its way to sleep: a wake-up that comes meanwhile begins no other wait.
    pub half_asleep: u32,
    /// Who it is, as long as the next two fields are those of its `task_struct`; 0 for not known.
    pub who: u32,
    /// Its name.
    pub comm: [u64; 2],
    /// Its `css_set`, which is another one in another cgroup.
    pub css: u64,
    /// The epoch in which its number was looked up.
    pub epoch: u64,
}

#[cfg(feature = "user")]
mod pod {
    use super::{Cpu, Half, TaskState};

    // SAFETY: each is `#[repr(C)]`, of integers alone, without padding, and valid for every bit pattern.
    unsafe impl aya::Pod for Half {}
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
        assert_eq!(size_of::<crate::who::Who>(), 32);
    }

    #[test]
    fn a_half_is_of_a_size_that_many_cpus_can_pay() {
        assert!(size_of::<Half>() <= 32 << 10, "{}", size_of::<Half>());
    }
}
