//! Whose doing something is.

use diag_common::{
    scope::Scope,
    vmexit::{IN_INTERRUPT, IN_TASK, ON_IDLE, UNKNOWN},
    who::Who,
};

use crate::{
    level::TASK,
    scope::{self, SCOPE},
    side::{Ptr, Side},
    task::pid,
    who::{self, As},
};

const NOBODY: Who = Who { comm: [0; 2], cgroup: 0, tgid: 0, tid: 0 };

/// Who does something, and in what context.
#[derive(Clone, Copy)]
pub struct Doer {
    /// Nobody outside of tasks.
    pub who: Who,
    /// [`IN_TASK`], [`IN_INTERRUPT`] or [`UNKNOWN`], and [`ON_IDLE`].
    pub context: u8,
}

impl Doer {
    /// The same in an interrupt of a CPU that has this task.
    #[inline(always)]
    pub fn interrupting<S: Side>(self, current: Ptr) -> Doer {
        if is_idle::<S>(current) { Doer { context: self.context | ON_IDLE, ..self } } else { self }
    }
}

/// Whether a task is the idle task of its CPU.
#[inline(always)]
pub fn is_idle<S: Side>(task: Ptr) -> bool {
    pid::<S>(task) == 0
}

/// Nobody in particular: an interrupt.
pub const INTERRUPT: Doer = Doer { who: NOBODY, context: IN_INTERRUPT };

/// Somebody whom nobody saw.
pub const UNSEEN: Doer = Doer { who: NOBODY, context: UNKNOWN };

/// A task, as one of its process.
#[inline(always)]
pub fn task<S: Side>(task: Ptr) -> Doer {
    Doer { who: who::of::<S>(task, As::Process), context: IN_TASK }
}

/// Who is at work on this CPU, at its level; none where that is not in the target. An interrupt is in no target but the whole system.
#[inline(always)]
pub fn current<S: Side>(level: u32) -> Option<Doer> {
    let current = S::current();
    if level != TASK {
        return (SCOPE.load() == Scope::System as u32).then(|| INTERRUPT.interrupting::<S>(current));
    }
    scope::contains::<S>(current).then(|| task::<S>(current))
}
