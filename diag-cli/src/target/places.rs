//! Which group the cgroups of the hierarchies belong to: groups are named in one of them, limits and memory are set in others.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{CgroupNames, Hierarchies, Hierarchy, Roots};
use crate::output::{
    record::parties::{Group, GroupType},
    text::escape,
};

/// Processes of a group that are asked where they are, before it is given up.
const ASKED: usize = 8;

/// From cgroups to groups and back.
pub(crate) struct Places<'a> {
    names: Option<&'a mut CgroupNames>,
    hierarchies: Option<Hierarchies>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(names: Option<&'a mut CgroupNames>) -> Places<'a> {
        Places { names, hierarchies: Hierarchies::read(&Roots::default()).ok() }
    }

    /// The group of a cgroup by its folder, in whichever hierarchy that is.
    pub(crate) fn group_at(&mut self, folder: &Path) -> Group {
        let named = self.names.as_mut().and_then(|names| names.group_in(folder));
        let asked =
            || processes(folder).into_iter().take(ASKED).find_map(|pid| self.group_of(&lines_of(pid)));
        let found = named.or_else(asked);
        found.unwrap_or_else(|| self.plain(folder))
    }

    /// The group of a task by the lines of its `/proc/PID/cgroup`.
    pub(crate) fn group_of(&mut self, lines: &[u8]) -> Option<Group> {
        self.names.as_mut()?.group_of_lines(lines)
    }

    /// A group of which nothing but its cgroup is known.
    fn plain(&self, folder: &Path) -> Group {
        let hierarchy = self.hierarchies.as_ref().and_then(|all| all.holding(folder));
        let path = match hierarchy {
            Some(hierarchy) => hierarchy.path_of(folder),
            None => escape(folder.as_os_str().as_bytes()),
        };
        Group { cgroup: Some(path), ..Group::of(GroupType::Cgroup) }
    }

    /// The folders of a group's cgroup and of those above it in the hierarchy of a controller, its own first.
    pub(crate) fn folders(&self, group: &Group, controller: &str) -> Vec<PathBuf> {
        let hierarchy = self.hierarchies.as_ref().and_then(|all| all.of_controller(controller));
        let found = self.names.as_ref().zip(hierarchy);
        found.map(|(names, hierarchy)| folders(names, hierarchy, group)).unwrap_or_default()
    }
}

/// The folders of a group's cgroup and of those above it in a hierarchy, its own first; none where they are not known.
pub(crate) fn folders(names: &CgroupNames, hierarchy: &Hierarchy, group: &Group) -> Vec<PathBuf> {
    let Some(own) = names.folder_of(group) else { return Vec::new() };
    let is_in = own.starts_with(&hierarchy.mount);
    let asked = || inhabited(&own).into_iter().take(ASKED).find_map(|pid| folder_in(hierarchy, pid));
    let folder = if is_in { Some(own.clone()) } else { asked() };
    let above = folder.iter().flat_map(|folder| folder.ancestors());
    above.take_while(|folder| folder.starts_with(&hierarchy.mount)).map(Path::to_owned).collect()
}

/// The number that stands for a cgroup, of any hierarchy, as the kernel side would give it to its tasks.
pub(crate) fn number_at(names: &mut CgroupNames, folder: &Path) -> Option<u64> {
    let named = names.number_in(folder);
    named
        .or_else(|| processes(folder).into_iter().take(ASKED).find_map(|pid| names.number_of(&lines_of(pid))))
}

/// A process's lines of `/proc/PID/cgroup`; empty where it is gone.
pub(crate) fn lines_of(pid: i32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default()
}

/// The processes of a cgroup.
fn processes(folder: &Path) -> Vec<i32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// The same, or those of the cgroups just below it.
fn inhabited(folder: &Path) -> Vec<i32> {
    let own = processes(folder);
    if !own.is_empty() {
        return own;
    }
    let below = fs::read_dir(folder).into_iter().flatten().flatten();
    below.flat_map(|entry| processes(&entry.path())).collect()
}

/// The folder of a process's cgroup in a hierarchy.
fn folder_in(hierarchy: &Hierarchy, pid: i32) -> Option<PathBuf> {
    let lines = lines_of(pid);
    Some(hierarchy.folder_of(Path::new(OsStr::from_bytes(hierarchy.path_of_task(&lines)?))))
}
