//! Time under a CPU quota, which is no time of waiting for a CPU: one rule for all tools.
//!
//! From 6.18 on a task is held on its own, on its way back to user mode, and its flag says so. Before, a quota took a
//! whole queue with all tasks in it. From 6.6 on each queue accounts how long it was held (`throttled_clock_self_time`,
//! kernel/sched/fair.c), so what a wait had of it is exact, and what came after the refill is waiting for a CPU; before, a
//! wait that began under a quota was held throughout.

use diag_common::quota::{ACCOUNTED, HELD, Hold};

use crate::{
    fields::{
        CFS_RQ_RQ, CFS_RQ_THROTTLED_SINCE, CFS_RQ_THROTTLED_TIME, RQ_CLOCK, TASK_CFS_RQ, TASK_THROTTLED,
        present,
    },
    memory::store,
    side::{Ptr, Side},
    task as tasks,
};

/// Notes what is known when a wait begins.
#[inline(always)]
pub fn begin<S: Side>(hold: &mut Hold, task: Ptr) {
    let flags = if present(&TASK_THROTTLED) {
        // SAFETY: a load from a task.
        let is_held = unsafe { S::read::<u8>(task, TASK_THROTTLED.load()) } != 0;
        if is_held { HELD | remember::<S>(hold, task) } else { 0 }
    } else if present(&CFS_RQ_THROTTLED_TIME) {
        remember::<S>(hold, task)
    } else if tasks::throttled::<S>(task) {
        HELD
    } else {
        0
    };
    store(&mut hold.flags, flags);
}

/// The same, not inlined, for the stack's sake.
#[inline(never)]
pub fn begin_apart<S: Side>(hold: &mut Hold, task: Ptr) {
    begin::<S>(hold, task);
}

/// How much of a wait that ends now, of `wait` ns, a quota held the task.
#[inline(always)]
pub fn during<S: Side>(hold: &Hold, task: Ptr, wait: u64) -> u64 {
    during_by::<S>(hold, hold.flags, task, wait)
}

/// The same of a wait of whose end the kernel did not tell: what is known from the queue's account.
#[inline(always)]
pub fn during_by_account<S: Side>(hold: &Hold, task: Ptr, wait: u64) -> u64 {
    during_by::<S>(hold, hold.flags & ACCOUNTED, task, wait)
}

#[inline(always)]
fn during_by<S: Side>(hold: &Hold, flags: u32, task: Ptr, wait: u64) -> u64 {
    if flags == 0 { 0 } else { held::<S>(flags, hold.queue, hold.held_ns, task, wait) }
}

#[inline(never)]
fn held<S: Side>(flags: u32, queue: u64, held_ns: u64, task: Ptr, wait: u64) -> u64 {
    let whole = if flags & HELD != 0 { wait } else { 0 };
    // The verifier does not know the flags here: on a kernel without an account it would look at the loads from it.
    if flags & ACCOUNTED == 0 || !present(&CFS_RQ_THROTTLED_TIME) {
        return whole;
    }
    let (queue_now, held_now) = account::<S>(task);
    // Another queue's account says nothing of this wait.
    if queue_now != queue { whole } else { held_now.saturating_sub(held_ns).min(wait) }
}

/// Notes the account of the task's queue, where there is one; then returns [`ACCOUNTED`].
#[inline(always)]
fn remember<S: Side>(hold: &mut Hold, task: Ptr) -> u32 {
    if !present(&CFS_RQ_THROTTLED_TIME) {
        return 0;
    }
    let (queue, held_ns) = account::<S>(task);
    store(&mut hold.queue, queue);
    store(&mut hold.held_ns, held_ns);
    ACCOUNTED
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
