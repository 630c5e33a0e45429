//! Culprits of one name taken together: for a sentence and the screen, where who they are one by one is too much.

use super::record::Group;
use crate::output::record::parties::{Culprit, Task};

/// Culprits of one name.
#[derive(Clone, Debug)]
pub(super) struct Kin<'a> {
    /// The task that had the CPU longest.
    pub(super) first: &'a Task,
    first_ns: u64,
    /// Their time, ns.
    pub(super) ns: u64,
    pids: Vec<Option<u32>>,
}

impl Kin<'_> {
    /// What they are called: `stress[4711]`, `stress (3 processes)`.
    pub(super) fn name(&self) -> String {
        let Task { comm, pid, tid, .. } = self.first;
        let comm = comm.as_deref().unwrap_or("?");
        match (self.pids.len(), pid, tid) {
            (1, Some(pid), Some(tid)) => format!("{comm}[{pid}/{tid}]"),
            (1, Some(pid), None) => format!("{comm}[{pid}]"),
            (1, ..) => comm.to_owned(),
            (processes, ..) => format!("{comm} ({processes} processes)"),
        }
    }

    /// How many processes they are of.
    pub(super) fn processes(&self) -> usize {
        self.pids.len()
    }
}

/// Takes culprits of one name together, each with the time that counts, ns; longest first.
pub(super) fn together<'a>(culprits: impl Iterator<Item = (&'a Culprit, u64)>) -> Vec<Kin<'a>> {
    let mut all: Vec<Kin<'a>> = Vec::new();
    for (culprit, ns) in culprits {
        let Some(task) = &culprit.task else { continue };
        match all.iter_mut().find(|kin| kin.first.comm == task.comm) {
            Some(kin) => {
                kin.ns += ns;
                if !kin.pids.contains(&task.pid) {
                    kin.pids.push(task.pid);
                }
                if ns > kin.first_ns {
                    (kin.first, kin.first_ns) = (task, ns);
                }
            }
            None => all.push(Kin { first: task, first_ns: ns, ns, pids: vec![task.pid] }),
        }
    }
    all.sort_by_key(|kin| std::cmp::Reverse(kin.ns));
    all
}

/// What had the CPU, tasks of one name together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// What it is called. Not yet safe for a terminal.
    pub(super) name: String,
    /// Its time, ns.
    pub(super) ns: u64,
}

/// What had the CPU while a group waited, longest first; without those that the record does not list.
pub(super) fn holders(group: &Group) -> Vec<Holder> {
    let tasks = together(group.culprits.iter().map(|culprit| (culprit, culprit.ns)));
    let mut all: Vec<Holder> = tasks.iter().map(|kin| Holder { name: kin.name(), ns: kin.ns }).collect();
    let others = [
        ("idle: wake-up not taken up yet", group.idle_ns),
        ("interrupts", group.irq_ns.unwrap_or(0)),
        ("hypervisor", group.steal_ns.unwrap_or(0)),
    ];
    all.extend(
        others.map(|(name, ns)| Holder { name: name.to_owned(), ns }).into_iter().filter(|one| one.ns > 0),
    );
    all.sort_by_key(|holder| std::cmp::Reverse(holder.ns));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::runq::sample::{culprit, group, idle};

    #[test]
    fn those_of_one_name_come_together() {
        let culprits = vec![
            culprit("batch", 1, 1, 1_000, 0.25),
            culprit("batch", 2, 1, 1_000, 0.3),
            culprit("web", 3, 1, 1_000, 0.05),
        ];
        let group = idle(group("db", 1, 1_000, culprits), 0.4);
        let names: Vec<String> = holders(&group).into_iter().map(|holder| holder.name).collect();
        assert_eq!(names, ["batch (2 processes)", "idle: wake-up not taken up yet", "web[3]"]);
        let kin = together(group.culprits.iter().map(|culprit| (culprit, culprit.ns)));
        assert_eq!((kin[0].first.pid, kin[0].ns, kin[0].processes()), (Some(2), 550, 2));
    }
}
