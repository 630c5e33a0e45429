//! What is known of a sleep when it begins.

use aya_ebpf::{macros::map, maps::Array};
use diag_common::{
    cause::Cause,
    delays::{Thread, place, what},
    state::{INTERRUPTIBLE, NOLOAD, PARKED},
};

use super::{context, group, place as places};
use crate::{
    context as contexts,
    fields::{TASK_IN_IOWAIT, TASK_IN_IOWAIT_MASK, TASK_IN_MEMSTALL, TASK_IN_MEMSTALL_MASK},
    side::{Ptr, Side},
    task::{self as tasks, PF_KTHREAD},
};

/// The cause of an interruptible sleep by its place, plus one; 0 where the place tells none. The user side fills it.
#[map]
static PLACES: Array<u32> = Array::with_max_entries(place::COUNT, 0);

/// What `task`, which goes to sleep with the bits `state`, is said to sleep for as long as no more is known. A function of its own,
/// for the stack's sake.
#[inline(never)]
pub fn begins<S: Side>(thread: &Thread, task: Ptr, state: u32) -> u32 {
    let flags = group::flags::<S>(task);
    let at = places::of::<S>(task, flags);
    let is = |cause: Cause| what::time(cause as u32, at);
    if let Some(cause) = tasks::stopped::<S>(task, state) {
        return is(cause);
    }
    let interruptible = state & INTERRUPTIBLE != 0;
    if let Some(cause) = contexts::cause(thread.contexts) {
        return is(cause);
    }
    if (place::WORKER..=place::KTHREAD).contains(&at) {
        let waits_for_work = interruptible || flags & PF_KTHREAD != 0 && state & (NOLOAD | PARKED) != 0;
        if waits_for_work {
            return is(Cause::Worker);
        }
    }
    let stalled = tasks::flag::<S>(task, &TASK_IN_MEMSTALL, &TASK_IN_MEMSTALL_MASK);
    if thread.lock != 0 {
        return context::lock_state::<S>(thread, task, at);
    }
    if stalled {
        return what::time(what::UNEXPLAINED + what::STALLED, at);
    }
    if tasks::flag::<S>(task, &TASK_IN_IOWAIT, &TASK_IN_IOWAIT_MASK) {
        // Who goes back to user mode waits for no request.
        return what::time(what::IOWAIT, if at == place::FAULT_OR_RETURN { place::FAULT } else { at });
    }
    if interruptible {
        let known = PLACES.get(at).copied().unwrap_or(0);
        if known != 0 {
            return what::time(known - 1, at);
        }
    }
    what::time(what::UNEXPLAINED, at)
}
