//! Cgroups: their pressure, their quotas where they have one, and how much memory they hold.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use schemars::JsonSchema;
use serde::Serialize;

use super::machine::Pressure;
use crate::target::{Hierarchies, Hierarchy};

/// Cgroups of a hierarchy that are looked at.
const MOST: usize = 500;

/// What the files of cgroups said at one moment, by their folders.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups {
    /// Of cgroup v2, those that hold processes.
    pub(crate) pressures: HashMap<PathBuf, Pressure>,
    /// Those that have a CPU quota. Reading its statistics costs the kernel a flush, so it is done for no other.
    pub(crate) quotas: HashMap<PathBuf, Quota>,
    /// Bytes that are charged, of those that hold processes.
    pub(crate) memory: HashMap<PathBuf, u64>,
}

/// A CPU quota, and what it did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Quota {
    /// CPUs that it allows.
    pub(crate) cpus: f64,
    /// Periods in which the cgroup wanted to run, and in which it was held.
    pub(crate) periods: u64,
    pub(crate) throttled_periods: u64,
}

/// A limit as a file of a cgroup has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) enum LimitFile {
    /// CPU time, of cgroup v2.
    #[serde(rename = "cpu.max")]
    CpuMax,
    /// CPU time, of v1.
    #[serde(rename = "cpu.cfs_quota_us")]
    CpuQuota,
    /// Memory, of v2.
    #[serde(rename = "memory.max")]
    MemoryMax,
    /// Memory, of v2: what goes beyond is slowed down.
    #[serde(rename = "memory.high")]
    MemoryHigh,
    /// Memory, of v1.
    #[serde(rename = "memory.limit_in_bytes")]
    MemoryLimit,
}

impl Groups {
    pub(super) fn read(
        hierarchies: Option<&Hierarchies>,
        deadline: Instant,
        left_out: &mut Vec<String>,
    ) -> Groups {
        let Some(hierarchies) = hierarchies else { return Groups::default() };
        let mut groups = Groups::default();
        let mut each = |hierarchy: Option<&Hierarchy>, what: &str, read: &mut dyn FnMut(&Path) -> bool| {
            let folders = hierarchy.map(Hierarchy::folders).unwrap_or_default();
            let mut count = 0;
            for (folder, _) in &folders {
                if count == MOST || Instant::now() > deadline {
                    left_out.push(format!("{what} of cgroups after the first {count}"));
                    return;
                }
                count += usize::from(read(folder));
            }
        };
        each(hierarchies.of_controller("cpu"), "quotas", &mut |folder| {
            if let Some(quota) = Quota::read(folder) {
                groups.quotas.insert(folder.to_owned(), quota);
            }
            true
        });
        let unified = hierarchies.iter().find(|hierarchy| hierarchy.is_unified());
        each(unified, "pressure", &mut |folder| {
            let holds = holds_processes(folder);
            if holds && let Some(pressure) = Pressure::read(folder, ".pressure") {
                groups.pressures.insert(folder.to_owned(), pressure);
            }
            holds
        });
        each(hierarchies.of_controller("memory"), "memory", &mut |folder| {
            let holds = holds_processes(folder);
            if holds && let Some(bytes) = usage(folder) {
                groups.memory.insert(folder.to_owned(), bytes);
            }
            holds
        });
        groups
    }

    /// The same of the same cgroups, as far as they are still there and time allows.
    pub(super) fn again(&self, deadline: Instant) -> Groups {
        let in_time = |_: &&PathBuf| Instant::now() <= deadline;
        let mut groups = Groups::default();
        for folder in self.quotas.keys().take_while(in_time) {
            groups.quotas.extend(Quota::read(folder).map(|quota| (folder.clone(), quota)));
        }
        for folder in self.memory.keys().take_while(in_time) {
            groups.memory.extend(usage(folder).map(|bytes| (folder.clone(), bytes)));
        }
        for folder in self.pressures.keys().take_while(in_time) {
            let pressure = Pressure::read(folder, ".pressure");
            groups.pressures.extend(pressure.map(|pressure| (folder.clone(), pressure)));
        }
        groups
    }
}

fn holds_processes(folder: &Path) -> bool {
    fs::read(folder.join("cgroup.procs")).is_ok_and(|processes| !processes.is_empty())
}

fn usage(folder: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
    read("memory.current").or_else(|| read("memory.usage_in_bytes"))
}

impl Quota {
    fn read(folder: &Path) -> Option<Quota> {
        let cpus = LimitFile::CpuMax.read(folder).or_else(|| LimitFile::CpuQuota.read(folder))?;
        let stat = fs::read_to_string(folder.join("cpu.stat")).unwrap_or_default();
        let of = |name: &str| {
            let values = stat.lines().filter_map(|line| line.split_once(' '));
            values.filter(|(word, _)| *word == name).find_map(|(_, value)| value.parse().ok()).unwrap_or(0)
        };
        Some(Quota { cpus, periods: of("nr_periods"), throttled_periods: of("nr_throttled") })
    }
}

impl LimitFile {
    /// Of CPU time.
    pub(crate) const CPU: &[LimitFile] = &[LimitFile::CpuMax, LimitFile::CpuQuota];
    /// Of memory.
    pub(crate) const MEMORY: &[LimitFile] =
        &[LimitFile::MemoryMax, LimitFile::MemoryHigh, LimitFile::MemoryLimit];

    pub(crate) fn name(self) -> &'static str {
        match self {
            LimitFile::CpuMax => "cpu.max",
            LimitFile::CpuQuota => "cpu.cfs_quota_us",
            LimitFile::MemoryMax => "memory.max",
            LimitFile::MemoryHigh => "memory.high",
            LimitFile::MemoryLimit => "memory.limit_in_bytes",
        }
    }

    /// What a cgroup is allowed: CPUs, or bytes; none where it has no limit.
    pub(crate) fn read(self, folder: &Path) -> Option<f64> {
        let text = fs::read_to_string(folder.join(self.name())).ok()?;
        let period = || fs::read_to_string(folder.join("cpu.cfs_period_us")).ok();
        self.parse(&text, &period().unwrap_or_default())
    }

    fn parse(self, text: &str, period: &str) -> Option<f64> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        match self {
            LimitFile::CpuMax => {
                let (quota, period) = text.trim().split_once(' ')?;
                Some(number(quota)? / number(period)?)
            }
            LimitFile::CpuQuota => Some(number(text).filter(|quota| *quota > 0.0)? / number(period)?),
            LimitFile::MemoryMax | LimitFile::MemoryHigh => number(text),
            // Without a limit it is as large as a number of pages can be.
            LimitFile::MemoryLimit => number(text).filter(|bytes| *bytes < 2f64.powi(62)),
        }
    }
}

/// A process's lines of `/proc/PID/cgroup`; empty where it is gone.
pub(crate) fn lines_of(pid: i32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_their_files_have_them() {
        let cases = [
            (LimitFile::CpuMax, "20000 100000\n", Some(0.2)),
            (LimitFile::CpuMax, "max 100000\n", None),
            (LimitFile::CpuQuota, "50000\n", Some(0.5)),
            (LimitFile::CpuQuota, "-1\n", None),
            (LimitFile::MemoryMax, "max\n", None),
            (LimitFile::MemoryHigh, "1048576\n", Some(1_048_576.0)),
            (LimitFile::MemoryLimit, "9223372036854771712\n", None),
            (LimitFile::MemoryLimit, "25165824\n", Some(25_165_824.0)),
        ];
        for (file, text, expected) in cases {
            assert_eq!(file.parse(text, "100000\n"), expected, "{file:?} {text}");
        }
    }

    #[test]
    fn a_cgroup_is_read_by_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        assert_eq!(Quota::read(folder.path()), None);
        write("cpu.max", "20000 100000\n");
        write("cpu.stat", "usage_usec 5\nnr_periods 10\nnr_throttled 8\n");
        write("memory.current", "4096\n");
        let quota = Quota { cpus: 0.2, periods: 10, throttled_periods: 8 };
        assert_eq!(Quota::read(folder.path()), Some(quota));
        assert_eq!(usage(folder.path()), Some(4096));
        assert!(!holds_processes(folder.path()));
    }
}
