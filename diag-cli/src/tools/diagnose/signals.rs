//! What changed between the first reading and the last, as records show it.

use std::{collections::HashMap, hash::Hash};

use super::{
    limits::throttled,
    record::{Signal, SignalName},
    thresholds::{PRESSURE_SHARE, STEAL_SHARE},
    triage::{Disk, Reading},
};
use crate::output::{
    record::{parties::Group, settings::Unit},
    units::share,
};
use crate::target::places::Places;

/// Groups whose signals a record has, of each kind.
const GROUPS: usize = 10;

/// The signals of the machine and of groups.
pub(super) fn signals(
    first: &Reading,
    last: &Reading,
    disks: &[Disk],
    stuck: u64,
    places: &mut Places<'_>,
) -> Vec<Signal> {
    let lasted_ns = last.at.saturating_duration_since(first.at).as_nanos() as u64;
    let of_time = |ns: u64| share(ns, lasted_ns).min(1.0);
    let mut all = Vec::new();
    if let (Some(before), Some(now)) = (first.machine.pressure, last.machine.pressure) {
        let since = now.since(before);
        for (name, ns, file) in [
            (SignalName::CpuPressure, since.cpu_ns, "/proc/pressure/cpu"),
            (SignalName::MemoryPressure, since.memory_ns, "/proc/pressure/memory"),
            (SignalName::IoPressure, since.io_ns, "/proc/pressure/io"),
        ] {
            all.push(measured(name, None, of_time(ns), Some(PRESSURE_SHARE), file));
        }
    }
    let (before, now) = (first.machine.cpu, last.machine.cpu);
    let steal = share(now.steal.saturating_sub(before.steal), now.busy.saturating_sub(before.busy));
    all.push(measured(SignalName::Steal, None, steal, Some(STEAL_SHARE), "/proc/stat"));
    let (before, now) = (first.machine.memory, last.machine.memory);
    for (name, count) in [
        (SignalName::ReclaimStalls, now.stalls.saturating_sub(before.stalls)),
        (SignalName::PagesSwappedIn, now.swapped_in.saturating_sub(before.swapped_in)),
        (SignalName::MemoryKills, now.kills.saturating_sub(before.kills)),
    ] {
        all.push(counted(name, count, "/proc/vmstat"));
    }
    all.push(counted(SignalName::StuckThreads, stuck, "/proc/PID/status"));
    if let Some(mean) = disks.iter().filter_map(Disk::mean_ns).max() {
        let signal = measured(SignalName::DiskTime, None, mean as f64, None, "/proc/diskstats");
        all.push(Signal { unit: Unit::Ns, ..signal });
    }
    let held = last
        .groups
        .quotas
        .iter()
        .filter_map(|(folder, quota)| Some((folder, throttled(first.groups.quotas.get(folder), quota)?)));
    for (folder, part) in highest(held, 0.0) {
        let group = places.group_at(folder);
        all.push(measured(SignalName::ThrottledPeriods, Some(group), part, Some(PRESSURE_SHARE), "cpu.stat"));
    }
    let since = last
        .groups
        .pressures
        .iter()
        .filter_map(|(folder, now)| Some((folder, now.since(*first.groups.pressures.get(folder)?))));
    let since: Vec<_> = since.collect();
    for (name, file) in [
        (SignalName::CpuPressure, "cpu.pressure"),
        (SignalName::MemoryPressure, "memory.pressure"),
        (SignalName::IoPressure, "io.pressure"),
    ] {
        let of_kind = since.iter().map(|(folder, since)| {
            let ns = match name {
                SignalName::CpuPressure => since.cpu_ns,
                SignalName::MemoryPressure => since.memory_ns,
                _ => since.io_ns,
            };
            (*folder, of_time(ns))
        });
        for (folder, part) in highest(of_kind, PRESSURE_SHARE) {
            all.push(measured(name, Some(places.group_at(folder)), part, Some(PRESSURE_SHARE), file));
        }
    }
    all
}

/// Those with the highest number, above one.
fn highest<K: Ord>(all: impl Iterator<Item = (K, f64)>, above: f64) -> Vec<(K, f64)> {
    let mut list: Vec<_> = all.filter(|(_, value)| *value > above).collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list.truncate(GROUPS);
    list
}

fn measured(
    signal: SignalName,
    group: Option<Group>,
    value: f64,
    hurts_from: Option<f64>,
    source: &'static str,
) -> Signal {
    let hurts = hurts_from.map(|least| value >= least);
    Signal { signal, group, value, unit: Unit::Share, hurts_from, hurts, source }
}

/// One of a thing that hurts is one too many.
fn counted(signal: SignalName, count: u64, source: &'static str) -> Signal {
    let hurts = Some(count > 0);
    Signal {
        signal,
        group: None,
        value: count as f64,
        unit: Unit::Count,
        hurts_from: Some(1.0),
        hurts,
        source,
    }
}

/// What each disk did between two readings.
pub(super) fn disks(first: &Reading, last: &Reading) -> Vec<Disk> {
    let before = by(&first.machine.disks, |disk| disk.name.clone());
    let since = last.machine.disks.iter().map(|disk| disk.since(before.get(&disk.name).copied()));
    since.filter(|disk| disk.requests > 0).collect()
}

fn by<T, K: Eq + Hash>(all: &[T], key: impl Fn(&T) -> K) -> HashMap<K, &T> {
    all.iter().map(|one| (key(one), one)).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::tools::diagnose::triage::Quota;

    /// Two readings, ten seconds apart.
    fn readings() -> [Reading; 2] {
        let at = Instant::now();
        let empty = || Reading { at, machine: Default::default(), groups: Default::default() };
        [empty(), Reading { at: at + Duration::from_secs(10), ..empty() }]
    }

    fn of(all: &[Signal], name: SignalName) -> Option<(f64, Option<bool>)> {
        all.iter().find(|signal| signal.signal == name).map(|signal| (signal.value, signal.hurts))
    }

    #[test]
    fn a_signal_is_what_came_between_two_readings() {
        let [mut first, mut last] = readings();
        first.machine.pressure = Some(Default::default());
        let mut pressure = first.machine.pressure.unwrap();
        (pressure.cpu_ns, pressure.io_ns) = (4_000_000_000, 500_000_000);
        last.machine.pressure = Some(pressure);
        (last.machine.cpu.busy, last.machine.cpu.steal) = (1_000, 20);
        last.machine.memory.stalls = 3;
        let folder = PathBuf::from("/none/job");
        let quota = |periods, throttled_periods| Quota { cpus: 0.5, periods, throttled_periods };
        first.groups.quotas.insert(folder.clone(), quota(100, 10));
        last.groups.quotas.insert(folder, quota(200, 90));
        let all = signals(&first, &last, &[], 0, &mut Places::new(None));
        assert_eq!(of(&all, SignalName::CpuPressure), Some((0.4, Some(true))));
        assert_eq!(of(&all, SignalName::IoPressure), Some((0.05, Some(false))));
        assert_eq!(of(&all, SignalName::Steal), Some((0.02, Some(false))));
        assert_eq!(of(&all, SignalName::ReclaimStalls), Some((3.0, Some(true))));
        assert_eq!(of(&all, SignalName::StuckThreads), Some((0.0, Some(false))));
        assert_eq!(of(&all, SignalName::ThrottledPeriods), Some((0.8, Some(true))));
        assert_eq!(of(&all, SignalName::DiskTime), None);
    }

    #[test]
    fn what_is_not_there_is_not_said() {
        let [first, last] = readings();
        let all = signals(&first, &last, &[], 2, &mut Places::new(None));
        assert_eq!(of(&all, SignalName::CpuPressure), None);
        assert_eq!(of(&all, SignalName::StuckThreads), Some((2.0, Some(true))));
    }
}
