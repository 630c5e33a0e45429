//! Cgroup ids as people know them: by their paths, and by the containers that they are.
//!
//! A task is in a cgroup of each hierarchy. On a machine with hierarchies of v1 beside that of v2 the latter names a task, unless
//! the task is in its root; then it is another one ([`Hierarchies::naming`](super::Hierarchies::naming)). The kernel side tells
//! both cgroups ([`diag_common::cgroup::pair`]), and which of them names the task is decided here alone.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use diag_common::cgroup;

use super::hierarchy::{Hierarchies, Hierarchy, Roots};
use super::identity::ContainerNames;
use super::paths::Paths;
use super::unit;
use super::unnamed::Unnamed;
use crate::kernel::procfs::Reader;
use crate::output::record::parties::{Container, Group, GroupType, Task};
use crate::output::text::{escape, unescape};

/// The names of cgroups, by the numbers that the kernel side gives them.
pub(crate) struct CgroupNames {
    first: Paths,
    second: Option<Paths>,
    containers: ContainerNames,
    unnamed: Unnamed,
    /// For files that wait for the lock of cgroups.
    reader: Reader,
}

/// Where a task belongs: what records have as `cgroup` and `container`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Home {
    /// The path of its cgroup.
    pub(crate) cgroup: Option<String>,
    /// Its container; none outside of containers.
    pub(crate) container: Option<Container>,
}

/// The cgroup that names a task.
struct Cgroup {
    id: u64,
    /// None where it was gone before it was looked for.
    path: Option<Rc<str>>,
    is_second: bool,
}

impl CgroupNames {
    /// By the hierarchies that name tasks, or by that of a tool's own controller alone; `None` where there is no hierarchy.
    pub(crate) fn of(
        roots: &Roots,
        hierarchies: Hierarchies,
        target: Option<&Hierarchy>,
        controller: Option<&str>,
    ) -> Option<CgroupNames> {
        let own = controller.and_then(|controller| hierarchies.of_controller(controller));
        let (first, second) = own.map(|own| (own, None)).or_else(|| hierarchies.naming(target))?;
        Some(CgroupNames {
            first: Paths::new(first, roots),
            second: second.map(|second| Paths::new(second, roots)),
            containers: ContainerNames::new(roots, hierarchies),
            unnamed: Unnamed::default(),
            reader: Reader::default(),
        })
    }

    /// Takes down the cgroups that there are, which may be gone before one of them is asked for.
    pub(crate) fn take_down(&mut self) {
        let both = [Some(&mut self.first), self.second.as_mut()].into_iter().flatten();
        both.flat_map(Paths::take_down).for_each(|path| self.unnamed.add(path));
    }

    /// Names some of the containers whose names were not looked for yet, while their engines still have them.
    pub(crate) fn name_containers(&mut self) {
        self.unnamed.name(&mut self.containers);
    }

    /// Remembers a cgroup that was made just now, by its hierarchy's number and its path from that one's root.
    pub(crate) fn learn(&mut self, hierarchy: u32, id: u64, path: &[u8]) {
        let mut both = [Some(&mut self.first), self.second.as_mut()].into_iter().flatten();
        if let Some(paths) = both.find(|paths| paths.number == Some(hierarchy)) {
            let path = escape(path);
            paths.learn(id, &path);
            self.unnamed.add(path.into());
        }
    }

    /// The hierarchy that is asked first.
    pub(crate) fn hierarchy(&self) -> &Hierarchy {
        &self.first.hierarchy
    }

    /// The hierarchy of tasks that are in the root of the first, where there is another one.
    pub(crate) fn second(&self) -> Option<&Hierarchy> {
        self.second.as_ref().map(|second| &second.hierarchy)
    }

    /// Where tasks in a cgroup belong; nothing is known of one that was gone before it was looked for.
    pub(crate) fn home(&mut self, number: u64) -> Home {
        let path = self.cgroup_of(number).path;
        self.home_at(path.as_deref())
    }

    /// Fills in where threads belong that are there now.
    pub(crate) fn locate<'a>(&mut self, threads: impl Iterator<Item = &'a mut Task>) {
        for task in threads {
            if let (Some(pid), Some(tid)) = (task.pid, task.tid)
                && let Some(lines) = self.reader.cgroups(pid.cast_signed(), tid.cast_signed())
            {
                Home { cgroup: task.cgroup, container: task.container } = self.home_of_lines(&lines);
            }
        }
    }

    /// Where a task belongs with these lines in its `/proc/PID/cgroup`.
    fn home_of_lines(&mut self, lines: &[u8]) -> Home {
        let (path, _) = self.path_of_lines(lines);
        self.home_at(path.as_deref())
    }

    /// The path that names a task with these lines, and whether it is in the second hierarchy.
    fn path_of_lines(&mut self, lines: &[u8]) -> (Option<String>, bool) {
        let path = |paths: &Paths| paths.hierarchy.path_of_task(lines).map(escape);
        let (first, second) = (path(&self.first), self.second.as_ref().and_then(path));
        let by_second = self.second.is_some() && self.is_of_second(first.as_deref(), second.as_deref());
        (if by_second { second } else { first }, by_second)
    }

    fn home_at(&mut self, path: Option<&str>) -> Home {
        let container = path.and_then(|path| self.containers.of_cgroup(path)).cloned();
        Home { cgroup: path.map(str::to_owned), container }
    }

    /// Which cgroup names tasks of which the kernel side gave this number.
    fn cgroup_of(&mut self, number: u64) -> Cgroup {
        let Some(second) = &mut self.second else {
            return Cgroup { id: number, path: self.first.path(number), is_second: false };
        };
        let (in_first, in_second) = cgroup::parts(number);
        let first = in_first.map(|id| Cgroup { id, path: self.first.path(id), is_second: false });
        let second = in_second.map(|id| Cgroup { id, path: second.path(id), is_second: true });
        match (first, second) {
            (Some(first), Some(second)) => {
                let by_second = self.is_of_second(first.path.as_deref(), second.path.as_deref());
                if by_second { second } else { first }
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => Cgroup { id: number, path: None, is_second: false },
        }
    }

    /// Whether a task with these paths is named by the second: it is in the first's root, or in a container whose engine makes
    /// no cgroups in the first.
    fn is_of_second(&mut self, first: Option<&str>, second: Option<&str>) -> bool {
        first == Some("/") || {
            let mut is_container = |path| self.containers.of_cgroup(path).is_some();
            second.is_some_and(&mut is_container) && !first.is_some_and(&mut is_container)
        }
    }

    /// Looks for every cgroup of the first hierarchy that is there now, and returns their ids, the root's first.
    pub(crate) fn walk(&mut self) -> Vec<u64> {
        self.first.walk()
    }

    /// The folder in the first hierarchy of a path as records have it; it need not exist any more.
    pub(crate) fn folder(&self, path: &str) -> PathBuf {
        self.first.hierarchy.folder_of(Path::new(&OsString::from_vec(unescape(path.as_bytes()))))
    }

    /// Whether a group of these has its cgroup in the first hierarchy, as far as its path and id say.
    pub(crate) fn is_of_first(&self, group: &Group) -> bool {
        let Some(second) = &self.second else { return true };
        let has_it = |paths: &Paths| {
            let path = group.cgroup.as_deref();
            group.cgroup_id.is_some() && path.and_then(|path| paths.id(path)) == group.cgroup_id
        };
        has_it(&self.first) && !has_it(second)
    }

    /// The cgroup alone, as a group. Of one that was gone before it was looked for, nothing but the id is known.
    pub(crate) fn cgroup(&mut self, number: u64) -> Group {
        let Cgroup { id, path, .. } = self.cgroup_of(number);
        let cgroup = path.map(|path| path.to_string());
        Group { cgroup, cgroup_id: Some(id), ..Group::of(GroupType::Cgroup) }
    }

    /// The group of tasks in a cgroup: the innermost container that it is, or is in; else the unit; else the cgroup itself.
    /// Cgroups below those of a container or a unit belong to it, and so does one that had the same path before. Of one
    /// that was gone before it was looked for, nothing but the id is known.
    pub(crate) fn group(&mut self, number: u64) -> Group {
        let Cgroup { id, path, is_second } = self.cgroup_of(number);
        match path {
            Some(path) => self.group_at(&path, is_second),
            None => Group { cgroup_id: Some(id), ..Group::of(GroupType::Cgroup) },
        }
    }

    /// The group of a task with these lines in its `/proc/PID/cgroup`.
    pub(crate) fn group_of_lines(&mut self, lines: &[u8]) -> Option<Group> {
        let (path, is_second) = self.path_of_lines(lines);
        Some(self.group_at(&path?, is_second))
    }

    /// The group of a folder in one of the hierarchies that name tasks; `None` elsewhere.
    pub(crate) fn group_in(&mut self, folder: &Path) -> Option<Group> {
        let path = |paths: &Paths| {
            let hierarchy = &paths.hierarchy;
            folder.starts_with(&hierarchy.mount).then(|| hierarchy.path_of(folder))
        };
        let (first, second) = (path(&self.first), self.second.as_ref().and_then(path));
        let is_second = first.is_none();
        Some(self.group_at(&first.or(second)?, is_second))
    }

    /// What the kernel side gives tasks of a cgroup, by its folder in one of the hierarchies that name tasks; `None` elsewhere.
    pub(crate) fn number_in(&mut self, folder: &Path) -> Option<u64> {
        let id = |paths: &mut Paths| {
            let hierarchy = &paths.hierarchy;
            let path = folder.starts_with(&hierarchy.mount).then(|| hierarchy.path_of(folder))?;
            paths.find(&path)
        };
        if let Some(in_first) = id(&mut self.first) {
            return Some(self.number(in_first, cgroup::ROOT));
        }
        let in_second = self.second.as_mut().and_then(id)?;
        Some(self.number(cgroup::ROOT, in_second))
    }

    /// The same of a task with these lines in its `/proc/PID/cgroup`.
    pub(crate) fn number_of(&mut self, lines: &[u8]) -> Option<u64> {
        let id = |paths: &mut Paths| {
            let path = escape(paths.hierarchy.path_of_task(lines)?);
            paths.find(&path)
        };
        let in_first = id(&mut self.first)?;
        let in_second = self.second.as_mut().and_then(id).unwrap_or(cgroup::ROOT);
        Some(self.number(in_first, in_second))
    }

    fn number(&self, in_first: u64, in_second: u64) -> u64 {
        if self.second.is_some() { cgroup::pair(in_first, in_second) } else { in_first }
    }

    /// The folder of a group's cgroup.
    pub(crate) fn folder_of(&self, group: &Group) -> Option<PathBuf> {
        let paths = self.second.as_ref().filter(|_| !self.is_of_first(group)).unwrap_or(&self.first);
        let path = OsString::from_vec(unescape(group.cgroup.as_ref()?.as_bytes()));
        Some(paths.hierarchy.folder_of(Path::new(&path)))
    }

    fn group_at(&mut self, path: &str, is_second: bool) -> Group {
        let (kind, own, container) = match self.containers.holding(path) {
            Some((own, container)) => (GroupType::Container, own, Some(container.clone())),
            None => match unit::cgroup_of(path) {
                Some(own) => (GroupType::Unit, own.to_owned(), None),
                None => (GroupType::Cgroup, path.to_string(), None),
            },
        };
        let paths = self.second.as_ref().filter(|_| is_second).unwrap_or(&self.first);
        Group { container, cgroup_id: paths.id(&own), cgroup: Some(own), ..Group::of(kind) }
    }
}

#[cfg(test)]
#[path = "cgroups_tests.rs"]
mod tests;
