//! Limits of cgroups on disks: `io.max` (v2) and `blkio.throttle.*` (v1), and whose limit holds an operation back.

use std::{fs, path::Path};

use diag_common::iolat::Op;

use super::record::SlowOperation;
use crate::{
    output::text::escape,
    target::{Hierarchies, Roots, places::lines_of},
};

/// Cgroups that are looked at, at most: those nearest to the root.
const CGROUPS: usize = 10_000;

/// A limit of a cgroup on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// The cgroup, from the root of its hierarchy.
    cgroup: String,
    /// The disk, `MAJOR:MINOR`.
    disk: String,
    /// The file that has it, and what it says.
    file: &'static str,
    value: String,
    /// Whether it is on writes.
    writes: bool,
}

impl Limit {
    /// The limit as words: `io.max of /web, wbps=1048576 on 7:0`.
    pub(super) fn words(&self) -> String {
        format!("{} of {}, {} on {}", self.file, self.cgroup, self.value, self.disk)
    }
}

/// All limits that can be seen.
pub(super) fn all() -> Vec<Limit> {
    let mut limits = Vec::new();
    let hierarchies = Hierarchies::read(&Roots::default()).ok();
    // Where v1 has the controller, v2 has not.
    if let Some(hierarchy) = hierarchies.as_ref().and_then(|all| all.of_controller("blkio")) {
        let read = if hierarchy.is_unified() { v2 } else { v1 };
        for (folder, _) in hierarchy.first_folders(CGROUPS) {
            read(&folder, &hierarchy.path_of(&folder), &mut limits);
        }
    }
    limits
}

/// `7:0 rbps=max wbps=1048576 riops=max wiops=max`
fn v2(folder: &Path, cgroup: &str, limits: &mut Vec<Limit>) {
    for line in fs::read_to_string(folder.join("io.max")).unwrap_or_default().lines() {
        let mut words = line.split(' ');
        let Some(disk) = words.next() else { continue };
        for word in words.filter(|word| !word.ends_with("=max")) {
            limits.push(Limit {
                cgroup: cgroup.to_owned(),
                disk: disk.to_owned(),
                file: "io.max",
                value: word.to_owned(),
                writes: word.starts_with('w'),
            });
        }
    }
}

/// `7:0 1048576`
fn v1(folder: &Path, cgroup: &str, limits: &mut Vec<Limit>) {
    for file in [
        "blkio.throttle.read_bps_device",
        "blkio.throttle.read_iops_device",
        "blkio.throttle.write_bps_device",
        "blkio.throttle.write_iops_device",
    ] {
        for line in fs::read_to_string(folder.join(file)).unwrap_or_default().lines() {
            if let Some((disk, value)) = line.split_once(' ') {
                limits.push(Limit {
                    cgroup: cgroup.to_owned(),
                    disk: disk.to_owned(),
                    file,
                    value: value.to_owned(),
                    writes: file.contains("write"),
                });
            }
        }
    }
}

/// The limits that may hold back `op` on a device, those first whose cgroup a slow operation's task is in.
pub(super) fn on(limits: &[Limit], op: Op, device: &str, slowest: &[SlowOperation]) -> Vec<Limit> {
    let disk = disk_of(device);
    let is_write = !matches!(op, Op::Read | Op::Pread | Op::Readv | Op::Preadv | Op::Preadv2);
    let mut fitting: Vec<Limit> =
        limits.iter().filter(|limit| limit.disk == disk && limit.writes == is_write).cloned().collect();
    let homes: Vec<String> = slowest
        .iter()
        .filter(|slow| slow.op.0 == op)
        .flat_map(|slow| homes(slow.task.pid).into_iter().chain(slow.task.cgroup.clone()))
        .collect();
    let holds = |limit: &Limit| homes.iter().any(|home| is_within(home, &limit.cgroup));
    fitting.sort_by_key(|limit| !holds(limit));
    fitting
}

/// The paths of a process in all hierarchies.
fn homes(pid: Option<u32>) -> Vec<String> {
    let Some(pid) = pid else { return Vec::new() };
    let text = lines_of(pid.cast_signed());
    let lines = text.split(|&byte| byte == b'\n');
    lines.filter_map(|line| line.splitn(3, |&byte| byte == b':').nth(2)).map(escape).collect()
}

fn is_within(home: &str, cgroup: &str) -> bool {
    let rest = home.strip_prefix(cgroup.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The whole disk of a partition; any other device itself.
fn disk_of(device: &str) -> String {
    let folder = Path::new("/sys/dev/block").join(device);
    let whole = folder.join("partition").exists().then(|| fs::read_to_string(folder.join("../dev")).ok());
    whole.flatten().map_or_else(|| device.to_owned(), |disk| disk.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("io.max"), "7:0 rbps=max wbps=1048576 riops=20 wiops=max\n").unwrap();
        fs::write(folder.path().join("blkio.throttle.write_iops_device"), "254:0 20\n").unwrap();
        let (mut of_v2, mut of_v1) = (Vec::new(), Vec::new());
        v2(folder.path(), "/web", &mut of_v2);
        v1(folder.path(), "/web", &mut of_v1);
        let words = |limits: &[Limit]| limits.iter().map(Limit::words).collect::<Vec<_>>();
        assert_eq!(words(&of_v2), ["io.max of /web, wbps=1048576 on 7:0", "io.max of /web, riops=20 on 7:0"]);
        assert_eq!(words(&of_v1), ["blkio.throttle.write_iops_device of /web, 20 on 254:0"]);
        let on = |op| on(&of_v2, op, "7:0", &[]).len();
        assert_eq!((on(Op::Pread), on(Op::Fsync)), (1, 1));
    }

    #[test]
    fn a_cgroup_holds_what_is_below_it() {
        assert!(is_within("/web/a", "/web") && is_within("/web", "/web") && is_within("/web", "/"));
        assert!(!is_within("/webs", "/web") && !is_within("/", "/web"));
    }
}
