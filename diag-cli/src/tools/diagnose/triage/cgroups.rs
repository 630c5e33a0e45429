//! Cgroups: their pressure, and their quotas where they have one.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use super::machine::Pressure;
use crate::target::{Hierarchies, Hierarchy, LimitFile};

/// Cgroups of a hierarchy that are looked at.
const MOST: usize = 500;

/// What the files of cgroups said at one moment, by their folders.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups {
    /// Of cgroup v2, those that hold processes.
    pub(crate) pressures: HashMap<PathBuf, Pressure>,
    /// Those that have a CPU quota. Reading its statistics costs the kernel a flush, so it is done for no other.
    pub(crate) quotas: HashMap<PathBuf, Quota>,
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
        groups
    }

    /// The same of the same cgroups, as far as they are still there and time allows.
    pub(super) fn again(&self, deadline: Instant) -> Groups {
        let in_time = |_: &&PathBuf| Instant::now() <= deadline;
        let mut groups = Groups::default();
        for folder in self.quotas.keys().take_while(in_time) {
            groups.quotas.extend(Quota::read(folder).map(|quota| (folder.clone(), quota)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_read_by_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        assert_eq!(Quota::read(folder.path()), None);
        write("cpu.max", "20000 100000\n");
        write("cpu.stat", "usage_usec 5\nnr_periods 10\nnr_throttled 8\n");
        let quota = Quota { cpus: 0.2, periods: 10, throttled_periods: 8 };
        assert_eq!(Quota::read(folder.path()), Some(quota));
        assert!(!holds_processes(folder.path()));
    }
}
