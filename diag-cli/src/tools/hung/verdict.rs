//! What is the matter, in a sentence.

use std::time::Duration;

use super::{
    advice::advice,
    record::{StuckGroup, StuckTask},
    words,
};
use crate::output::{
    record::{
        cause::{CauseWord, LayerWord, Via},
        parties::{Group, GroupType},
        verdict::{Status, Subject, SubjectType, Verdict},
    },
    units,
};

/// The verdict over some groups and the longest task of each.
pub(super) fn verdict(groups: &[StuckGroup], longest: &[StuckTask], threshold: Duration) -> Verdict {
    found(groups, longest).unwrap_or_else(|| {
        let threshold = units::time(u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX));
        Verdict::nothing(format!(
            "Nothing was stuck: no task slept uninterruptibly for {threshold} or longer"
        ))
    })
}

fn found(groups: &[StuckGroup], longest: &[StuckTask]) -> Option<Verdict> {
    // What can never end comes before what is large.
    let at = longest.iter().position(StuckTask::is_deadlock).unwrap_or(0);
    let (group, task) = (groups.get(at)?, longest.get(at)?);
    let all: u64 = groups.iter().map(|group| group.task_count).sum();
    let resolved: u64 = groups.iter().map(|group| group.resolved_count).sum();
    let longest_ns = groups.iter().map(|group| group.longest_ns).max().unwrap_or(0);
    let statement =
        format!("{}; {}{}", extent(all, resolved, longest_ns), cause(all, group, task), end(task));
    Some(Verdict {
        status: Status::Found,
        statement,
        subject: Some(subject(group, task)),
        layer: Some(LayerWord(group.keys.cause.layer())),
        cause: Some(CauseWord(group.keys.cause)),
        via: group.keys.via.map(Via),
        share: None,
        ns: Some(group.longest_ns),
        advice: Some(advice(task)),
    })
}

/// A task, or a group of them; one that has a name only where all of its tasks have the same.
fn subject(group: &StuckGroup, task: &StuckTask) -> Subject {
    let device = task.place.device.clone();
    if group.task_count == 1 {
        let named = Subject::named(SubjectType::Task, task.task.label());
        return Subject { task: Some(task.task.clone()), device, ..named };
    }
    let shared = match &group.comms[..] {
        [only] if group.comms_omitted.count == 0 && only.task_count == group.task_count => {
            Some(Group { comm: Some(only.comm.clone()), ..Group::of(GroupType::Comm) })
        }
        _ => None,
    };
    let name = units::counted(group.task_count, "task");
    Subject { group: shared, device, ..Subject::named(SubjectType::Group, name) }
}

/// How many, and for how long.
fn extent(all: u64, resolved: u64, longest_ns: u64) -> String {
    let stuck = all - resolved;
    let time = units::time(longest_ns);
    let tasks = |number| units::counted(number, "task");
    match (stuck, resolved) {
        (0, 1) => format!("1 task was stuck for {time}, and has gone on"),
        (0, _) => format!("{} were stuck, the longest for {time}, and have gone on", tasks(resolved)),
        (1, 0) => format!("1 task has been stuck for {time}"),
        (_, 0) => format!("{} are stuck, the longest for {time}", tasks(stuck)),
        (1, _) => format!("1 task is stuck, and {} had been; the longest for {time}", units::count(resolved)),
        (_, _) => {
            format!(
                "{} are stuck, and {} had been; the longest for {time}",
                tasks(stuck),
                units::count(resolved)
            )
        }
    }
}

/// What those of a group wait for.
fn cause(all: u64, group: &StuckGroup, task: &StuckTask) -> String {
    let who = match (group.task_count, all) {
        (1, 1) => "it".to_owned(),
        (1, _) => task.task.label(),
        (tasks, _) if tasks == all => "all of them".to_owned(),
        (tasks, _) => format!("{} of them", units::count(tasks)),
    };
    let verb = match (group.task_count == group.resolved_count, group.task_count) {
        (true, _) => "waited",
        (false, 1) => "waits",
        (false, _) => "wait",
    };
    let place = words::place(&task.place).map_or(String::new(), |place| format!(", {place}"));
    format!("{who} {verb} for {}{place}", words::wait(task.keys.cause))
}

/// Who is at the end of the chain.
fn end(task: &StuckTask) -> String {
    if task.is_deadlock() {
        return ". What it waits for waits for it: a deadlock, which does not end by itself".to_owned();
    }
    let Some(end) = task.chain.last() else { return String::new() };
    let does = match (end.waits_for(), end.state) {
        (Some(cause), _) => {
            let place = words::place(&end.place).map_or(String::new(), |place| format!(", {place}"));
            Some(format!("it waits for {}{place}", words::wait(cause)))
        }
        (None, state) => state.map(|state| words::state(state).to_owned()),
    };
    match (&end.task, &end.name, does) {
        (Some(task), _, Some(does)) => format!(". Behind it all is {}: {does}", task.label()),
        (Some(task), _, None) => format!(". Behind it all is {}", task.label()),
        (None, Some(name), _) => format!(". Behind it all is {name}"),
        (None, None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use diag_common::cause::{Cause, Layer};

    use super::*;
    use crate::tools::hung::sample::{chain, crowd_of, nothing, report};

    fn verdict_of(tasks: Vec<StuckTask>) -> Verdict {
        let verdict = report(tasks).record.body.verdict;
        assert!(verdict.is_found());
        verdict
    }

    #[test]
    fn the_end_of_the_chain_is_named() {
        let verdict = verdict_of(vec![chain()]);
        assert_eq!(
            verdict.statement,
            "1 task has been stuck for 12 s; it waits for an inode lock (filesystem.inode-lock), /srv/data/data on \
             loop0 (ext4 at /srv/data). Behind it all is sshfs[400]: it is stopped"
        );
        assert!(verdict.advice()[0].text.contains("kill -CONT 400"), "{:?}", verdict.advice);
        assert_eq!(
            (verdict.layer, verdict.cause, verdict.via, verdict.ns),
            (
                Some(LayerWord(Layer::Filesystem)),
                Some(CauseWord(Cause::InodeLock)),
                Some(Via(Cause::StoppedSignal)),
                Some(12_340_000_000)
            )
        );
        let subject = verdict.subject.expect("it is about a task");
        assert_eq!((subject.kind, subject.name.as_str()), (SubjectType::Task, "postgres[812]"));
        assert_eq!(subject.task.and_then(|task| task.tid), Some(812));
    }

    #[test]
    fn the_largest_group_speaks_for_all() {
        let mut tasks = crowd_of(3);
        tasks.push(chain());
        let verdict = verdict_of(tasks);
        assert!(
            verdict.statement.starts_with(
                "4 tasks are stuck, the longest for 12 s; 3 of them wait for a frozen file system"
            ),
            "{}",
            verdict.statement
        );
        assert!(
            verdict.advice().iter().any(|advice| advice.text.contains("fsfreeze -u /srv/frozen")),
            "{:?}",
            verdict.advice
        );
        let subject = verdict.subject.expect("it is about a group");
        assert_eq!((subject.kind, subject.name.as_str()), (SubjectType::Group, "3 tasks"));
        assert_eq!(subject.group.and_then(|group| group.comm).as_deref(), Some("worker"));
    }

    #[test]
    fn a_deadlock_is_called_one() {
        let mut task = chain();
        task.chain.truncate(1);
        task.chain[0].deadlock = true;
        let verdict = verdict_of(vec![task]);
        assert!(verdict.statement.contains("a deadlock"), "{}", verdict.statement);
        assert_eq!(verdict.advice()[0].rule, "deadlock");
    }

    #[test]
    fn what_went_on_is_past() {
        let tasks =
            crowd_of(2).into_iter().map(|task| StuckTask { resolved_at: Some(task.since), ..task }).collect();
        let statement = verdict_of(tasks).statement;
        assert!(statement.contains("were stuck") && statement.contains("have gone on"), "{statement}");
        assert!(statement.contains("all of them waited for"), "{statement}");
    }

    #[test]
    fn nothing_is_a_verdict_too() {
        let verdict = nothing().record.body.verdict;
        assert_eq!(verdict.status, Status::Nothing);
        assert_eq!(verdict.statement, "Nothing was stuck: no task slept uninterruptibly for 10 s or longer");
    }
}
