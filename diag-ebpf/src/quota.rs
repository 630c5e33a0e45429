//! Time under a CPU quota, which is no time of waiting for a CPU: one rule for all tools.
//!
//! From 6.18 on a task is held on its own, on its way back to user mode, and its flag says so. Before, a quota took a
//! whole queue with all tasks in it. From 6.6 on each queue accounts how long it was held (`throttled_clock_self_time`,
//! kernel/sched/fair.c), so what a wait had of it is exact, and what came after the refill is waiting for a CPU; before, a
//! wait that began under a quota was held throughout.

use diag_common::quota::{ACCOUNTED, HELD};

use crate::{
    fields::{
        CFS_RQ_RQ, CFS_RQ_THROTTLED_SINCE, CFS_RQ_THROTTLED_TIME, RQ_CLOCK, TASK_CFS_RQ, TASK_THROTTLED,
        present,
    },
    side::{Ptr, Side},
    task as tasks,
};

/// What is known of quotas when a wait begins.
#[derive(Clone, Copy)]
pub struct Hold {
    /// [`diag_common::quota`].
    pub flags: u32,
    /// The task's queue.
    pub queue: u64,
    /// How long quotas had held it by then, ns.
    pub held_ns: u64,
}

const FREE: Hold = Hold { flags: 0, queue: 0, held_ns: 0 };

/// What is known when a wait begins.
#[inline(always)]
pub fn begin<S: Side>(task: Ptr) -> Hold {
    if present(&TASK_THROTTLED) {
        // SAFETY: a load from a task.
        if unsafe { S::read::<u8>(task, TASK_THROTTLED.load()) } == 0 {
            return FREE;
        }
        return remember::<S>(task, HELD);
    }
    if present(&CFS_RQ_THROTTLED_TIME) {
        return remember::<S>(task, 0);
    }
    Hold { flags: if tasks::throttled::<S>(task) { HELD } else { 0 }, ..FREE }
}

/// How much of a wait that ends now, of `wait` ns, a quota held the task.
#[inline(always)]
pub fn during<S: Side>(hold: Hold, task: Ptr, wait: u64) -> u64 {
    if hold.flags == 0 { 0 } else { held::<S>(hold.flags, hold.queue, hold.held_ns, task, wait) }
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

#[inline(always)]
fn remember<S: Side>(task: Ptr, flags: u32) -> Hold {
    if !present(&CFS_RQ_THROTTLED_TIME) {
        return Hold { flags, ..FREE };
    }
    let (queue, held_ns) = account::<S>(task);
    Hold { flags: flags | ACCOUNTED, queue, held_ns }
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
