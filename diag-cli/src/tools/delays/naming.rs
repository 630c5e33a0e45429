//! Groups and tasks as records name them.

use std::{cell::OnceCell, collections::HashMap, path::PathBuf};

use diag_common::who;

use super::{
    args::By,
    harvest::{Harvest, Key, Longest},
};
use crate::{
    output::{
        record::parties::{Group, GroupType, Task},
        text::escape,
    },
    target::{CgroupNames, Hierarchies, Roots, places},
};

/// Names groups, each key once.
pub(super) struct Naming<'a, 'n> {
    by: By,
    /// The same that the session learns cgroups with: none where the system has no cgroups.
    cgroups: &'a mut Option<&'n mut CgroupNames>,
    named: HashMap<Key, Group>,
    /// Those that there are; read where they are asked for.
    hierarchies: OnceCell<Option<Hierarchies>>,
}

impl<'a, 'n> Naming<'a, 'n> {
    pub(super) fn new(by: By, cgroups: &'a mut Option<&'n mut CgroupNames>) -> Naming<'a, 'n> {
        Naming { by, cgroups, named: HashMap::new(), hierarchies: OnceCell::new() }
    }

    /// The group of a key. Several cgroups can be of one group.
    pub(super) fn group(&mut self, key: Key, harvest: &Harvest) -> Group {
        if let Some(group) = self.named.get(&key) {
            return group.clone();
        }
        let group = self.name(key, harvest);
        self.named.insert(key, group.clone());
        group
    }

    fn name(&mut self, key: Key, harvest: &Harvest) -> Group {
        let of = Group::of;
        let known = harvest.names.get(&key);
        let (comm, start_ns) = (known.map(|name| escape(&name.comm)), known.and_then(|name| name.start_ns));
        match key {
            Key::Cgroup(0) => of(GroupType::Cgroup),
            Key::Cgroup(id) => self.cgroup(id),
            Key::Kernel => of(GroupType::Kernel),
            Key::Comm(name) => Group { comm: Some(escape(&who::name(name))), ..of(GroupType::Comm) },
            Key::Process(pid) => Group { pid: Some(pid), comm, start_ns, ..of(GroupType::Process) },
            Key::Thread(pid, tid) => {
                Group { pid: Some(pid), tid: Some(tid), comm, start_ns, ..of(GroupType::Thread) }
            }
            Key::Rest => of(GroupType::Rest),
        }
    }

    fn cgroup(&mut self, id: u64) -> Group {
        match (self.by, self.cgroups.as_deref_mut()) {
            (By::Container, Some(names)) => names.group(id),
            (_, Some(names)) => names.cgroup(id),
            (_, None) => Group { cgroup_id: Some(id), ..Group::of(GroupType::Cgroup) },
        }
    }

    /// The folders of a group's cgroup and of those above it in the hierarchy of a controller, its own first.
    pub(super) fn folders(&self, group: &Group, controller: &str) -> Vec<PathBuf> {
        let hierarchies = self.hierarchies.get_or_init(|| Hierarchies::read(&Roots::default()).ok());
        let hierarchy = hierarchies.as_ref().and_then(|all| all.of_controller(controller));
        let found = self.cgroups.as_deref().zip(hierarchy);
        found.map(|(names, hierarchy)| places::folders(names, hierarchy, group)).unwrap_or_default()
    }

    /// The task of a single wait.
    pub(super) fn task(&mut self, wait: &Longest) -> Task {
        let home = self.cgroups.as_deref_mut().map(|names| names.home(wait.cgroup)).unwrap_or_default();
        Task {
            pid: Some(wait.tgid),
            tid: Some(wait.tid),
            process_comm: (!wait.process_comm.is_empty()).then(|| escape(&wait.process_comm)),
            comm: Some(escape(&wait.comm)),
            start_ns: (wait.start_ns != 0).then_some(wait.start_ns),
            cgroup: home.cgroup,
            container: home.container,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::delays::{
        harvest::Name,
        sample::{self, comm},
    };

    #[test]
    fn every_key_has_a_name() {
        let name = b"post\x1bgres".to_vec();
        let name = Name { comm: name, start_ns: Some(3_000) };
        let names = [(Key::Process(7), name.clone()), (Key::Thread(7, 8), name)];
        let harvest = Harvest { names: names.into(), ..Harvest::default() };
        let mut none = None;
        let mut naming = Naming::new(By::Container, &mut none);
        for (key, label) in [
            (Key::Cgroup(0), "a cgroup"),
            (Key::Cgroup(12), "cgroup 12"),
            (Key::Kernel, "kernel threads"),
            (Key::Comm(comm("web")), "web"),
            (Key::Process(7), "post\\x1bgres[7]"),
            (Key::Process(9), "?[9]"),
            (Key::Thread(7, 8), "post\\x1bgres[8]"),
            (Key::Rest, "all others"),
        ] {
            assert_eq!(naming.group(key, &harvest).label(), label);
        }
        let start = |key, naming: &mut Naming<'_, '_>| naming.group(key, &harvest).start_ns;
        assert_eq!(start(Key::Process(7), &mut naming), Some(3_000));
        assert_eq!(start(Key::Process(9), &mut naming), None);
    }

    #[test]
    fn what_is_not_known_of_a_task_is_null() {
        let mut none = None;
        let mut naming = Naming::new(By::Comm, &mut none);
        let task = naming.task(&sample::wait(Key::Kernel, 8, 5));
        assert_eq!((task.pid, task.tid, task.comm.as_deref()), (Some(8), Some(9), Some("worker")));
        assert_eq!(task.process_comm.as_deref(), Some("service"));
        assert_eq!((task.start_ns, task.cgroup), (None, None));
    }
}
