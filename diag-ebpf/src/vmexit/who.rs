//! Whose doing something is.

use diag_common::{
    scope::Scope,
    vmexit::{IN_INTERRUPT, IN_TASK, UNKNOWN},
    who::Who,
};

use crate::{
    level::TASK,
    scope::{self, SCOPE},
    side::{Ptr, Side},
    who::{self, As},
};

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
