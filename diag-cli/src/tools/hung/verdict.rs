//! What is the matter, in a sentence.

use super::{
    advice::advice,
    record::{Group, StuckTask, Verdict},
    words,
};
use crate::output::units;

/// The verdict over some groups and the longest task of each; none where nothing was stuck.
pub(super) fn verdict(groups: &[Group], longest: &[StuckTask]) -> Option<Verdict> {
    // What can never end comes before what is large.
    let at = longest.iter().position(words::is_deadlock).unwrap_or(0);
    let (group, task) = (groups.get(at)?, longest.get(at)?);
    let all: u64 = groups.iter().map(|group| group.tasks).sum();
    let resolved: u64 = groups.iter().map(|group| group.resolved).sum();
    let deadlock = words::is_deadlock(task);
    let longest_ns = groups.iter().map(|group| group.longest_ns).max().unwrap_or(0);
    let statement =
        format!("{}; {}{}", extent(all, resolved, longest_ns), cause(all, group, task), end(task, deadlock));
    Some(Verdict { cause: group.cause, deadlock, statement, advice: advice(task, deadlock) })
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
fn cause(all: u64, group: &Group, task: &StuckTask) -> String {
    let who = match (group.tasks, all) {
        (1, 1) => "it".to_owned(),
        (1, _) => words::name(&task.who),
        (tasks, _) if tasks == all => "all of them".to_owned(),
        (tasks, _) => format!("{} of them", units::count(tasks)),
    };
    let verb = match (group.tasks == group.resolved, group.tasks) {
        (true, _) => "waited",
        (false, 1) => "waits",
        (false, _) => "wait",
    };
    let place = words::place(&task.wait).map_or(String::new(), |place| format!(", {place}"));
    format!("{who} {verb} for {}{place}", words::wait(&task.wait))
}

/// Who is at the end of the chain.
fn end(task: &StuckTask, deadlock: bool) -> String {
    if deadlock {
        return ". What it waits for waits for it: a deadlock, which does not end by itself".to_owned();
    }
    let Some(end) = words::links(task).last() else { return String::new() };
    match (&end.who, &end.name) {
        (Some(who), _) => {
            let does = match &end.wait {
                Some(wait) => {
                    let place = words::place(wait).map_or(String::new(), |place| format!(", {place}"));
                    format!("it waits for {}{place}", words::wait(wait))
                }
                None => words::state(who).to_owned(),
            };
            format!(". Behind it all is {}: {does}", words::name(who))
        }
        (None, Some(name)) => format!(". Behind it all is {name}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::hung::sample::{chain, crowd_of, nothing, report};

    fn verdict_of(tasks: Vec<StuckTask>) -> Verdict {
        report(tasks).record.body.verdict.expect("something is stuck")
    }

    #[test]
    fn the_end_of_the_chain_is_named() {
        let verdict = verdict_of(vec![chain()]);
        assert_eq!(
            verdict.statement,
            "1 task has been stuck for 12 s; it waits for a lock (filesystem.inode-lock), /srv/data/data on loop0 \
             (ext4 at /srv/data). Behind it all is sshfs[400]: it is stopped"
        );
        assert!(verdict.advice[0].contains("kill -CONT 400"), "{:?}", verdict.advice);
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
            verdict.advice.iter().any(|text| text.contains("fsfreeze -u /srv/frozen")),
            "{:?}",
            verdict.advice
        );
    }

    #[test]
    fn a_deadlock_is_called_one() {
        let mut task = chain();
        let holder = task.behind.as_mut().expect("it has a chain");
        (holder.behind, holder.deadlock) = (None, true);
        let verdict = verdict_of(vec![task]);
        assert!(verdict.deadlock && verdict.statement.contains("a deadlock"), "{}", verdict.statement);
        assert!(verdict.advice[0].contains("ending one of them"), "{:?}", verdict.advice);
    }

    #[test]
    fn what_went_on_is_past() {
        let tasks =
            crowd_of(2).into_iter().map(|task| StuckTask { resolved: Some(task.since), ..task }).collect();
        let statement = verdict_of(tasks).statement;
        assert!(statement.contains("were stuck") && statement.contains("have gone on"), "{statement}");
        assert!(statement.contains("all of them waited for"), "{statement}");
        assert!(nothing().record.body.verdict.is_none());
    }
}
