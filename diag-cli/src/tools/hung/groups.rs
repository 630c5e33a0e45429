//! Tasks that are stuck in the same place, put together.

use std::{cmp::Reverse, collections::HashMap};

use super::record::{Behind, Cause, Comm, Group, StuckTask};

/// Names of a group that are kept.
const NAMES: usize = 5;

/// What the tasks of a group have in common.
type Key<'a> =
    (Cause, Option<&'a str>, &'a [String], Option<&'a str>, Option<&'a str>, Option<(u32, &'a str)>);

fn key(task: &StuckTask) -> Key<'_> {
    let wait = &task.wait;
    let root = task.behind.as_deref().map(|behind| {
        let root = end(behind);
        (root.who.as_ref().map_or(0, |who| who.tid), root.name.as_deref().unwrap_or_default())
    });
    (wait.cause, wait.detail.as_deref(), &task.who.stack, wait.device.as_deref(), wait.mount.as_deref(), root)
}

/// The end of a chain.
pub(super) fn end(behind: &Behind) -> &Behind {
    behind.behind.as_deref().map_or(behind, end)
}

/// Who is at the end of a chain, in words.
pub(super) fn root(task: &StuckTask) -> Option<String> {
    let end = end(task.behind.as_deref()?);
    match (&end.who, &end.name) {
        (Some(who), _) => Some(format!("{}[{}]", who.comm, who.tid)),
        (None, Some(name)) => Some(name.clone()),
        (None, None) => None,
    }
}

/// The groups of some tasks, each with the place of its longest task in `tasks`; the largest group first, and the longest
/// among equals.
pub(super) fn grouped(tasks: &[StuckTask]) -> Vec<(Group, usize)> {
    let mut groups: HashMap<Key<'_>, Vec<usize>> = HashMap::new();
    for (at, task) in tasks.iter().enumerate() {
        groups.entry(key(task)).or_default().push(at);
    }
    let mut groups: Vec<(Group, usize)> =
        groups.into_values().map(|members| group(tasks, &members)).collect();
    groups.sort_by_key(|(group, at)| (Reverse((group.tasks - group.resolved, group.tasks)), *at));
    groups
}

fn group(tasks: &[StuckTask], members: &[usize]) -> (Group, usize) {
    let longest = *members.iter().max_by_key(|&&at| tasks[at].blocked_ns).expect("a group has a member");
    let first = &tasks[longest];
    let mut names: HashMap<&str, u64> = HashMap::new();
    for &at in members {
        *names.entry(&tasks[at].who.comm).or_default() += 1;
    }
    let mut comms: Vec<Comm> =
        names.into_iter().map(|(comm, tasks)| Comm { comm: comm.to_owned(), tasks }).collect();
    comms.sort_by(|a, b| b.tasks.cmp(&a.tasks).then(a.comm.cmp(&b.comm)));
    comms.truncate(NAMES);
    let group = Group {
        tasks: members.len() as u64,
        resolved: members.iter().filter(|&&at| tasks[at].resolved.is_some()).count() as u64,
        longest_ns: first.blocked_ns,
        cause: first.wait.cause,
        detail: first.wait.detail.clone(),
        stack: first.who.stack.clone(),
        comms,
        root: root(first),
    };
    (group, longest)
}
