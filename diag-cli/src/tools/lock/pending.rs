//! Waits that have not ended: nothing was counted of them, and they may be the whole trouble.

use diag_common::lock::{Kind, TaskState, Wait};

use super::{
    collect::{LockKey, Waits},
    model::Namer,
    names,
    record::{KindName, PendingWait},
};
use crate::{
    ebpf::{clock, states::States},
    output::text::escape,
    target::{Target, Thread, staying, threads},
};

/// More than these are not listed.
const MOST: usize = 64;

/// The waits of the target's tasks that are in uninterruptible sleep and stay there, longest first.
pub(super) fn pending(
    target: &Target,
    states: &States<TaskState>,
    namer: &mut Namer<'_>,
) -> Vec<PendingWait> {
    let now_ns = clock::now();
    let asleep = threads(target).filter(|thread| thread.stat.state == 'D');
    let met = asleep.filter_map(|thread| {
        let wait = innermost(&states.get(thread.stat.pid.cast_unsigned())?)?;
        let account = thread.account()?;
        Some(((thread, wait), account))
    });
    let stuck = staying(met.take(MOST).collect(), |(thread, _)| thread.account());
    let mut pending: Vec<PendingWait> =
        stuck.iter().filter_map(|(thread, wait)| describe(thread, wait, now_ns, namer)).collect();
    pending.sort_by_key(|wait| (std::cmp::Reverse(wait.waited_ns), wait.tid));
    pending
}

/// The wait in which the task is: of several the last to begin.
fn innermost(state: &TaskState) -> Option<Wait> {
    state.waits.into_iter().filter(|wait| wait.lock != 0).max_by_key(|wait| wait.since)
}

fn describe(thread: &Thread, wait: &Wait, now_ns: u64, namer: &mut Namer<'_>) -> Option<PendingWait> {
    let kind = Kind::from_number(wait.kind)?;
    let stack = thread.stack();
    let waits = Waits { class: wait.class, ..Waits::default() };
    let owner = namer.people.get(wait.owner);
    Some(PendingWait {
        kind: KindName(kind),
        name: namer.name(LockKey { address: wait.lock, kind }, &waits, Some(names::callers(&stack))),
        address: format!("{:#x}", wait.lock),
        pid: thread.pid.cast_unsigned(),
        tid: thread.stat.pid.cast_unsigned(),
        comm: escape(&thread.comm),
        waited_ns: now_ns.saturating_sub(wait.since),
        owner_tid: owner.map(|owner| owner.tid),
        owner_comm: owner.map(|owner| escape(&owner.name())),
        stack: Some(stack).filter(|stack| !stack.is_empty()),
    })
}
