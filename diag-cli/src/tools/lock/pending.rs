//! Waits that have not ended: nothing was counted of them, and they may be the whole trouble.

use std::{fs, thread, time::Duration};

use diag_common::lock::{Kind, TaskState, Wait};
use rustix::time::{ClockId, clock_gettime};

use super::{
    collect::{LockKey, Waits},
    model::Namer,
    names,
    record::{KindName, PendingWait},
};
use crate::{
    ebpf::states::States,
    output::text::escape,
    target::{Target, Thread, threads},
};

/// How long a task must stay where it is to count as stuck rather than met on its way.
const STAYS: Duration = Duration::from_millis(50);
/// More than these are not listed.
const MOST: usize = 64;

/// The waits of the target's tasks that are in uninterruptible sleep and stay there, longest first.
pub(super) fn pending(
    target: &Target,
    states: &States<TaskState>,
    namer: &mut Namer<'_>,
) -> Vec<PendingWait> {
    let now = clock_gettime(ClockId::Monotonic);
    let now_ns = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
    let asleep: Vec<(Thread, Wait, String)> = threads(target)
        .filter(|thread| thread.stat.state == 'D')
        .filter_map(|thread| {
            let wait = innermost(&states.get(thread.stat.pid.cast_unsigned())?)?;
            let account = account(&thread)?;
            Some((thread, wait, account))
        })
        .take(MOST)
        .collect();
    if asleep.is_empty() {
        return Vec::new();
    }
    thread::sleep(STAYS);
    let mut pending: Vec<PendingWait> = asleep
        .into_iter()
        .filter(|(thread, _, before)| account(thread).as_ref() == Some(before))
        .filter_map(|(thread, wait, _)| describe(&thread, &wait, now_ns, namer))
        .collect();
    pending.sort_by_key(|wait| (std::cmp::Reverse(wait.waited_ns), wait.tid));
    pending
}

/// The wait in which the task is: of several the last to begin.
fn innermost(state: &TaskState) -> Option<Wait> {
    state.waits.into_iter().filter(|wait| wait.lock != 0).max_by_key(|wait| wait.since)
}

/// How long a thread has run and waited for a CPU, and how often it ran: the same as long as it sleeps.
fn account(thread: &Thread) -> Option<String> {
    fs::read_to_string(format!("/proc/{}/task/{}/schedstat", thread.pid, thread.stat.pid)).ok()
}

fn describe(thread: &Thread, wait: &Wait, now_ns: u64, namer: &mut Namer<'_>) -> Option<PendingWait> {
    let kind = Kind::from_number(wait.kind)?;
    let stack = stack(thread);
    let waits = Waits { class: wait.class, ..Waits::default() };
    let owner = namer.people.get(wait.owner);
    Some(PendingWait {
        kind: KindName(kind),
        name: namer.name(LockKey { address: wait.lock, kind }, &waits, Some(names::callers(&stack))),
        address: format!("{:#x}", wait.lock),
        pid: thread.pid.cast_unsigned(),
        tid: thread.stat.pid.cast_unsigned(),
        comm: escape(thread.stat.comm.as_bytes()),
        waited_ns: now_ns.saturating_sub(wait.since),
        owner_tid: owner.map(|owner| owner.tid),
        owner_comm: owner.map(|owner| escape(&owner.name())),
        stack: Some(stack).filter(|stack| !stack.is_empty()),
    })
}

/// Where a thread sleeps, innermost function first: `[<0>] jbd2_log_wait_commit+0xe6/0x150`.
fn stack(thread: &Thread) -> Vec<String> {
    let stack = fs::read_to_string(format!("/proc/{}/task/{}/stack", thread.pid, thread.stat.pid));
    let functions = stack.unwrap_or_default();
    let name = |line: &str| Some(line.split_once("] ")?.1.split('+').next()?.to_owned());
    functions.lines().filter_map(name).collect()
}
