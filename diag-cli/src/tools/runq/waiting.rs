//! Tasks that wait and get no CPU: no wait of theirs has ended, so nothing was counted of it, and they may be the whole
//! trouble.

use diag_common::{quota, runq::TaskState};
use schemars::JsonSchema;
use serde::Serialize;

use super::policy::{self, Policy};
use crate::{
    ebpf::states::States,
    kernel::procfs::{self, Reader},
    output::record::parties::{Omitted, Task},
    target::{Members, STAYS, Thread, staying},
};

/// A task that was runnable when tracing ended, and did not run for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Waiting {
    /// Which one.
    pub(crate) task: Task,
    /// Its scheduling policy; null where it is none that this program knows.
    pub(crate) policy: Option<Policy>,
    /// The CPU on whose queue it is; null where that is not known.
    pub(crate) cpu: Option<u32>,
    /// How long it had waited by then, ns; at least so long where `since_known` is false.
    pub(crate) waited_ns: u64,
    /// Whether it is known when the wait began.
    pub(crate) since_known: bool,
    /// Whether a CPU quota held it; null where that is not known.
    pub(crate) throttled: Option<bool>,
}

/// More than these are not listed.
const MOST: usize = 64;

/// The target's tasks that want to run, and do not, and what the list lacks. `now` is when tracing ended, ns.
pub(super) fn waiting(
    members: &Members<'_>,
    states: &States<TaskState>,
    reader: &mut Reader,
    now: u64,
) -> (Vec<Waiting>, Omitted) {
    let runnable = members.threads().filter(|thread| thread.state == 'R');
    let met = runnable.filter_map(|thread| {
        let account = thread.account()?;
        Some((thread, account))
    });
    let stuck = staying(met.collect(), Thread::account);
    let mut waiting: Vec<Waiting> =
        stuck.iter().map(|thread| describe(thread, states, reader, now)).collect();
    waiting.sort_by_key(|one| (std::cmp::Reverse(one.waited_ns), one.task.tid));
    let more = waiting.get(MOST..).unwrap_or_default();
    let omitted = Omitted { count: more.len() as u64, ns: Some(more.iter().map(|one| one.waited_ns).sum()) };
    waiting.truncate(MOST);
    (waiting, omitted)
}

fn describe(thread: &Thread, states: &States<TaskState>, reader: &mut Reader, now: u64) -> Waiting {
    let runs = procfs::status(thread.pid, thread.tid).and_then(|status| status.switches);
    let tid = thread.tid.cast_unsigned();
    let state = states.get(tid).filter(|state| {
        // It may have run unseen, and wait another wait.
        Some(state.runs) == runs && state.since != 0 && state.since <= now
    });
    Waiting {
        task: thread.task(),
        policy: policy::of(thread.tid),
        cpu: reader.cpu(thread.pid, thread.tid),
        waited_ns: state.map_or(STAYS.as_nanos() as u64, |state| now - state.since),
        since_known: state.is_some(),
        throttled: state.map(|state| state.wait.hold.flags & quota::HELD != 0),
    }
}
