//! From counts to a record.

use std::collections::BTreeMap;

use diag_common::{hist, runq::Cell, who};

use super::{
    group::{CpuCount, Group, Harvest, Key, Runner},
    record::{self, Culprit, CulpritKind},
};
use crate::{
    output::{
        histogram::{Histogram, PartBin},
        text::escape,
    },
    target::CgroupNames,
};

/// Culprits of a group that are listed at most.
const CULPRITS: usize = 20;

/// How waits are spread: how many and how long, by bucket.
pub(crate) type Spectrum = BTreeMap<u32, Cell>;

/// The groups of a record, their spectra in the same order, and what is left over.
pub(super) struct Groups {
    pub(super) listed: Vec<record::Group>,
    pub(super) spectra: Vec<Spectrum>,
    pub(super) rest: Option<record::Rest>,
}

/// Makes the groups of a record: `top` of them.
pub(super) fn groups(harvest: &Harvest, top: usize, cgroups: &mut Option<&mut CgroupNames>) -> Groups {
    let mut all: Vec<(&Key, &Group, Spectrum)> =
        harvest.groups.iter().map(|(key, group)| (key, group, spectrum(harvest, key, group))).collect();
    all.sort_by_cached_key(|(key, group, spectrum)| {
        (std::cmp::Reverse((delay_ns(spectrum) + group.throttled_ns, group.run_ns)), **key)
    });
    let rest = rest(&all[top.min(all.len())..]);
    all.truncate(top);
    let listed =
        all.iter().map(|(key, group, spectrum)| one(harvest, key, group, spectrum, cgroups)).collect();
    Groups { listed, spectra: all.into_iter().map(|(_, _, spectrum)| spectrum).collect(), rest }
}

/// The waits of a group. A CPU has counted its own, of which the times are known in sum alone.
fn spectrum(harvest: &Harvest, key: &Key, group: &Group) -> Spectrum {
    let Key::Cpu(number) = key else { return group.waits.clone() };
    let Some(cpu) = harvest.cpus.get(number) else { return Spectrum::new() };
    let middle = |bucket| hist::lowest(bucket).midpoint(hist::highest(bucket));
    cpu.bins.iter().map(|(&bucket, &count)| (bucket, Cell { count, ns: count * middle(bucket) })).collect()
}

fn delay_ns(spectrum: &Spectrum) -> u64 {
    spectrum.values().map(|cell| cell.ns).sum()
}

fn one(
    harvest: &Harvest,
    key: &Key,
    group: &Group,
    spectrum: &Spectrum,
    cgroups: &mut Option<&mut CgroupNames>,
) -> record::Group {
    let delay = match key {
        Key::Cpu(number) => harvest.cpus.get(number).map(cpu_histogram).unwrap_or_default(),
        _ => histogram(spectrum),
    };
    let name = group.names.iter().max_by_key(|&(name, ns)| (*ns, std::cmp::Reverse(*name)));
    let comm = name.map(|(name, _)| comm(*name));
    let label = match *key {
        Key::Comm(name) => self::comm(name),
        Key::Pid(number) | Key::Tid(number, _) | Key::Cpu(number) => number.to_string(),
        Key::Cgroup(id) => cgroup(id, cgroups).unwrap_or_else(|| id.to_string()),
        Key::Unknown => "unknown".to_owned(),
    };
    let pid = match *key {
        Key::Pid(pid) | Key::Tid(_, pid) => Some(pid),
        _ => None,
    };
    let mut culprits = culprits(group, delay.sum_ns, cgroups);
    let known: u64 = culprits.iter().map(|culprit| culprit.ns).sum();
    let listed: u64 = culprits.iter().take(CULPRITS).map(|culprit| culprit.ns).sum();
    culprits.truncate(CULPRITS);
    record::Group {
        key: label,
        comm,
        pid,
        throttled_ns: group.throttled_ns,
        run_ns: group.run_ns,
        culprits,
        other_culprits_ns: known - listed,
        unattributed_ns: delay.sum_ns.saturating_sub(known),
        delay,
    }
}

/// Longest first.
fn culprits(group: &Group, delay_ns: u64, cgroups: &mut Option<&mut CgroupNames>) -> Vec<Culprit> {
    let mut all: Vec<(Runner, u64)> = group.culprits.iter().map(|(&runner, &ns)| (runner, ns)).collect();
    // What is told of a migration and of a wait's end belongs to one wait, but may come in two epochs.
    let known: u64 = all.iter().map(|&(_, ns)| ns).sum();
    if known > delay_ns {
        let scale = delay_ns as f64 / known as f64;
        for (_, ns) in &mut all {
            *ns = (*ns as f64 * scale) as u64;
        }
    }
    let mut all: Vec<Culprit> =
        all.into_iter().map(|(runner, ns)| culprit(runner, ns, delay_ns, cgroups)).collect();
    all.sort_by(|a, b| b.ns.cmp(&a.ns).then_with(|| (&a.comm, a.pid).cmp(&(&b.comm, b.pid))));
    all
}

fn culprit(runner: Runner, ns: u64, of: u64, cgroups: &mut Option<&mut CgroupNames>) -> Culprit {
    let share = if of == 0 { 0.0 } else { ns as f64 / of as f64 };
    let nobody = |kind, name: &str| Culprit {
        kind,
        comm: name.to_owned(),
        pid: 0,
        tid: None,
        cgroup: None,
        ns,
        share,
    };
    match runner {
        Runner::Thread(thread) => Culprit {
            kind: CulpritKind::Task,
            comm: comm(thread.comm),
            pid: thread.tgid,
            tid: (thread.tid != 0).then_some(thread.tid),
            cgroup: cgroup(thread.cgroup, cgroups),
            ns,
            share,
        },
        Runner::Idle => nobody(CulpritKind::Idle, "idle"),
        Runner::Irq => nobody(CulpritKind::Irq, "interrupts"),
        Runner::Steal => nobody(CulpritKind::Steal, "hypervisor"),
        Runner::Unknown => nobody(CulpritKind::Unknown, "unknown"),
    }
}

fn cgroup(id: u64, cgroups: &mut Option<&mut CgroupNames>) -> Option<String> {
    cgroups.as_deref_mut().and_then(|names| names.path(id).map(str::to_owned))
}

/// A thread's name, for a record.
fn comm(halves: [u64; 2]) -> String {
    escape(&who::name(halves))
}

fn histogram(spectrum: &Spectrum) -> Histogram {
    Histogram::from_part_bins(spectrum.values().map(|cell| PartBin { count: cell.count, sum_ns: cell.ns }))
}

fn cpu_histogram(cpu: &CpuCount) -> Histogram {
    let (min_ns, max_ns) = cpu.bounds.unwrap_or_default();
    Histogram::from_bins(
        cpu.bins.iter().map(|(&bucket, &count)| (bucket, count)),
        cpu.delay_ns,
        min_ns,
        max_ns,
    )
}

fn rest(others: &[(&Key, &Group, Spectrum)]) -> Option<record::Rest> {
    if others.is_empty() {
        return None;
    }
    let mut sum = Group::default();
    for (_, group, spectrum) in others {
        sum.throttled_ns += group.throttled_ns;
        sum.run_ns += group.run_ns;
        for (&bucket, &cell) in spectrum {
            sum.add_waits(bucket, cell);
        }
    }
    Some(record::Rest {
        groups: others.len() as u64,
        delay: histogram(&sum.waits),
        throttled_ns: sum.throttled_ns,
        run_ns: sum.run_ns,
    })
}

/// The CPUs of a record.
pub(super) fn cpus(harvest: &Harvest) -> Vec<record::Cpu> {
    // Clock ticks alone are interrupts enough: where there seem to be none, they are not measured.
    let irq = harvest.cpus.values().any(|cpu| cpu.irq_ns != 0);
    let one = |(&number, cpu): (&u32, &CpuCount)| record::Cpu {
        cpu: number,
        utilization: cpu.busy_ns as f64 / (cpu.busy_ns + cpu.idle_ns).max(1) as f64,
        busy_ns: cpu.busy_ns,
        idle_ns: cpu.idle_ns,
        irq_ns: irq.then_some(cpu.irq_ns),
        steal_ns: cpu.steal_ns,
        switches: cpu.switches,
        delay: cpu_histogram(cpu),
    };
    harvest.cpus.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use diag_common::who::Who;

    use super::*;

    fn name(text: &str) -> [u64; 2] {
        let mut bytes = [0; 16];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        std::array::from_fn(|half| u64::from_ne_bytes(std::array::from_fn(|at| bytes[8 * half + at])))
    }

    fn group(waits: &[u64], culprits: &[(Runner, u64)]) -> Group {
        let mut group = Group::default();
        for &ns in waits {
            group.add_waits(hist::bucket(ns), Cell { count: 1, ns });
        }
        group.culprits = culprits.iter().copied().collect();
        group
    }

    fn thread(pid: u32) -> Runner {
        Runner::Thread(Who { tgid: pid, tid: 0, cgroup: 1, comm: name("hog") })
    }

    #[test]
    fn culprits_and_what_nobody_had_add_up_to_the_waits() {
        let culprits: Vec<(Runner, u64)> = (1..=30).map(|pid| (thread(pid), 100)).collect();
        let harvest = Harvest {
            groups: [(Key::Comm(name("web")), group(&[2_000, 2_500], &culprits))].into(),
            ..Harvest::default()
        };
        let groups = groups(&harvest, 10, &mut None);
        let [web] = &groups.listed[..] else { panic!("one group") };
        assert_eq!((web.key.as_str(), web.delay.count, web.delay.sum_ns), ("web", 2, 4_500));
        assert_eq!((web.culprits.len(), web.other_culprits_ns, web.unattributed_ns), (20, 1_000, 1_500));
        assert_eq!((web.culprits[0].comm.as_str(), web.culprits[0].pid), ("hog", 1));
    }

    #[test]
    fn culprits_never_have_more_than_there_was() {
        let group = group(&[1_000], &[(thread(1), 1_500), (Runner::Idle, 500)]);
        let all = culprits(&group, 1_000, &mut None);
        assert_eq!(all.iter().map(|culprit| culprit.ns).collect::<Vec<_>>(), [750, 250]);
    }

    #[test]
    fn groups_beyond_the_top_are_added_up() {
        let of = |ns| group(&[ns], &[]);
        let groups_of = [(Key::Pid(1), of(10)), (Key::Pid(2), of(3_000)), (Key::Pid(3), of(200))];
        let harvest = Harvest { groups: groups_of.into(), ..Harvest::default() };
        let groups = groups(&harvest, 1, &mut None);
        assert_eq!((groups.listed.len(), groups.listed[0].key.as_str()), (1, "2"));
        let rest = groups.rest.unwrap();
        assert_eq!((rest.groups, rest.delay.count, rest.delay.sum_ns), (2, 2, 210));
    }

    #[test]
    fn a_cpu_has_its_exact_bounds() {
        let cpu = CpuCount {
            bins: [(hist::bucket(5_000), 2)].into(),
            delay_ns: 10_010,
            bounds: Some((5_000, 5_010)),
            busy_ns: 3,
            idle_ns: 1,
            ..CpuCount::default()
        };
        let harvest = Harvest { groups: [(Key::Cpu(3), Group::default())].into(), cpus: [(3, cpu)].into() };
        let group = &groups(&harvest, 1, &mut None).listed[0];
        assert_eq!((group.key.as_str(), group.delay.min_ns, group.delay.max_ns), ("3", 5_000, 5_010));
        let cpu = &cpus(&harvest)[0];
        assert_eq!((cpu.utilization, cpu.irq_ns, cpu.delay.sum_ns), (0.75, None, 10_010));
    }
}
