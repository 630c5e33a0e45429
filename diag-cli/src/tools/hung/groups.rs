//! Tasks that are stuck in the same place, put together.

use std::{cmp::Reverse, collections::HashMap};

use diag_common::cause::Cause;

use super::{
    args::Sort,
    record::{CommCount, StuckGroup, StuckTask},
};
use crate::output::record::parties::{Device, Omitted};

/// Names of a group that are kept.
const NAMES: usize = 5;

/// What the tasks of a group have in common.
#[derive(PartialEq, Eq, Hash)]
struct Key<'a> {
    cause: Cause,
    stack: Option<&'a [String]>,
    device: Option<&'a Device>,
    mount: Option<&'a str>,
    /// The thread at the end of the chain, or its name.
    root: Option<(Option<u32>, Option<&'a str>)>,
}

fn key(task: &StuckTask) -> Key<'_> {
    let root = |link: &'_ super::record::Link| link.task.as_ref().and_then(|task| task.tid);
    Key {
        cause: task.keys.cause,
        stack: task.stack.as_deref(),
        device: task.place.device.as_ref(),
        mount: task.place.mount.as_deref(),
        root: task.chain.last().map(|end| (root(end), end.name.as_deref())),
    }
}

/// The groups of some tasks, each with the place of its longest task in `tasks`: by the number of those that are still stuck, or
/// by the longest; and by the other among equals.
pub(super) fn grouped(tasks: &[StuckTask], sort: Sort) -> Vec<(StuckGroup, usize)> {
    let mut groups: HashMap<Key<'_>, Vec<usize>> = HashMap::new();
    for (at, task) in tasks.iter().enumerate() {
        groups.entry(key(task)).or_default().push(at);
    }
    let mut groups: Vec<(StuckGroup, usize)> =
        groups.into_values().map(|members| group(tasks, &members)).collect();
    groups.sort_by_key(|(group, at)| {
        let size = (group.task_count - group.resolved_count, group.task_count);
        match sort {
            Sort::Tasks => (Reverse((size.0, size.1, group.longest_ns)), *at),
            Sort::Time => (Reverse((group.longest_ns, size.0, size.1)), *at),
        }
    });
    groups
}

fn group(tasks: &[StuckTask], members: &[usize]) -> (StuckGroup, usize) {
    let longest = *members.iter().max_by_key(|&&at| tasks[at].blocked_ns).expect("a group has a member");
    let first = &tasks[longest];
    let mut names: HashMap<&str, u64> = HashMap::new();
    for comm in members.iter().filter_map(|&at| tasks[at].task.comm.as_deref()) {
        *names.entry(comm).or_default() += 1;
    }
    let mut comms: Vec<CommCount> =
        names.into_iter().map(|(comm, task_count)| CommCount { comm: comm.to_owned(), task_count }).collect();
    comms.sort_by(|a, b| b.task_count.cmp(&a.task_count).then(a.comm.cmp(&b.comm)));
    let comms_omitted = Omitted { count: comms.len().saturating_sub(NAMES) as u64, ns: None };
    comms.truncate(NAMES);
    let end = first.chain.last();
    let root = end.and_then(|end| end.task.clone());
    let group = StuckGroup {
        task_count: members.len() as u64,
        resolved_count: members.iter().filter(|&&at| tasks[at].resolved_at.is_some()).count() as u64,
        longest_ns: first.blocked_ns,
        keys: first.keys,
        stack: first.stack.clone(),
        comms,
        comms_omitted,
        root_name: end.filter(|_| root.is_none()).and_then(|end| end.name.clone()),
        root,
    };
    (group, longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::hung::sample::{chain, crowd_of};

    #[test]
    fn groups_are_sorted_by_what_was_asked_for() {
        let mut tasks = crowd_of(2);
        tasks.push(chain());
        let sizes =
            |sort| -> Vec<u64> { grouped(&tasks, sort).iter().map(|(group, _)| group.task_count).collect() };
        assert_eq!((sizes(Sort::Tasks), sizes(Sort::Time)), (vec![2, 1], vec![1, 2]));
    }

    #[test]
    fn a_root_is_a_task_or_a_name() {
        let mut task = chain();
        let root = |task: &StuckTask| {
            let (group, _) = grouped(std::slice::from_ref(task), Sort::Tasks).remove(0);
            (group.root.and_then(|root| root.tid), group.root_name)
        };
        assert_eq!(root(&task), (Some(400), None));
        let end = task.chain.last_mut().expect("a chain");
        (end.task, end.name) = (None, Some("server:/export".into()));
        assert_eq!(root(&task), (None, Some("server:/export".into())));
        task.chain.clear();
        assert_eq!(root(&task), (None, None));
    }
}
