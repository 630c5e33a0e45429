//! From counts to a record.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use diag_common::{hist, runq::Cell, who::Who};

use super::{
    args::Sort,
    group::{CpuCount, Group, Had, Harvest, Key, More, Runner},
    naming::{culprit, party, task},
    record::{self, CpuTime},
};
use crate::{
    output::{
        histogram::{Histogram, PartBin},
        record::parties::{Omitted, Task},
        units::share,
    },
    target::CgroupNames,
};

/// Culprits of a group that are listed at most.
const CULPRITS: usize = 20;

/// How waits are spread: how many and how long, by bucket.
pub(crate) type Spectrum = BTreeMap<u32, Cell>;

/// What is known of a group of a record besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// How its waits are spread.
    pub(super) spectrum: Spectrum,
    /// Of each listed culprit's time, that in which its own kind waited, ns.
    pub(super) own_ns: Vec<u64>,
    /// The same of those that are not listed together, ns.
    pub(super) own_omitted_ns: u64,
    /// The one of the group that waited and ran most.
    pub(super) member: Option<Task>,
}

impl Facts {
    /// Time in which the group's own kind had the CPU, ns.
    pub(super) fn own_ns(&self) -> u64 {
        self.own_ns.iter().sum::<u64>() + self.own_omitted_ns
    }
}

/// The groups of a record, what is known of them besides in the same order, and what the last one takes together.
pub(super) struct Groups {
    pub(super) listed: Vec<record::Group>,
    pub(super) facts: Vec<Facts>,
    pub(super) omitted: Omitted,
}

/// Which groups a record has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// So many.
    pub(super) top: usize,
    /// In this order.
    pub(super) sort: Sort,
}

/// What a kernel measures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Time in interrupts.
    pub(super) irq: bool,
    /// Time that the hypervisor takes.
    pub(super) steal: bool,
}

impl Measured {
    /// Clock ticks alone are interrupts enough: where there seem to be none, they are not measured.
    pub(super) fn of(harvest: &Harvest, steal: bool) -> Measured {
        Measured { irq: harvest.cpus.values().any(|cpu| cpu.irq_ns != 0), steal }
    }
}

/// Makes the groups of a record.
pub(super) fn groups(
    harvest: &Harvest,
    wanted: Wanted,
    measured: Measured,
    cgroups: &mut Option<&mut CgroupNames>,
) -> Groups {
    let found = harvest.groups.iter().filter(|(key, _)| **key != Key::Rest);
    let mut all: Vec<(Key, &Group, Spectrum)> =
        found.map(|(key, group)| (*key, group, spectrum(harvest, *key, group))).collect();
    all.sort_by_cached_key(|(key, group, spectrum)| {
        let waited = delay_ns(spectrum) + group.throttled_ns;
        let first = match wanted.sort {
            Sort::Time => waited,
            Sort::Longest => spectrum.last_key_value().map_or(0, |(&bucket, _)| hist::highest(bucket)),
            Sort::Count => spectrum.values().map(|cell| cell.count).sum(),
            Sort::Run => group.run_ns,
        };
        (Reverse((first, waited, group.run_ns)), *key)
    });
    let more = all.get(wanted.top..).unwrap_or_default();
    let unknown = harvest.groups.get(&Key::Rest);
    let rest = (!more.is_empty() || unknown.is_some()).then(|| rest(harvest, more, unknown));
    // Threads whose identity found no room are one of them.
    let count = more.len() as u64 + harvest.merged.max(u64::from(unknown.is_some()));
    let omitted = Omitted { count, ns: Some(rest.as_ref().map_or(0, |rest| delay_ns(&rest.waits))) };
    all.truncate(wanted.top);
    let mut groups = Groups { listed: Vec::new(), facts: Vec::new(), omitted };
    for (key, group, spectrum) in all {
        let delay = match key {
            Key::Cpu(number) => harvest.cpus.get(&number).map(cpu_histogram).unwrap_or_default(),
            _ => histogram(&spectrum),
        };
        groups.push(one(key, group, delay, measured, cgroups), spectrum);
    }
    if let Some(rest) = rest {
        groups.push(one(Key::Rest, &rest, histogram(&rest.waits), measured, cgroups), rest.waits);
    }
    groups
}

impl Groups {
    fn push(&mut self, (group, facts): (record::Group, Facts), spectrum: Spectrum) {
        self.listed.push(group);
        self.facts.push(Facts { spectrum, ..facts });
    }
}

/// The waits of a group. A CPU has counted its own, of which the times are known in sum alone.
fn spectrum(harvest: &Harvest, key: Key, group: &Group) -> Spectrum {
    let Key::Cpu(number) = key else { return group.waits.clone() };
    let Some(cpu) = harvest.cpus.get(&number) else { return Spectrum::new() };
    let middle = |bucket| hist::lowest(bucket).midpoint(hist::highest(bucket));
    cpu.bins.iter().map(|(&bucket, &count)| (bucket, Cell { count, ns: count * middle(bucket) })).collect()
}

fn delay_ns(spectrum: &Spectrum) -> u64 {
    spectrum.values().map(|cell| cell.ns).sum()
}

/// Groups that are not listed, and what is of no known group, added up.
fn rest(harvest: &Harvest, more: &[(Key, &Group, Spectrum)], unknown: Option<&Group>) -> Group {
    let mut sum = unknown.cloned().unwrap_or_default();
    for (key, group, spectrum) in more {
        sum.merge(group);
        if let Key::Cpu(number) = key {
            // A CPU's waits are not in its group, and their times are known in sum alone.
            let exact_ns = harvest.cpus.get(number).map_or(0, |cpu| cpu.delay_ns);
            let scale = exact_ns as f64 / delay_ns(spectrum).max(1) as f64;
            let mut left_ns = exact_ns;
            for (at, (&bucket, &cell)) in spectrum.iter().enumerate() {
                let last = at + 1 == spectrum.len();
                let ns = if last { left_ns } else { ((cell.ns as f64 * scale) as u64).min(left_ns) };
                left_ns -= ns;
                sum.add_waits(bucket, Cell { count: cell.count, ns });
            }
        }
    }
    sum
}

fn one(
    key: Key,
    group: &Group,
    delay: Histogram,
    measured: Measured,
    cgroups: &mut Option<&mut CgroupNames>,
) -> (record::Group, Facts) {
    let (had, unlisted) = within(group, delay.sum_ns);
    let of = |runner| had.get(&runner).map_or(0, |had| had.ns);
    let mut tasks: Vec<(&Who, Had)> = had
        .iter()
        .filter_map(|(runner, &had)| match runner {
            Runner::Thread(who) if had.ns > 0 => Some((who, had)),
            _ => None,
        })
        .collect();
    tasks.sort_by_key(|(who, had)| (Reverse(had.ns), who.comm, who.tgid, who.tid, who.cgroup));
    let more = tasks.get(CULPRITS..).unwrap_or_default();
    let more_ns = more.iter().map(|(_, had)| had.ns).sum::<u64>() + unlisted.had.ns;
    let culprits_omitted = Omitted { count: more.len() as u64 + unlisted.count, ns: Some(more_ns) };
    let facts = Facts {
        spectrum: Spectrum::new(),
        own_ns: tasks.iter().take(CULPRITS).map(|(_, had)| had.own_ns).collect(),
        member: group
            .members
            .iter()
            .max_by_key(|&(who, ns)| (*ns, Reverse(who.tgid)))
            .map(|(who, _)| task(who, cgroups)),
        own_omitted_ns: more.iter().map(|(_, had)| had.own_ns).sum::<u64>() + unlisted.had.own_ns,
    };
    let known: u64 = had.values().map(|had| had.ns).sum::<u64>() + unlisted.had.ns;
    let culprits =
        tasks.iter().take(CULPRITS).map(|&(who, had)| culprit(who, had.ns, delay.sum_ns, cgroups)).collect();
    let group = record::Group {
        group: party(key, group, cgroups),
        cpu: match key {
            Key::Cpu(number) => Some(number),
            _ => None,
        },
        wake_ns: group.wake_ns.min(delay.sum_ns),
        throttled_ns: group.throttled_ns,
        run_ns: group.run_ns,
        culprits,
        culprits_omitted,
        idle_ns: of(Runner::Idle),
        irq_ns: measured.irq.then(|| of(Runner::Irq)),
        steal_ns: measured.steal.then(|| of(Runner::Steal)),
        unattributed_ns: delay.sum_ns - known,
        reason: None,
        delay,
    };
    (group, facts)
}

/// What had the CPU, as parts of `delay_ns`: what is told of a migration and of a wait's end belongs to one wait, but may
/// come in two epochs, so that one of them has more parts than waiting.
fn within(group: &Group, delay_ns: u64) -> (HashMap<Runner, Had>, More) {
    let known: u64 = group.culprits.values().map(|had| had.ns).sum::<u64>() + group.more.had.ns;
    if known <= delay_ns {
        return (group.culprits.clone(), group.more);
    }
    let scale = delay_ns as f64 / known as f64;
    let mut left_ns = delay_ns;
    let mut part = |had: Had| {
        let ns = ((had.ns as f64 * scale) as u64).min(left_ns);
        left_ns -= ns;
        Had { ns, own_ns: ((had.own_ns as f64 * scale) as u64).min(ns) }
    };
    let more = More { had: part(group.more.had), ..group.more };
    (group.culprits.iter().map(|(&runner, &had)| (runner, part(had))).collect(), more)
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

/// The CPUs of a record.
pub(super) fn cpu_times(harvest: &Harvest, measured: Measured) -> Vec<CpuTime> {
    let one = |(&number, cpu): (&u32, &CpuCount)| CpuTime {
        cpu: number,
        busy_share: share(cpu.busy_ns, cpu.busy_ns + cpu.idle_ns),
        busy_ns: cpu.busy_ns,
        idle_ns: cpu.idle_ns,
        irq_ns: measured.irq.then_some(cpu.irq_ns),
        steal_ns: cpu.steal_ns,
        switch_count: cpu.switches,
        delay: cpu_histogram(cpu),
    };
    harvest.cpus.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::record::parties::GroupType;

    const ALL: Measured = Measured { irq: true, steal: true };

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
        group.culprits = culprits.iter().map(|&(runner, ns)| (runner, Had { ns, own_ns: ns / 2 })).collect();
        group
    }

    fn thread(pid: u32) -> Runner {
        Runner::Thread(Who { tgid: pid, tid: 0, cgroup: 1, comm: name("hog") })
    }

    fn of(harvest: &Harvest, top: usize, sort: Sort) -> Groups {
        groups(harvest, Wanted { top, sort }, ALL, &mut None)
    }

    #[test]
    fn culprits_and_what_nobody_had_add_up_to_the_waits() {
        let mut culprits: Vec<(Runner, u64)> = (1..=30).map(|pid| (thread(pid), 100)).collect();
        culprits.push((Runner::Idle, 300));
        let harvest = Harvest {
            groups: [(Key::Comm(name("web")), group(&[2_000, 2_500], &culprits))].into(),
            ..Harvest::default()
        };
        let groups = of(&harvest, 10, Sort::Time);
        let [web] = &groups.listed[..] else { panic!("one group") };
        assert_eq!((web.label().as_str(), web.delay.count, web.delay.sum_ns), ("web", 2, 4_500));
        assert_eq!((web.culprits.len(), web.culprits_omitted), (20, Omitted { count: 10, ns: Some(1_000) }));
        assert_eq!((web.idle_ns, web.irq_ns, web.unattributed_ns), (300, Some(0), 1_200));
        let task = web.culprits[0].task.as_ref().unwrap();
        assert_eq!((task.comm.as_deref(), task.pid), (Some("hog"), Some(1)));
        assert_eq!((groups.facts[0].own_ns[0], groups.facts[0].own_ns()), (50, 1_500));
    }

    #[test]
    fn culprits_never_have_more_than_there_was() {
        let harvest = Harvest {
            groups: [(Key::Process(9), group(&[1_000], &[(thread(1), 1_500), (Runner::Idle, 500)]))].into(),
            ..Harvest::default()
        };
        let group = &of(&harvest, 1, Sort::Time).listed[0];
        assert_eq!((group.culprits[0].ns, group.idle_ns, group.unattributed_ns), (750, 250, 0));
    }

    #[test]
    fn groups_beyond_the_top_are_added_up() {
        let of_ns = |ns| group(&[ns], &[(thread(1), ns / 2)]);
        let groups_of = [
            (Key::Process(1), of_ns(10)),
            (Key::Process(2), of_ns(3_000)),
            (Key::Process(3), of_ns(200)),
            (Key::Rest, of_ns(7)),
        ];
        let harvest = Harvest { groups: groups_of.into(), ..Harvest::default() };
        let groups = of(&harvest, 1, Sort::Time);
        let [first, rest] = &groups.listed[..] else { panic!("{:?}", groups.listed) };
        assert_eq!((first.group.pid, rest.group.kind), (Some(2), GroupType::Rest));
        assert_eq!((rest.delay.count, rest.delay.sum_ns, rest.culprits[0].ns), (3, 217, 108));
        assert_eq!(groups.omitted, Omitted { count: 3, ns: Some(217) });
    }

    #[test]
    fn groups_stand_in_the_order_asked_for() {
        let mut often = group(&[10, 10, 10], &[]);
        often.run_ns = 5;
        let harvest = Harvest {
            groups: [(Key::Process(1), often), (Key::Process(2), group(&[3_000], &[]))].into(),
            ..Harvest::default()
        };
        for (sort, first) in [(Sort::Time, 2), (Sort::Longest, 2), (Sort::Count, 1), (Sort::Run, 1)] {
            assert_eq!(of(&harvest, 2, sort).listed[0].group.pid, Some(first), "{sort:?}");
        }
    }

    #[test]
    fn a_cpu_has_its_exact_bounds_and_the_others_their_exact_sum() {
        let cpu = CpuCount {
            bins: [(hist::bucket(5_000), 2), (hist::bucket(10), 1)].into(),
            delay_ns: 10_020,
            bounds: Some((10, 5_010)),
            busy_ns: 3,
            idle_ns: 1,
            ..CpuCount::default()
        };
        let harvest = Harvest {
            groups: [(Key::Cpu(3), Group::default()), (Key::Cpu(4), Group::default())].into(),
            cpus: [(3, cpu.clone()), (4, cpu)].into(),
            ..Harvest::default()
        };
        let groups = of(&harvest, 1, Sort::Time);
        let [group, rest] = &groups.listed[..] else { panic!("{:?}", groups.listed) };
        assert_eq!((group.cpu, group.delay.min_ns, group.delay.max_ns), (Some(3), Some(10), Some(5_010)));
        assert_eq!((rest.cpu, rest.delay.count, rest.delay.sum_ns), (None, 3, 10_020));
        let cpu = &cpu_times(&harvest, Measured { irq: false, steal: true })[0];
        assert_eq!((cpu.busy_share, cpu.irq_ns, cpu.delay.sum_ns), (0.75, None, 10_020));
    }
}
