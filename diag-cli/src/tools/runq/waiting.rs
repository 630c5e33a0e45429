//! Tasks that wait and get no CPU: no wait of theirs has ended, so nothing was counted of it, and they may be the whole
//! trouble.

use diag_common::runq::{TaskState, flag};
use schemars::JsonSchema;
use serde::Serialize;

use super::policy::{self, Policy};
use crate::{
    ebpf::states::States,
    kernel::task_files::TaskStatus,
    output::text::escape,
    target::{STAYS, Target, Thread, staying, threads},
};

/// A task that was runnable when tracing ended, and did not run for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Waiting {
    /// The thread's name.
    pub(crate) comm: String,
    /// The process.
    pub(crate) pid: u32,
    /// The thread.
    pub(crate) tid: u32,
    /// Its scheduling policy.
    pub(crate) policy: Policy,
    /// The CPU on whose queue it is.
    pub(crate) cpu: Option<u32>,
    /// How long it had waited by then, ns; at least so long where `since_known` is false.
    pub(crate) waited_ns: u64,
    /// Whether it is known when the wait began.
    pub(crate) since_known: bool,
    /// Whether a CPU quota held it.
    pub(crate) throttled: bool,
}

/// More than these are not listed.
const MOST: usize = 64;

/// The target's tasks that want to run, and do not. `now` is when tracing ended, ns.
pub(super) fn waiting(target: &Target, states: &States<TaskState>, now: u64) -> Vec<Waiting> {
    let runnable = threads(target).filter(|thread| thread.stat.state == 'R');
    let met = runnable.filter_map(|thread| {
        let account = thread.account()?;
        Some((thread, account))
    });
    let stuck = staying(met.collect(), Thread::account);
    let mut waiting: Vec<Waiting> = stuck.iter().map(|thread| describe(thread, states, now)).collect();
    waiting.sort_by_key(|task| (std::cmp::Reverse(task.waited_ns), task.tid));
    waiting.truncate(MOST);
    waiting
}

/// How often a thread has left a CPU.
fn runs(pid: u32, tid: u32) -> Option<u64> {
    let status = TaskStatus::read(pid, tid)?;
    Some(status.number("voluntary_ctxt_switches")? + status.number("nonvoluntary_ctxt_switches")?)
}

fn describe(Thread { pid, comm, stat }: &Thread, states: &States<TaskState>, now: u64) -> Waiting {
    let (pid, tid) = (pid.cast_unsigned(), stat.pid.cast_unsigned());
    let runs = runs(pid, tid);
    let state = states.get(tid).filter(|state| {
        // It may have run unseen, and wait another wait.
        Some(state.runs) == runs && state.since != 0 && state.since <= now
    });
    Waiting {
        comm: escape(comm),
        pid,
        tid,
        policy: policy::of(stat),
        cpu: stat.processor.and_then(|cpu| u32::try_from(cpu).ok()),
        waited_ns: state.map_or(STAYS.as_nanos() as u64, |state| now - state.since),
        since_known: state.is_some(),
        throttled: state.is_some_and(|state| state.flags & flag::THROTTLED != 0),
    }
}
