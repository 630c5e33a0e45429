//! Built groups and CPUs, for tests.

use diag_common::{hist, runq::Cell};

use super::{
    model::Facts,
    record::{CpuTime, Group},
};
use crate::output::{
    histogram::{Histogram, PartBin},
    record::parties::{self, Basis, Culprit, GroupType, Omitted, Resource, Task},
    units::share,
};

/// So many waits of so long each.
fn waits(count: u64, each_ns: u64) -> Histogram {
    Histogram::from_part_bins([PartBin { count, sum_ns: count * each_ns }])
}

/// A group that waited so often, so long each time.
pub(super) fn group(comm: &str, count: u64, each_ns: u64, culprits: Vec<Culprit>) -> Group {
    let known: u64 = culprits.iter().map(|culprit| culprit.ns).sum();
    Group {
        group: parties::Group { comm: Some(comm.to_owned()), ..parties::Group::of(GroupType::Comm) },
        cpu: None,
        delay: waits(count, each_ns),
        wake_ns: 0,
        throttled_ns: 0,
        run_ns: 500_000_000,
        culprits,
        culprits_omitted: Omitted { count: 0, ns: Some(0) },
        idle_ns: 0,
        irq_ns: Some(0),
        steal_ns: Some(0),
        unattributed_ns: (count * each_ns).saturating_sub(known),
        reason: None,
    }
}

/// A task that had the CPU for a share of so many waits of so long each.
pub(super) fn culprit(comm: &str, pid: u32, count: u64, each_ns: u64, part: f64) -> Culprit {
    let ns = (count as f64 * each_ns as f64 * part) as u64;
    let task = Task {
        pid: Some(pid),
        comm: Some(comm.to_owned()),
        cgroup: Some("/batch".to_owned()),
        ..Task::default()
    };
    Culprit {
        resource: Resource::Cpu,
        basis: Basis::Overlap,
        group: None,
        task: Some(task),
        ns,
        share: share(ns, count * each_ns),
    }
}

/// The same group, of whose waiting an idle CPU had this share as well.
pub(super) fn idle(mut group: Group, part: f64) -> Group {
    group.idle_ns = (group.delay.sum_ns as f64 * part) as u64;
    group.unattributed_ns -= group.idle_ns;
    group
}

/// What is known of a built group besides: none of its culprits is its own.
pub(super) fn facts(group: &Group) -> Facts {
    let cell = Cell { count: group.delay.count, ns: group.delay.sum_ns };
    Facts {
        spectrum: [(hist::bucket(group.delay.mean_ns.unwrap_or(0)), cell)].into(),
        own_ns: vec![0; group.culprits.len()],
        own_omitted_ns: 0,
        member: None,
    }
}

/// The same where all of its culprits are its own.
pub(super) fn own(group: &Group) -> Facts {
    Facts { own_ns: group.culprits.iter().map(|culprit| culprit.ns).collect(), ..facts(group) }
}

/// A CPU that was busy for a share of ten seconds.
pub(super) fn cpu(number: u32, busy_share: f64) -> CpuTime {
    let busy_ns = (busy_share * 1e10) as u64;
    CpuTime {
        cpu: number,
        busy_share,
        busy_ns,
        idle_ns: 10_000_000_000 - busy_ns,
        irq_ns: Some(20_000_000),
        steal_ns: Some(10_000_000),
        switch_count: 12_345,
        delay: waits(500, 40_000),
    }
}
