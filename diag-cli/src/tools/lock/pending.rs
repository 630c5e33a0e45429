//! Waits that have not ended: nothing was counted of them, and they may be the whole trouble.

use diag_common::{
    contention::Kind,
    lock::{TaskState, Wait},
};

use super::{
    collect::{LockKey, Waits},
    namer::Namer,
    names,
    record::{LockType, PendingWait},
};
use crate::{
    ebpf::{clock, states::States},
    kernel::procfs::Reader,
    output::record::parties::Omitted,
    target::{Members, Thread, staying},
};

/// More than these are not listed.
const MOST: usize = 64;

/// The waits of the target's tasks that are in uninterruptible sleep and stay there, longest first, and how many of them the
/// list lacks.
pub(super) fn pending(
    members: &Members<'_>,
    states: &States<TaskState>,
    namer: &mut Namer<'_>,
    reader: &mut Reader,
) -> (Vec<PendingWait>, Omitted) {
    let now_ns = clock::now();
    let asleep = members.threads().filter(|thread| thread.state == 'D');
    let met = asleep.filter_map(|thread| {
        let wait = innermost(&states.get(thread.tid.cast_unsigned())?)?;
        let account = thread.account()?;
        Some(((thread, wait), account))
    });
    let mut stuck = staying(met.collect(), |(thread, _)| thread.account());
    stuck.sort_by_key(|(thread, wait)| (wait.since, thread.tid));
    let waited = |(_, wait): &(Thread, Wait)| now_ns.saturating_sub(wait.since);
    let rest = stuck.get(MOST..).unwrap_or_default();
    let omitted = Omitted { count: rest.len() as u64, ns: Some(rest.iter().map(waited).sum()) };
    let listed = stuck.iter().take(MOST);
    (listed.filter_map(|(thread, wait)| describe(thread, wait, now_ns, namer, reader)).collect(), omitted)
}

/// The wait in which the task is: of several the last to begin.
fn innermost(state: &TaskState) -> Option<Wait> {
    state.waits.into_iter().filter(|wait| wait.lock != 0).max_by_key(|wait| wait.since)
}

fn describe(
    thread: &Thread,
    wait: &Wait,
    now_ns: u64,
    namer: &mut Namer<'_>,
    reader: &mut Reader,
) -> Option<PendingWait> {
    let kind = Kind::from_number(wait.kind)?;
    let stack = thread.stack(reader);
    let waits = Waits { class: wait.class, ..Waits::default() };
    Some(PendingWait {
        lock_type: LockType(kind),
        name: namer.name(LockKey { address: wait.lock, kind }, &waits, Some(names::callers(&stack))),
        address: Some(format!("{:#x}", wait.lock)),
        task: thread.task(),
        waited_ns: now_ns.saturating_sub(wait.since),
        owner: namer.task(wait.owner),
        stack: Some(stack).filter(|stack| !stack.is_empty()),
    })
}
