//! Whose doing something is.

use diag_common::{
    scope::Scope,
    vmexit::{IN_INTERRUPT, IN_TASK, UNKNOWN},
    who::Who,
};

use crate::{
    fields::{INTERRUPT_BITS, PREEMPT_COUNT, present},
    scope::{self, SCOPE},
    side::{Ptr, Side, probe},
    task::run_queue,
    who::{self, As},
};

/// `SOFTIRQ_OFFSET`: set while softirqs are served, as opposed to held off, which counts in twos
/// (include/linux/preempt.h, 5.10 to 7.3).
const SERVING_SOFTIRQ: u32 = 0x100;

/// A task is at work, and not interrupted.
pub const TASK: u32 = 0;
// The other levels, each of which interrupts those before it.
const SOFTIRQ: u32 = 1;
const HARDIRQ: u32 = 2;
const NMI: u32 = 3;

const NOBODY: Who = Who { comm: [0; 2], cgroup: 0, tgid: 0, tid: 0 };

/// Who does something, and in what context.
#[derive(Clone, Copy)]
pub struct Doer {
    /// Nobody outside of tasks.
    pub who: Who,
    /// [`IN_TASK`], [`IN_INTERRUPT`] or [`UNKNOWN`].
    pub context: u8,
}

/// Nobody in particular: an interrupt.
pub const INTERRUPT: Doer = Doer { who: NOBODY, context: IN_INTERRUPT };

/// Somebody whom nobody saw.
pub const UNSEEN: Doer = Doer { who: NOBODY, context: UNKNOWN };

/// At which level this CPU is at work, `current` being its task. That of a task, where the kernel does not tell.
///
/// The preempt count is a per-CPU variable, as is the run queue, so on a CPU one is as far from the other as in the
/// kernel's image. To the run queue a task knows the way.
#[inline(always)]
pub fn level<S: Side>(current: Ptr) -> u32 {
    if !present(&PREEMPT_COUNT) {
        return TASK;
    }
    let queue = run_queue::<S>(current);
    if queue == 0 {
        return TASK;
    }
    let away = PREEMPT_COUNT.load() as i32 as i64 as u64;
    // SAFETY: any address will do.
    let count: u32 = unsafe { probe(queue.wrapping_add(away) as Ptr, 0) };
    // The lowest four of the bits are of hard interrupts, those above of NMIs (include/linux/preempt.h, 5.10 to 7.3).
    let bits = INTERRUPT_BITS.load();
    let hardirqs = 15 * (bits & bits.wrapping_neg());
    let interrupts = count & bits;
    if interrupts > hardirqs {
        NMI
    } else if interrupts != 0 {
        HARDIRQ
    } else if count & SERVING_SOFTIRQ != 0 {
        SOFTIRQ
    } else {
        TASK
    }
}

/// A task, as one of its process.
#[inline(always)]
pub fn task<S: Side>(task: Ptr) -> Doer {
    Doer { who: who::of::<S>(task, As::Process), context: IN_TASK }
}

/// Who is at work on this CPU, at its level; none where that is not in the target. An interrupt is in no target but the whole system.
#[inline(always)]
pub fn current<S: Side>(level: u32) -> Option<Doer> {
    if level != TASK {
        return (SCOPE.load() == Scope::System as u32).then_some(INTERRUPT);
    }
    let current = S::current();
    scope::contains::<S>(current).then(|| task::<S>(current))
}
