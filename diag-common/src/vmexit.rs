//! `osdiag vmexit`: what its eBPF object counts, and the layout in which it is read.
//!
//! Everything is kept twice, by the parity of an epoch, as in [`crate::iolat`].

use crate::{hist, who::Who};

/// What is counted in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A write of the MSR [`CellKey::detail`], unless it sends one of the IPIs below.
    MsrWrite = 0,
    /// A read of the MSR [`CellKey::detail`].
    MsrRead = 1,
    /// An IPI that makes another CPU look at its run queue.
    IpiReschedule = 2,
    /// An IPI that makes another CPU call a function: [`CellKey::detail`], 0 where that is not known.
    IpiCall = 3,
    /// An interrupt of the local timer; [`CellKey::detail`] is the function of the first timer that expired, 0 where
    /// none did.
    Timer = 4,
    /// A read of the performance counter [`CellKey::detail`] by the kernel.
    PmcRead = 5,
}

impl Kind {
    /// All of them, by number.
    pub const ALL: [Kind; 6] =
        [Kind::MsrWrite, Kind::MsrRead, Kind::IpiReschedule, Kind::IpiCall, Kind::Timer, Kind::PmcRead];

    /// The kind of this number, where there is one.
    pub fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.get(usize::from(number)).copied()
    }
}

/// [`CellKey::detail`] of a call that flushes TLBs, where the kernel does not tell functions.
pub const TLB_FLUSH: u64 = 1;

/// [`CellKey::detail`] of a call that wakes tasks up: `sched_ttwu_pending`.
pub const WAKE_UP: u64 = 2;

/// [`CellKey::context`]: a task, which is named.
pub const IN_TASK: u8 = 0;
/// [`CellKey::context`]: an interrupt or softirq; nobody is named, since whom it interrupted has no part in it.
pub const IN_INTERRUPT: u8 = 1;
/// [`CellKey::context`]: armed before the session began, or before [`MAX_TIMERS`] others: by nobody knows whom.
pub const UNKNOWN: u8 = 2;
/// Beside one of these: in an interrupt of a CPU that was idle. What an idle task does itself has no process.
pub const ON_IDLE: u8 = 0x80;

/// [`CellKey::via`]: by no MSR that was seen: the xAPIC's memory, or a hypercall.
pub const NOT_BY_MSR: u8 = 0;
/// [`CellKey::via`]: by the x2APIC's interrupt command register, which is an MSR.
pub const BY_ICR: u8 = 1;

/// What tells a count from the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct CellKey {
    /// Depends on the kind.
    pub detail: u64,
    /// The thread's name, as in [`Who`]; this and what follows of it is zero where nobody is named.
    pub comm: [u64; 2],
    /// Its cgroup in the session's hierarchy.
    pub cgroup: u64,
    /// Its process; 0 for idle tasks.
    pub tgid: u32,
    /// [`Kind`].
    pub kind: u8,
    /// The half of the maps.
    pub parity: u8,
    /// [`IN_TASK`], [`IN_INTERRUPT`] or [`UNKNOWN`], and [`ON_IDLE`].
    pub context: u8,
    /// For IPIs: [`NOT_BY_MSR`] or [`BY_ICR`].
    pub via: u8,
}

/// Cells that a session may have in both halves together.
pub const MAX_CELLS: u32 = 16384;

/// Timers of which it is remembered who armed them; the least recently used are forgotten first.
pub const MAX_TIMERS: u32 = 8192;

/// Idle states that are told apart (`CPUIDLE_STATE_MAX`, include/linux/cpuidle.h, 6.18).
pub const IDLE_STATES: usize = 10;

/// The state that `cpu_idle` tells when a CPU is idle no more (`PWR_EVENT_EXIT`, include/trace/events/power.h, 6.18).
pub const NOT_IDLE: u32 = u32::MAX;

/// Times in a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct IdleBin {
    /// How many.
    pub count: u64,
    /// Their sum, ns.
    pub sum_ns: u64,
}

/// What one CPU's idle loop did.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Idle {
    /// How often it entered each state.
    pub entered: [u64; IDLE_STATES],
    /// The complement of the shortest idle time, ns, so that zero means that there was none.
    pub min_inverted: u64,
    /// The longest, ns.
    pub max_ns: u64,
    /// Idle times in states that halt, by [`hist::bucket`].
    pub bins: [IdleBin; hist::BUCKETS as usize],
}

/// What the programs keep of a CPU.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Cpu {
    /// When it became idle in a state that halts, ns; 0 while it is not.
    pub idle_since: u64,
    /// Whether a timer interrupt came of which no timer has expired yet: [`TIMER_DUE`], [`TIMER_DUE_ON_IDLE`] or 0.
    pub timer_due: u64,
}

/// [`Cpu::timer_due`]: one that interrupted a task.
pub const TIMER_DUE: u64 = 1;
/// [`Cpu::timer_due`]: one that came while the CPU was idle.
pub const TIMER_DUE_ON_IDLE: u64 = 2;

/// Levels at which a CPU can be at work: a task, softirqs, a hard interrupt, an NMI.
pub const LEVELS: u32 = 4;

/// What the programs keep of a CPU at one level: an interrupt's own IPIs come between others and their announcement.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Sending {
    /// The function that was last queued for another CPU to call.
    pub function: u64,
    /// An IPI that was announced, and of which no register was written yet.
    pub announced: CellKey,
    /// Whether there is one.
    pub is_announced: u64,
}

/// Who armed a timer.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Armed {
    /// Who; nobody outside of tasks.
    pub who: Who,
    /// [`IN_TASK`] or [`IN_INTERRUPT`].
    pub context: u32,
    /// Whether that is in the target.
    pub in_target: u32,
}

#[cfg(feature = "user")]
mod user {
    use super::{CellKey, Idle, Sending};

    // SAFETY: plain integers, without padding.
    unsafe impl aya::Pod for CellKey {}
    // SAFETY: the same.
    unsafe impl aya::Pod for Idle {}
    // SAFETY: the same.
    unsafe impl aya::Pod for Sending {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_padding() {
        assert_eq!(size_of::<CellKey>(), 40);
        assert_eq!(size_of::<Idle>(), 8 * (IDLE_STATES + 2) + 16 * hist::BUCKETS as usize);
        assert_eq!(size_of::<Cpu>(), 2 * 8);
        assert_eq!(size_of::<Sending>(), 2 * 8 + 40);
        assert_eq!(size_of::<Armed>(), 40);
    }

    #[test]
    fn kinds_have_their_numbers() {
        for (number, kind) in (0u8..).zip(Kind::ALL) {
            assert_eq!(Kind::from_number(number), Some(kind));
            assert_eq!(kind as u8, number);
        }
        assert_eq!(Kind::from_number(6), None);
    }

    #[test]
    fn an_idle_cpu_fits_a_per_cpu_map() {
        // PCPU_MIN_UNIT_SIZE, include/linux/percpu.h (6.18)
        assert!(size_of::<Idle>() <= 32 << 10);
    }
}
