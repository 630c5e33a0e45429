//! Built groups and CPUs, for tests.

use diag_common::{hist, runq::Cell};

use super::{
    model::Spectrum,
    record::{Cpu, Culprit, CulpritKind, Group},
};
use crate::output::histogram::{Histogram, PartBin};

/// So many waits of so long each.
fn waits(count: u64, each_ns: u64) -> Histogram {
    Histogram::from_part_bins([PartBin { count, sum_ns: count * each_ns }])
}

/// A group that waited so often, so long each time.
pub(super) fn group(key: &str, count: u64, each_ns: u64, culprits: Vec<Culprit>) -> Group {
    let known: u64 = culprits.iter().map(|culprit| culprit.ns).sum();
    Group {
        key: key.to_owned(),
        comm: Some(key.to_owned()),
        pid: None,
        delay: waits(count, each_ns),
        throttled_ns: 0,
        run_ns: 500_000_000,
        culprits,
        other_culprits_ns: 0,
        unattributed_ns: (count * each_ns).saturating_sub(known),
    }
}

/// Who had the CPU for a share of so many waits of so long each.
pub(super) fn culprit(comm: &str, pid: u32, count: u64, each_ns: u64, share: f64) -> Culprit {
    let ns = (count as f64 * each_ns as f64 * share) as u64;
    let cgroup = Some("/batch".to_owned());
    Culprit { kind: CulpritKind::Task, comm: comm.to_owned(), pid, tid: None, cgroup, ns, share }
}

/// Nobody, in the same way.
pub(super) fn idle(count: u64, each_ns: u64, share: f64) -> Culprit {
    let kind = CulpritKind::Idle;
    Culprit { kind, cgroup: None, ..culprit("idle", 0, count, each_ns, share) }
}

/// The spectrum of a built group.
pub(super) fn spectrum(group: &Group) -> Spectrum {
    let cell = Cell { count: group.delay.count, ns: group.delay.sum_ns };
    [(hist::bucket(group.delay.mean_ns), cell)].into()
}

/// A CPU that was busy for a share of ten seconds.
pub(super) fn cpu(number: u32, utilization: f64) -> Cpu {
    let busy_ns = (utilization * 1e10) as u64;
    Cpu {
        cpu: number,
        utilization,
        busy_ns,
        idle_ns: 10_000_000_000 - busy_ns,
        irq_ns: Some(20_000_000),
        steal_ns: Some(10_000_000),
        switches: 12_345,
        delay: waits(500, 40_000),
    }
}
