//! The verdict on a task that waits for a CPU and does not get one.

use diag_common::cause::Cause;

use super::{
    advice::{self, Situation},
    policy::Policy,
    record::Reason,
    verdict::Found,
    waiting::Waiting,
};
use crate::output::{
    record::{
        cause::{CauseWord, LayerWord},
        verdict::{Status, Subject, SubjectType, Verdict},
    },
    units,
};

/// A task that gets no CPU at all: no wait of its has ended, so it is in no number.
pub(super) fn starved(found: Found<'_>, waiting: &Waiting) -> Verdict {
    let held = waiting.throttled == Some(true);
    let cause = if held { Cause::Throttled } else { Cause::Runqueue };
    let name = waiting.task.label();
    let least = if waiting.since_known { "" } else { "at least " };
    let mut statement = if held {
        format!("{name} was held by its CPU quota for {least}{}", units::time(waiting.waited_ns))
    } else {
        format!("{name} waited {least}{} for a CPU", units::time(waiting.waited_ns))
    };
    if let Some(cpu) = waiting.cpu {
        statement += &format!(" on CPU {cpu}");
    }
    if let Some(policy) = waiting.policy.and_then(Policy::name) {
        statement += &format!(", as {policy},");
    }
    statement += " and still did when tracing ended.";
    let task = &waiting.task;
    let quota = found.cgroups.filter(|_| held).and_then(|cgroups| cgroups.quota(task.cgroup.as_deref()?));
    let situation = Situation {
        reason: held.then_some(Reason::Quota),
        victim: Some(task),
        quota,
        starved: !held,
        ..Situation::default()
    };
    Verdict {
        subject: Some(Subject {
            task: Some(waiting.task.clone()),
            ..Subject::named(SubjectType::Task, name)
        }),
        layer: Some(LayerWord(cause.layer())),
        cause: Some(CauseWord(cause)),
        ns: Some(waiting.waited_ns),
        advice: Some(advice::advice(&situation)),
        ..Verdict::without_subject(Status::Found, statement)
    }
}
