//! A wait for a CPU: how much of it a quota had, and from when on others had the CPU. One rule for all tools.

use diag_common::runnable::Runnable;

use crate::{
    memory::store,
    quota,
    side::{Ptr, Side},
};

/// How much of a wait since `since` that ends now a quota held the task. It had that before the CPU was waited for.
#[inline(always)]
pub fn held<S: Side>(wait: &Runnable, since: u64, task: Ptr, now: u64) -> u64 {
    quota::during::<S>(&wait.hold, task, now.saturating_sub(since))
}

/// A task that waits since `since` changes queues: from when on those have to be found who had the CPU that it waited for.
#[inline(always)]
pub fn moved<S: Side>(wait: &mut Runnable, since: u64, task: Ptr, now: u64) -> u64 {
    let held = held::<S>(wait, since, task, now);
    let from = wait.unsettled(since, held);
    store(&mut wait.settled, now);
    from
}
