//! Time under a CPU quota, which is no time of waiting for a CPU.
//!
//! From 6.18 on a task is held on its own, on its way back to user mode, and its flag says so. Before, a quota took a
//! whole queue with all tasks in it. From 6.6 on each queue accounts how long it was held (`throttled_clock_self_time`,
//! kernel/sched/fair.c), so what a wait had of it is exact; before, a wait that began under a quota was held throughout.

use super::state::{TaskState, flag};
use crate::{
    fields::{
        CFS_RQ_RQ, CFS_RQ_THROTTLED_SINCE, CFS_RQ_THROTTLED_TIME, RQ_CLOCK, TASK_CFS_RQ, TASK_THROTTLED,
        present,
    },
    side::{Ptr, Side},
    task as tasks,
};

/// What is known of quotas when a wait begins; the flags that remember it.
#[inline(always)]
pub fn begin<S: Side>(state: &mut TaskState, task: Ptr) -> u32 {
    if present(&TASK_THROTTLED) {
        // SAFETY: a load from a task.
        if unsafe { S::read::<u8>(task, TASK_THROTTLED.load()) } == 0 {
            return 0;
        }
        return remember::<S>(state, task) | flag::THROTTLED;
    }
    if present(&CFS_RQ_THROTTLED_TIME) {
        return remember::<S>(state, task);
    }
    if tasks::throttled::<S>(task) { flag::THROTTLED } else { 0 }
}

/// How much of a wait that ends now, of `wait` ns, a quota held the task.
#[inline(never)]
pub fn during<S: Side>(state: &mut TaskState, task: Ptr, wait: u64) -> u64 {
    let whole = if state.flags & flag::THROTTLED != 0 { wait } else { 0 };
    if state.flags & flag::ACCOUNTED == 0 {
        return whole;
    }
    let (queue, held_ns) = account::<S>(task);
    // Another queue's account says nothing of this wait.
    if queue != state.queue { whole } else { held_ns.saturating_sub(state.held_ns).min(wait) }
}

#[inline(always)]
fn remember<S: Side>(state: &mut TaskState, task: Ptr) -> u32 {
    if !present(&CFS_RQ_THROTTLED_TIME) {
        return 0;
    }
    (state.queue, state.held_ns) = account::<S>(task);
    flag::ACCOUNTED
}

/// The queue of a task, and how long quotas have held it so far, ns.
#[inline(always)]
fn account<S: Side>(task: Ptr) -> (u64, u64) {
    // SAFETY: typed pointers: task, cfs_rq, rq.
    unsafe {
        let queue: Ptr = S::read(task, TASK_CFS_RQ.load());
        if queue.is_null() {
            return (0, 0);
        }
        let mut held_ns: u64 = S::read(queue, CFS_RQ_THROTTLED_TIME.load());
        let since: u64 = S::read(queue, CFS_RQ_THROTTLED_SINCE.load());
        if since != 0 {
            let rq: Ptr = S::read(queue, CFS_RQ_RQ.load());
            if !rq.is_null() {
                let clock: u64 = S::read(rq, RQ_CLOCK.load());
                held_ns += clock.saturating_sub(since);
            }
        }
        (queue as u64, held_ns)
    }
}
