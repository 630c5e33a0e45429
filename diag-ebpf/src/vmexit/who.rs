//! Whose doing something is.

use diag_common::{
    scope::Scope,
    vmexit::{IN_INTERRUPT, IN_TASK, UNKNOWN},
    who::Who,
};

use crate::{
    fields::{CFS_RQ_RQ, INTERRUPT_BITS, PREEMPT_COUNT, TASK_CFS_RQ, present},
    scope::{self, SCOPE},
    side::{Ptr, Side, probe},
    who::{self, As},
};

/// `SOFTIRQ_OFFSET`: set while softirqs are served, as opposed to held off, which counts in twos
/// (include/linux/preempt.h, 5.10 to 7.3).
const SERVING_SOFTIRQ: u32 = 0x100;

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

/// Whether `current` is interrupted, so that what happens is none of its doing. Never, where the kernel does not tell.
///
/// The preempt count is a per-CPU variable, as is the run queue, so on a CPU one is as far from the other as in the
/// kernel's image. To the run queue a task knows the way.
#[inline(always)]
pub fn is_interrupted<S: Side>(current: Ptr) -> bool {
    if !present(&PREEMPT_COUNT) {
        return false;
    }
    // SAFETY: typed pointers: task, cfs_rq; what lies at the run queue's address is read by a helper.
    let count: u32 = unsafe {
        let queue: Ptr = S::read(current, TASK_CFS_RQ.load());
        if queue.is_null() {
            return false;
        }
        let run_queue: Ptr = S::read(queue, CFS_RQ_RQ.load());
        probe(run_queue.wrapping_offset(PREEMPT_COUNT.load() as i32 as isize), 0)
    };
    count & (INTERRUPT_BITS.load() | SERVING_SOFTIRQ) != 0
}

/// A task, as one of its process.
#[inline(always)]
pub fn task<S: Side>(task: Ptr) -> Doer {
    Doer { who: who::of::<S>(task, As::Process), context: IN_TASK }
}

/// Who is at work on this CPU; none where that is not in the target. An interrupt is in no target but the whole system.
#[inline(always)]
pub fn current<S: Side>() -> Option<Doer> {
    let current = S::current();
    if is_interrupted::<S>(current) {
        return (SCOPE.load() == Scope::System as u32).then_some(INTERRUPT);
    }
    scope::contains::<S>(current).then(|| task::<S>(current))
}
