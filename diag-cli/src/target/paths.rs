//! Cgroup ids as people know them: by their paths, and by the containers that they are.
//!
//! A cgroup can be gone before it is asked for: a CI job, a transient unit. So those that are made while a session traces are
//! taken down at once ([`CgroupNames::learn`]); the hierarchy is walked for those that were there before.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::hierarchy::Hierarchy;
use super::identity::ContainerNames;
use super::unit;
use crate::output::record::parties::{Container, Group, GroupType};
use crate::output::text::{escape, unescape};

/// Cgroups that were made while the session traced and are remembered at most.
const MOST_MADE: usize = 32_768;
/// How often an unknown id may cost a walk through the hierarchy.
const WALK_EVERY: Duration = Duration::from_secs(1);

/// The paths of the cgroups of one hierarchy, by their ids. One that is gone keeps its path.
pub(crate) struct CgroupNames {
    hierarchy: Hierarchy,
    number: Option<u32>,
    containers: ContainerNames,
    paths: HashMap<u64, Rc<str>>,
    /// The other way round: of several that had one path in turn, the newest.
    ids: HashMap<Rc<str>, u64>,
    walked: Option<Instant>,
    /// Those that were made while the session traced, oldest first.
    made: VecDeque<u64>,
}

/// Where a task belongs: what records have as `cgroup` and `container`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Home {
    /// The path of its cgroup.
    pub(crate) cgroup: Option<String>,
    /// Its container; none outside of containers.
    pub(crate) container: Option<Container>,
}

impl CgroupNames {
    /// Knows nothing yet; the first question walks the hierarchy.
    pub(crate) fn new(hierarchy: Hierarchy, containers: ContainerNames) -> CgroupNames {
        CgroupNames {
            number: hierarchy.number(),
            hierarchy,
            containers,
            paths: HashMap::new(),
            ids: HashMap::new(),
            walked: None,
            made: VecDeque::new(),
        }
    }

    /// Remembers a cgroup of this hierarchy that was made just now, by its path from the hierarchy's root. Of very many, the
    /// oldest that are gone are forgotten.
    pub(crate) fn learn(&mut self, id: u64, path: &[u8]) {
        if self.remember(id, escape(path)) {
            self.made.push_back(id);
        }
        while self.made.len() > MOST_MADE
            && let Some(oldest) = self.made.pop_front()
        {
            // One that is still there is found again by the next walk.
            if let Some(path) = self.paths.remove(&oldest)
                && self.ids.get(&path) == Some(&oldest)
            {
                self.ids.remove(&path);
            }
        }
    }

    /// Keeps what a path was last the path of; whether the cgroup is new.
    fn remember(&mut self, id: u64, path: String) -> bool {
        let path: Rc<str> = path.into();
        self.ids.insert(Rc::clone(&path), id);
        self.paths.insert(id, path).is_none()
    }

    /// The hierarchy whose cgroups they are.
    pub(crate) fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// The number that the kernel gives that hierarchy; none where it is not known.
    pub(crate) fn hierarchy_number(&self) -> Option<u32> {
        self.number
    }

    /// Where tasks in a cgroup belong; nothing is known of one that was gone before it was looked for.
    pub(crate) fn home(&mut self, id: u64) -> Home {
        let cgroup = self.path(id).map(str::to_owned);
        let container = cgroup.as_deref().and_then(|path| self.containers.of_cgroup(path)).cloned();
        Home { cgroup, container }
    }

    /// The path of a cgroup within the hierarchy; `None` for one that was gone before it was looked for.
    pub(crate) fn path(&mut self, id: u64) -> Option<&str> {
        if !self.paths.contains_key(&id) && self.walked.is_none_or(|walked| walked.elapsed() >= WALK_EVERY) {
            self.walk();
        }
        self.paths.get(&id).map(|path| &**path)
    }

    /// Looks for every cgroup that is there now, and returns their ids, the root's first.
    pub(crate) fn walk(&mut self) -> Vec<u64> {
        let folders = self.hierarchy.folders();
        for (folder, id) in &folders {
            self.remember(*id, self.hierarchy.path_of(folder));
        }
        self.walked = Some(Instant::now());
        folders.into_iter().map(|(_, id)| id).collect()
    }

    /// The folder of a path as records have it; it need not exist any more.
    pub(crate) fn folder(&self, path: &str) -> PathBuf {
        self.hierarchy.folder_of(Path::new(&OsString::from_vec(unescape(path.as_bytes()))))
    }

    /// The group of tasks in a cgroup: the innermost container that it is, or is in; else the unit; else the cgroup itself.
    /// Cgroups below those of a container or a unit belong to it, and so does one that had the same path before. Of one
    /// that was gone before it was looked for, nothing but the id is known.
    pub(crate) fn group(&mut self, id: u64) -> Group {
        let Some(path) = self.path(id).map(str::to_owned) else {
            return Group { cgroup_id: Some(id), ..Group::of(GroupType::Cgroup) };
        };
        let (kind, own, container) = match self.containers.holding(&path) {
            Some((own, container)) => (GroupType::Container, own, Some(container.clone())),
            None => match unit::cgroup_of(&path) {
                Some(own) => (GroupType::Unit, own.to_owned(), None),
                None => (GroupType::Cgroup, path, None),
            },
        };
        let cgroup_id = self.ids.get(own.as_str()).copied();
        Group { container, cgroup: Some(own), cgroup_id, ..Group::of(kind) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::{Machine, WEB, names_of};

    fn unified() -> Machine {
        let mut machine = Machine::new();
        machine.mount("unified", "cgroup2", "rw");
        machine
    }

    #[test]
    fn a_cgroup_belongs_to_its_container_else_to_its_unit() {
        let machine = unified();
        let docker = format!("/system.slice/docker-{WEB}.scope");
        for (path, kind, own) in [
            (docker.clone(), GroupType::Container, docker.as_str()),
            (format!("{docker}/init"), GroupType::Container, &docker),
            (format!("{docker}/system.slice/cron.service"), GroupType::Container, &docker),
            ("/system.slice/nginx.service".into(), GroupType::Unit, "/system.slice/nginx.service"),
            ("/system.slice/nginx.service/a/b".into(), GroupType::Unit, "/system.slice/nginx.service"),
            (
                "/user.slice/user-0.slice/session-1.scope".into(),
                GroupType::Unit,
                "/user.slice/user-0.slice/session-1.scope",
            ),
            ("/user.slice".into(), GroupType::Unit, "/user.slice"),
            // Somebody made it there by hand: it is no part of the slice's unit.
            ("/jobs.slice/nightly".into(), GroupType::Cgroup, "/jobs.slice/nightly"),
            ("/jobs/nightly".into(), GroupType::Cgroup, "/jobs/nightly"),
            ("/".into(), GroupType::Cgroup, "/"),
        ] {
            machine.busy(&format!("unified{path}"));
            let id = machine.inode(&format!("unified{path}"));
            let group = names_of(&machine).group(id);
            assert_eq!((group.kind, group.cgroup.as_deref()), (kind, Some(own)), "{path}");
            assert_eq!(group.cgroup_id, Some(machine.inode(&format!("unified{own}"))), "{path}");
            let container = group.container.map(|container| container.id);
            assert_eq!(container.as_deref(), (kind == GroupType::Container).then_some(WEB), "{path}");
        }
    }

    #[test]
    fn a_group_outlives_its_cgroup() {
        let mut names = names_of(&unified());
        let docker = format!("/system.slice/docker-{WEB}.scope");
        names.learn(101, docker.as_bytes());
        names.learn(102, format!("{docker}/init").as_bytes());
        let group = names.group(102);
        assert_eq!(group, names.group(101));
        assert_eq!((group.kind, group.cgroup_id), (GroupType::Container, Some(101)));
    }

    #[test]
    fn a_unit_that_is_restarted_stays_one_group() {
        let mut names = names_of(&unified());
        names.learn(7, b"/system.slice/nginx.service");
        let before = names.group(7);
        names.learn(8, b"/system.slice/nginx.service");
        assert_eq!(before.cgroup_id, Some(7));
        assert_eq!((names.group(7).cgroup_id, names.group(8).cgroup_id), (Some(8), Some(8)));
        assert_eq!(names.group(7), names.group(8));
    }

    #[test]
    fn what_was_gone_too_soon_keeps_its_id() {
        let group = names_of(&unified()).group(u64::MAX);
        assert_eq!((group.kind, group.cgroup, group.cgroup_id), (GroupType::Cgroup, None, Some(u64::MAX)));
    }
}
