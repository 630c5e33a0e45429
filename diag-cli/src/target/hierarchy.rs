//! The cgroup hierarchies of this machine: the unified one (v2), and those of v1 with their controllers.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use diag_common::scope::{MAX_LEVELS, UNIFIED};

use crate::exit::Failure;
use crate::kernel::{
    btf::Btf,
    mountinfo::{self, MountEntry},
};
use crate::output::text::escape;

/// v1 controllers in the order in which their hierarchies are asked for a cgroup; the others come after these.
const PREFERRED: [&str; 5] = ["memory", "cpu", "blkio", "cpuacct", "pids"];

/// Where the machine's state is read from, so that tests can show another machine.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    /// The proc file system.
    pub(crate) proc: PathBuf,
    /// The root of the file system in which container engines keep their state.
    pub(crate) state: PathBuf,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots { proc: "/proc".into(), state: "/".into() }
    }
}

/// What a hierarchy is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// cgroup v2.
    Unified,
    /// v1, with a controller: the first where several share it.
    Controller(String),
    /// v1, with a name and without controllers.
    Named(String),
}

/// A mounted cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// What it is for.
    pub(crate) kind: Kind,
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// Which of its folders is mounted there: `/`, or less of it in a container.
    pub(super) root: String,
    /// Its controllers; of v2 none are listed.
    controllers: Vec<String>,
    device: String,
    /// How deep the root of this process's cgroup namespace is; `None` if that is not known.
    namespace_level: Option<i32>,
}

impl Hierarchy {
    /// A word for people: `unified`, `memory`, `name=systemd`.
    pub(crate) fn label(&self) -> &str {
        match &self.kind {
            Kind::Unified => "unified",
            Kind::Controller(name) | Kind::Named(name) => name,
        }
    }

    /// Whether it is v2, which has other names for its files.
    pub(crate) fn is_unified(&self) -> bool {
        self.kind == Kind::Unified
    }

    /// The value of `SCOPE_SUBSYS`: [`UNIFIED`], or the controller's index in `css_set.subsys`.
    ///
    /// [`Failure::Unsupported`] for a hierarchy without a controller, and for a controller that the kernel lacks.
    pub(crate) fn subsystem(&self, btf: &Btf) -> Result<u32> {
        let Kind::Controller(name) = &self.kind else {
            if self.kind == Kind::Unified {
                return Ok(UNIFIED);
            }
            let why = format!("the cgroup hierarchy {} has no controller to select tasks by", self.label());
            return Err(Failure::Unsupported(why).into());
        };
        // include/linux/cgroup_subsys.h (6.18): the names of v1 are those of the enum, but for `io`.
        let constant = format!("{}_cgrp_id", if name == "blkio" { "io" } else { name });
        let index = btf.enum_value("cgroup_subsys_id", &constant)?.and_then(|v| u32::try_from(v).ok());
        let missing = || Failure::Unsupported(format!("this kernel's types have no {constant}"));
        Ok(index.ok_or_else(missing)?)
    }

    /// The path within the hierarchy of a folder below the mount, as `/proc/PID/cgroup` shows it; what is not UTF-8
    /// is [`escape`]d.
    pub(crate) fn path_of(&self, folder: &Path) -> String {
        let below = escape(folder.strip_prefix(&self.mount).unwrap_or(folder).as_os_str().as_bytes());
        // A root outside this cgroup namespace is shown as `/..`: what is above it has no name here.
        let root = if self.root.split('/').any(|part| part == "..") { "" } else { self.root.as_str() };
        let path = format!("{}/{below}", root.trim_end_matches('/'));
        if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path }
    }

    /// The folder of a path as [`Self::path_of`] gives it, before it is escaped; it need not exist.
    pub(crate) fn folder_of(&self, path: &Path) -> PathBuf {
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = path.strip_prefix(self.root.trim_start_matches('/')).unwrap_or(path);
        self.mount.join(path)
    }

    /// The number that the kernel gives this hierarchy, 0 for the unified one: the first field of its line in
    /// `/proc/PID/cgroup`. None where this process has no such line.
    pub(super) fn number(&self, roots: &Roots) -> Option<u32> {
        let lines = fs::read(roots.proc.join("self/cgroup")).ok()?;
        let line = lines.split(|&byte| byte == b'\n').find(|line| self.path_of_task(line).is_some())?;
        let number = line.split(|&byte| byte == b':').next()?;
        str::from_utf8(number).ok()?.parse().ok()
    }

    /// A task's path in this hierarchy, of the lines of its `/proc/PID/cgroup`: `NUMBER:CONTROLLERS:PATH` (cgroups(7)).
    pub(crate) fn path_of_task<'a>(&self, lines: &'a [u8]) -> Option<&'a [u8]> {
        lines.split(|&byte| byte == b'\n').find_map(|line| {
            let mut fields = line.splitn(3, |&byte| byte == b':').skip(1);
            let (names, path) = (fields.next()?, fields.next()?);
            let is_it = match &self.kind {
                Kind::Unified => names.is_empty(),
                Kind::Controller(name) | Kind::Named(name) => {
                    names.split(|&byte| byte == b',').any(|one| one == name.as_bytes())
                }
            };
            is_it.then_some(path)
        })
    }

    /// How many folders the hierarchy's own root is above a folder below the mount; `None` if that is not known.
    pub(crate) fn level_of(&self, folder: &Path) -> Option<u32> {
        let below = folder.strip_prefix(&self.mount).ok()?.components().count();
        let level = self.namespace_level? + depth(&self.root) + i32::try_from(below).ok()?;
        u32::try_from(level).ok()
    }

    /// Every folder of the hierarchy that can be read, its root first, and the cgroup's id: the inode's number.
    pub(crate) fn folders(&self) -> Vec<(PathBuf, u64)> {
        self.first_folders(usize::MAX)
    }

    /// The same, of so many: those that are nearest to the root.
    pub(crate) fn first_folders(&self, most: usize) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut level = match super::cgroup::id_of(&self.mount) {
            Ok(id) => vec![(self.mount.clone(), id)],
            Err(_) => Vec::new(),
        };
        for _ in 0..=MAX_LEVELS {
            let mut next = Vec::new();
            for (folder, _) in &level {
                if found.len() + level.len() + next.len() >= most {
                    break;
                }
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                let folders = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
                next.extend(folders.map(|e| (e.path(), e.ino())));
            }
            found.append(&mut level);
            level = next;
        }
        found.truncate(most);
        found
    }
}

/// The hierarchies of this machine, those first that are asked first.
#[derive(Clone, Debug)]
pub(crate) struct Hierarchies {
    mounts: Vec<Hierarchy>,
}

impl Hierarchies {
    /// Reads what is mounted.
    pub(crate) fn read(roots: &Roots) -> Result<Hierarchies> {
        let at = |path: &str| roots.proc.join(path);
        let cannot = |path: &Path| format!("cannot read {}", path.display());
        let (controllers, mounts) = (at("cgroups"), at("self/mountinfo"));
        let controllers = fs::read_to_string(&controllers).with_context(|| cannot(&controllers))?;
        let controllers: Vec<&str> =
            controllers.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        let mounts = mountinfo::read(&mounts).with_context(|| cannot(&mounts))?;
        let mut mounts: Vec<Hierarchy> =
            mounts.into_iter().filter_map(|mount| hierarchy_of(mount, &controllers)).collect();
        mounts.sort_by_key(rank);
        let namespace = own_namespace(roots);
        for mount in &mut mounts {
            mount.namespace_level = namespace.as_ref().and_then(|namespace| namespace.of(mount));
        }
        Ok(Hierarchies { mounts })
    }

    /// Each hierarchy once, in order of preference: v2, then v1, memory first and those without a controller last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hierarchy> {
        let seen = |i: usize| self.mounts[..i].iter().any(|m| m.device == self.mounts[i].device);
        self.mounts.iter().enumerate().filter(move |&(i, _)| !seen(i)).map(|(_, m)| m)
    }

    /// The mounted hierarchy that a folder belongs to.
    pub(crate) fn holding(&self, folder: &Path) -> Option<&Hierarchy> {
        let holding = self.mounts.iter().filter(|m| folder.starts_with(&m.mount));
        holding.max_by_key(|m| m.mount.as_os_str().len())
    }

    /// The hierarchy that a controller works in: that of v1 where it is mounted, else v2.
    pub(crate) fn of_controller(&self, controller: &str) -> Option<&Hierarchy> {
        let unified = || self.iter().find(|hierarchy| hierarchy.is_unified());
        self.iter()
            .find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))
            .or_else(unified)
    }

    /// The hierarchies by which tasks are named: v2, and for those in its root that of v1 in which the target is, else that of
    /// the `cpu` controller. One alone, and first, is what there is where the other is not mounted; `None` without either.
    pub(super) fn naming<'a>(
        &'a self,
        target: Option<&'a Hierarchy>,
    ) -> Option<(&'a Hierarchy, Option<&'a Hierarchy>)> {
        let unified = self.iter().find(|hierarchy| hierarchy.is_unified());
        let of_v1 = |hierarchy: &&Hierarchy| !hierarchy.is_unified();
        let second = target.filter(of_v1).or_else(|| self.of_controller("cpu").filter(of_v1));
        match (unified, second) {
            (Some(unified), second) => Some((unified, second)),
            (None, Some(second)) => Some((second, None)),
            (None, None) => {
                let any = self.iter().find(|hierarchy| !matches!(hierarchy.kind, Kind::Named(_)))?;
                Some((any, None))
            }
        }
    }

    /// What to tell someone who named a cgroup that is not there.
    pub(crate) fn accepted(&self) -> String {
        let mounts: Vec<String> = self.iter().map(|m| m.mount.display().to_string()).collect();
        if mounts.is_empty() {
            return "no cgroup hierarchy is mounted here".to_owned();
        }
        let mounts = super::cgroup::shortlist(&mounts);
        format!(
            "expected a folder below {mounts}, its path from there, beginning with /, or its inode number"
        )
    }
}

fn rank(hierarchy: &Hierarchy) -> usize {
    match &hierarchy.kind {
        Kind::Unified => 0,
        Kind::Controller(name) => 1 + PREFERRED.iter().position(|p| p == name).unwrap_or(PREFERRED.len()),
        Kind::Named(_) => usize::MAX,
    }
}

/// The hierarchy that is mounted, if one is.
fn hierarchy_of(mount: MountEntry, controllers: &[&str]) -> Option<Hierarchy> {
    let options = escape(&mount.options);
    let mut serving: Vec<&str> = Vec::new();
    let kind = match mount.filesystem.as_str() {
        "cgroup2" => Kind::Unified,
        "cgroup" => {
            serving.extend(options.split(',').filter(|option| controllers.contains(option)));
            serving.sort_by_key(|name| PREFERRED.iter().position(|p| p == name).unwrap_or(PREFERRED.len()));
            match serving.first() {
                Some(&name) => Kind::Controller(name.to_owned()),
                None => {
                    Kind::Named(options.split(',').find(|option| option.starts_with("name="))?.to_owned())
                }
            }
        }
        _ => return None,
    };
    let root = escape(&mount.root);
    let controllers = serving.into_iter().map(str::to_owned).collect();
    Some(Hierarchy {
        kind,
        mount: mount.point,
        root,
        controllers,
        device: mount.device,
        namespace_level: None,
    })
}

/// How much deeper a path leads; `..` leads up.
fn depth(path: &str) -> i32 {
    path.split('/').map(|part| i32::from(!part.is_empty()) - 2 * i32::from(part == "..")).sum()
}

/// How deep the root of this process's cgroup namespace is in each hierarchy.
enum Namespace {
    /// It is the machine's own.
    Initial,
    /// `/proc/PID/cgroup` of a task that is in every hierarchy's own root.
    Inner(String),
}

impl Namespace {
    fn of(&self, mount: &Hierarchy) -> Option<i32> {
        let Namespace::Inner(lines) = self else { return Some(0) };
        let path = mount.path_of_task(lines.as_bytes())?;
        Some(-depth(&String::from_utf8_lossy(path)))
    }
}

/// `None` where a container hides how deep in the hierarchies it is.
fn own_namespace(roots: &Roots) -> Option<Namespace> {
    // PROC_CGROUP_INIT_INO, include/uapi/linux/nsfs.h (6.18), include/linux/proc_ns.h before.
    let initial = Path::new("cgroup:[4026531835]");
    if fs::read_link(roots.proc.join("self/ns/cgroup")).is_ok_and(|link| link == initial) {
        return Some(Namespace::Initial);
    }
    // Process 2 of a machine is kthreadd, which never leaves the root; seen from a namespace that is `/../..`.
    let comm = fs::read_to_string(roots.proc.join("2/comm")).ok()?;
    let lines = fs::read_to_string(roots.proc.join("2/cgroup")).ok()?;
    (comm.trim_end() == "kthreadd").then_some(Namespace::Inner(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_tells_the_hierarchy() {
        let parse = |line: &str| {
            hierarchy_of(mountinfo::parse(line.as_bytes()).unwrap(), &["cpu", "cpuacct", "memory"])
        };
        let shared =
            parse("33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpuacct,cpu").unwrap();
        assert_eq!(shared.kind, Kind::Controller("cpu".into()));
        let named = parse("41 31 0:37 /x /mnt/a\\040b rw,relatime shared:9 - cgroup c rw,xattr,name=systemd")
            .unwrap();
        assert_eq!((named.label(), named.mount.to_str()), ("name=systemd", Some("/mnt/a b")));
        assert_eq!(named.path_of(Path::new("/mnt/a b/c/d")), "/x/c/d");
        assert_eq!(named.path_of(Path::new("/mnt/a b")), "/x");
        assert_eq!(parse("42 31 0:38 / /c rw - cgroup2 cgroup2 rw").unwrap().kind, Kind::Unified);
        assert_eq!(parse("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw"), None);
    }

    #[test]
    fn a_task_has_a_path_in_each_hierarchy() {
        let lines = b"4:memory:/jobs\n3:cpu,cpuacct:/a:b\n1:name=systemd:/user\n0::/init\n";
        let path = |line: &str| {
            let mount = mountinfo::parse(line.as_bytes()).unwrap();
            let mount = hierarchy_of(mount, &["cpu", "cpuacct", "memory", "pids"]).unwrap();
            mount.path_of_task(lines).map(|path| String::from_utf8_lossy(path).into_owned())
        };
        let mounted = |options: &str| path(&format!("1 1 0:1 / /c rw - cgroup cgroup rw,{options}"));
        assert_eq!(mounted("memory").as_deref(), Some("/jobs"));
        assert_eq!(mounted("cpuacct,cpu").as_deref(), Some("/a:b"));
        assert_eq!(mounted("xattr,name=systemd").as_deref(), Some("/user"));
        assert_eq!(mounted("pids"), None);
        assert_eq!(path("1 1 0:1 / /c rw - cgroup2 cgroup2 rw").as_deref(), Some("/init"));
    }

    #[test]
    fn a_controller_has_its_own_hierarchy_or_the_unified_one() {
        let lines: [&[u8]; 3] = [
            b"30 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
            b"32 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
            b"33 24 0:29 / /sys/fs/cgroup/all rw - cgroup cgroup rw,blkio,cpuacct,cpu",
        ];
        let controllers = ["cpu", "cpuacct", "memory", "blkio", "pids"];
        let mounted = |line: &&[u8]| hierarchy_of(mountinfo::parse(line).unwrap(), &controllers);
        let all = Hierarchies { mounts: lines.iter().filter_map(mounted).collect() };
        let mount = |controller| all.of_controller(controller).unwrap().mount.to_str().unwrap();
        assert_eq!(mount("cpu"), "/sys/fs/cgroup/all");
        assert_eq!(mount("memory"), "/sys/fs/cgroup/memory");
        assert_eq!(mount("pids"), "/sys/fs/cgroup/unified");
    }

    #[test]
    fn levels_count_from_the_machines_root_even_in_a_namespace() {
        let line = b"1 1 0:1 / /c rw - cgroup2 cgroup2 rw";
        let mut mount = hierarchy_of(mountinfo::parse(line).unwrap(), &[]).unwrap();
        assert_eq!(mount.level_of(Path::new("/c/a/b")), None);
        mount.namespace_level = Some(0);
        assert_eq!(mount.level_of(Path::new("/c")), Some(0));
        assert_eq!(mount.level_of(Path::new("/c/a/b")), Some(2));
        mount.namespace_level = Namespace::Inner("4:memory:/..\n0::/../..\n".into()).of(&mount);
        assert_eq!(mount.level_of(Path::new("/c/a")), Some(3));
        mount.root = "/../..".into();
        assert_eq!(mount.level_of(Path::new("/c/a")), Some(1));
        assert_eq!(mount.path_of(Path::new("/c/a")), "/a");
    }
}
