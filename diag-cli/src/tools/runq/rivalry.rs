//! Which knob decides between two tasks that want the same CPU: their nice values count only within one scheduling group, so
//! between groups it is the groups' weights.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{output::record::parties::Task, target::Hierarchy};

/// What decides between a task that had the CPU and one that waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rivalry {
    /// Their nice values.
    Nice,
    /// The nice values of their sessions (`/proc/PID/autogroup`).
    Autogroups,
    /// The weights of their cgroups: that of the first is in this file.
    Cgroups(PathBuf),
    /// Nothing that could be changed: a kernel thread had the CPU.
    Kernel,
}

/// The file that limits a cgroup's CPU time, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// The file, of the cgroup or of one above.
    pub(super) file: PathBuf,
    /// Its content.
    pub(super) value: String,
    /// What lifts it.
    pub(super) none: &'static str,
}

/// The cpu controller's files: of v2, or of v1.
#[derive(Clone, Copy, Debug)]
struct Files {
    weight: &'static str,
    quota: &'static str,
    /// What `quota` holds where there is none.
    none: &'static str,
}

const V2: Files = Files { weight: "cpu.weight", quota: "cpu.max", none: "max" };
const V1: Files = Files { weight: "cpu.shares", quota: "cpu.cfs_quota_us", none: "-1" };

/// The cpu controller's cgroups of a machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cgroups<'a> {
    mount: &'a Path,
    files: Files,
}

impl<'a> Cgroups<'a> {
    /// Those of a hierarchy.
    pub(super) fn of(hierarchy: &'a Hierarchy) -> Cgroups<'a> {
        Cgroups { mount: &hierarchy.mount, files: if hierarchy.is_unified() { V2 } else { V1 } }
    }

    /// The folders from the mounted root to the scheduling group of tasks in a cgroup. In v2 that is the nearest one above in
    /// which the controller is enabled.
    fn groups(&self, path: &str) -> Option<Vec<PathBuf>> {
        let mut folder = self.mount.to_owned();
        let mut groups = vec![folder.clone()];
        for part in path.split('/').filter(|part| !part.is_empty()) {
            folder.push(part);
            if folder.join(self.files.weight).exists() {
                groups.push(folder.clone());
            } else if !folder.is_dir() {
                // It is gone, or shown in another way than it is called.
                return None;
            }
        }
        Some(groups)
    }

    /// What decides between tasks in two cgroups, of which the first had the CPU.
    fn between(&self, had: &str, waited: &str) -> Option<Rivalry> {
        let (had, waited) = (self.groups(had)?, self.groups(waited)?);
        let common = had.iter().zip(&waited).take_while(|(one, other)| one == other).count();
        // A task beside a group competes with it by its own nice value.
        Some(had.get(common).map_or(Rivalry::Nice, |group| Rivalry::Cgroups(group.join(self.files.weight))))
    }

    /// The nearest quota of a cgroup and those above.
    pub(super) fn quota(&self, path: &str) -> Option<Quota> {
        self.groups(path)?.iter().rev().find_map(|group| {
            let file = group.join(self.files.quota);
            let value = fs::read_to_string(&file).ok()?.trim().to_owned();
            let limited = value.split_whitespace().next().is_some_and(|first| first != self.files.none);
            limited.then_some(Quota { file, value, none: self.files.none })
        })
    }
}

/// What decides between a task that had the CPU and one that waited; none where that cannot be seen.
pub(super) fn between(cgroups: Option<Cgroups<'_>>, had: &Task, waited: &Task) -> Option<Rivalry> {
    if had.pid.is_some_and(is_kernel_thread) {
        return Some(Rivalry::Kernel);
    }
    let (from, to) = (had.cgroup.as_deref()?, waited.cgroup.as_deref()?);
    let rivalry = cgroups?.between(from, to)?;
    if rivalry == Rivalry::Nice && (from, to) == ("/", "/") {
        // Only tasks of the root group are in groups by session (kernel/sched/autogroup.c, task_wants_autogroup, 6.18).
        let sessions = had.pid.zip(waited.pid).map(|(one, other)| [one, other].map(autogroup));
        if let Some([Some(one), Some(other)]) = sessions
            && one != other
        {
            return Some(Rivalry::Autogroups);
        }
    }
    Some(rivalry)
}

/// `PF_KTHREAD` (include/linux/sched.h, 6.18).
const KERNEL_THREAD: u32 = 0x0020_0000;

fn is_kernel_thread(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it may have spaces and brackets of any kind.
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    let flags = after.split_whitespace().nth(6).and_then(|flags| flags.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & KERNEL_THREAD != 0)
}

/// The autogroup of a process, where the kernel makes any: `/autogroup-12 nice 0`.
fn autogroup(pid: u32) -> Option<String> {
    let enabled = fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled").ok()?;
    let line = fs::read_to_string(format!("/proc/{pid}/autogroup")).ok()?;
    (enabled.trim() == "1").then(|| line.split_whitespace().next().map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hierarchy of folders; those that end in `+` have the controller.
    fn hierarchy(name: &str, files: Files, folders: &[&str]) -> PathBuf {
        let mount = std::env::temp_dir().join(format!("osdiag-rivalry-{}-{name}", std::process::id()));
        for folder in folders {
            let path = mount.join(folder.trim_end_matches('+'));
            fs::create_dir_all(&path).unwrap();
            if folder.ends_with('+') {
                fs::write(path.join(files.weight), "100\n").unwrap();
            }
        }
        mount
    }

    #[test]
    fn groups_compete_where_their_paths_part() {
        let mount = hierarchy("v2", V2, &["a+", "a/b+", "c+", "c/d+", "c/e"]);
        let cgroups = Cgroups { mount: &mount, files: V2 };
        let weight = |folder: &str| Some(Rivalry::Cgroups(mount.join(folder).join("cpu.weight")));
        for (had, waited, rivalry) in [
            ("/a/b", "/c/d", weight("a")),
            ("/c/d", "/c/e", weight("c/d")),
            ("/c/e", "/c/d", Some(Rivalry::Nice)),
            ("/", "/c/d", Some(Rivalry::Nice)),
            ("/c", "/c/e", Some(Rivalry::Nice)),
            ("/a", "/gone", None),
        ] {
            assert_eq!(cgroups.between(had, waited), rivalry, "{had} and {waited}");
        }
        fs::remove_dir_all(mount).unwrap();
    }

    #[test]
    fn the_nearest_quota_is_the_limit() {
        let mount = hierarchy("v1", V1, &["a+", "a/b+", "c+"]);
        fs::write(mount.join("a/cpu.cfs_quota_us"), "20000\n").unwrap();
        fs::write(mount.join("a/b/cpu.cfs_quota_us"), "-1\n").unwrap();
        let cgroups = Cgroups { mount: &mount, files: V1 };
        let quota = cgroups.quota("/a/b").unwrap();
        assert_eq!(
            (quota.file, quota.value.as_str(), quota.none),
            (mount.join("a/cpu.cfs_quota_us"), "20000", "-1")
        );
        assert_eq!(cgroups.quota("/c"), None);
        fs::remove_dir_all(mount).unwrap();
    }

    #[test]
    fn kernel_threads_are_told_from_processes() {
        assert!(!is_kernel_thread(std::process::id()));
        if fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm == "kthreadd\n") {
            assert!(is_kernel_thread(2));
        }
    }
}
