//! Built reports, for the tests of this tool.

use std::time::Duration;

use diag_common::{
    cause::{Cause, Layer},
    hist,
    iolat::{Failure, Op},
};

use super::{
    Report,
    record::{
        CausePart, FailedCalls, FailureName, Iolat, OpName, Operation, OperationCause, SlowOperation,
        Spectrum, SpectrumBin, Tail,
    },
    verdict::verdict,
};
use crate::output::{
    histogram::{Histogram, PartBin},
    record::{
        Record,
        cause::CauseKeys,
        layers::{LAYERS, Layers},
        parties::{Device, Omitted, Task},
    },
    sample::envelope,
    units::share,
};

/// Some operations of nearly one latency, and what they spent it on.
pub(super) struct Group {
    ops: u64,
    latency_ns: u64,
    causes: &'static [(Cause, Option<Cause>, f64)],
}

/// Throttled, mostly.
pub(super) const DIRTY: &[(Cause, Option<Cause>, f64)] = &[
    (Cause::DirtyThrottle, None, 0.91),
    (Cause::Device, None, 0.06),
    (Cause::Journal, Some(Cause::Device), 0.02),
    (Cause::Steal, None, 0.006),
    (Cause::Run, None, 0.004),
];

/// All on the CPU.
pub(super) const RUN: &[(Cause, Option<Cause>, f64)] = &[(Cause::Run, None, 1.0)];

pub(super) fn group(ops: u64, latency_ns: u64, causes: &'static [(Cause, Option<Cause>, f64)]) -> Group {
    Group { ops, latency_ns, causes }
}

/// The causes of some groups, largest first.
fn parts(groups: &[Group]) -> Vec<CausePart> {
    let total_ns: u64 = groups.iter().map(|group| group.ops * group.latency_ns).sum();
    let mut parts: Vec<CausePart> = Vec::new();
    for group in groups {
        for &(cause, via, of_group) in group.causes {
            let ns = (group.latency_ns as f64 * of_group) as u64 * group.ops;
            let (keys, share) = (CauseKeys { cause, via }, share(ns, total_ns));
            parts.push(CausePart { keys, ns, share, operation_count: group.ops, stack: None });
        }
    }
    parts.sort_by_key(|part| std::cmp::Reverse(part.ns));
    parts
}

fn layers(parts: &[CausePart]) -> [u64; LAYERS] {
    let of = |layer| parts.iter().filter(|part| part.keys.cause.layer() == layer).map(|part| part.ns).sum();
    Layer::ALL.map(of)
}

/// An operation and its spectrum, from groups in order of latency; the last group is the tail.
pub(super) fn operation(op: Op, name: Option<&str>, groups: &[Group]) -> (Operation, Spectrum) {
    let (first, last) = (&groups[0], &groups[groups.len() - 1]);
    let bins = groups.iter().map(|group| (hist::bucket(group.latency_ns), group.ops));
    let sum_ns = groups.iter().map(|group| group.ops * group.latency_ns).sum();
    let latency = Histogram::from_bins(bins, sum_ns, first.latency_ns, last.latency_ns);
    let (all, in_tail) = (parts(groups), parts(std::slice::from_ref(last)));
    let cause = |part: &CausePart| {
        let bin = PartBin { count: part.operation_count, sum_ns: part.ns };
        OperationCause { cause: part.clone(), part: Histogram::from_part_bins([bin]) }
    };
    let bin = |group: &Group| SpectrumBin {
        low_ns: hist::lowest(hist::bucket(group.latency_ns)),
        high_ns: hist::highest(hist::bucket(group.latency_ns)),
        ops: group.ops,
        ns_by_layer: layers(&parts(std::slice::from_ref(group))),
    };
    let operation = Operation {
        op: OpName(op),
        device: Device { id: "254:0".into(), name: name.map(Into::into) },
        filesystem: "ext4".into(),
        bytes: latency.count * 4096,
        latency,
        stopped_ns: 0,
        failed_count: 3,
        failures: vec![FailedCalls { failure: FailureName(Failure::Again), operation_count: 3 }],
        layers: Layers::from_ns(layers(&all)),
        causes: all.iter().map(cause).collect(),
        causes_omitted: Omitted { count: 0, ns: Some(0) },
        tail: Tail {
            quantile: 0.99,
            threshold_ns: last.latency_ns,
            operation_count: last.ops,
            mean_ns: last.latency_ns,
            layers: Layers::from_ns(layers(&in_tail)),
            causes: in_tail,
            causes_omitted: Omitted { count: 0, ns: Some(0) },
        },
    };
    (operation, Spectrum { bins: groups.iter().map(bin).collect() })
}

pub(super) fn report(operations: Vec<(Operation, Spectrum)>, slowest: Vec<SlowOperation>) -> Report {
    let (operations, spectra): (Vec<_>, Vec<_>) = operations.into_iter().unzip();
    let verdict = verdict(&operations, Duration::from_millis(1), 0);
    let omitted = Omitted { count: 0, ns: Some(0) };
    let body = Iolat {
        counted: operations.iter().map(|operation| operation.latency.count).sum(),
        operations,
        operations_omitted: omitted,
        slowest,
        slowest_omitted: omitted,
        pending: Some(Vec::new()),
        pending_omitted: Some(Omitted { count: 0, ns: None }),
        verdict,
    };
    Report { record: Record::new(envelope(), body), picture: spectra }
}

fn slow(latency_ns: u64, comm: &str, file: &str) -> SlowOperation {
    let part = |(cause, share)| CausePart {
        keys: CauseKeys::plain(cause),
        ns: (latency_ns as f64 * share) as u64,
        share,
        operation_count: 1,
        stack: None,
    };
    SlowOperation {
        op: OpName(Op::Pwrite),
        task: Task {
            pid: Some(1234),
            tid: Some(1234),
            comm: Some(comm.into()),
            cgroup: Some("/system.slice/postgresql@15-main.service".into()),
            ..Task::default()
        },
        file: Some(file.into()),
        offset_bytes: Some(4_718_592),
        bytes: Some(128 << 10),
        latency_ns,
        layers: Layers::default(),
        causes: [(Cause::DirtyThrottle, 0.96), (Cause::Device, 0.03), (Cause::Run, 0.01)].map(part).into(),
        causes_omitted: Omitted { count: 0, ns: Some(0) },
        chain: Vec::new(),
        stack: None,
    }
}

/// A writer that is throttled, beside a reader that is not, and a sync that waits for the journal.
pub(super) fn throttled() -> Report {
    const IRQ: &[(Cause, Option<Cause>, f64)] = &[(Cause::Run, None, 0.7), (Cause::Irq, None, 0.3)];
    const QUEUED: &[(Cause, Option<Cause>, f64)] = &[(Cause::Runqueue, None, 0.95), (Cause::Run, None, 0.05)];
    const DEVICE: &[(Cause, Option<Cause>, f64)] = &[(Cause::Device, None, 1.0)];
    const COMMIT: &[(Cause, Option<Cause>, f64)] = &[
        (Cause::Journal, Some(Cause::Device), 0.45),
        (Cause::Journal, Some(Cause::Queue), 0.2),
        (Cause::Device, None, 0.35),
    ];
    let write = [
        group(10_400, 3_100, RUN),
        group(1_500, 7_000, RUN),
        group(310, 12_000, IRQ),
        group(12, 1_300_000, QUEUED),
        group(123, 38_000_000, DIRTY),
    ];
    let read = [group(812_345, 900, RUN), group(8_123, 12_000, RUN)];
    let sync = [group(90, 5_200_000, DEVICE), group(1, 61_000_000, COMMIT)];
    let operations = vec![
        operation(Op::Read, Some("vda"), &read),
        operation(Op::Pwrite, Some("vda"), &write),
        operation(Op::Fdatasync, None, &sync),
    ];
    let slowest = vec![
        slow(41_000_000, "postgres", "/var/lib/postgresql/15/main/base/16384/2619"),
        slow(39_500_000, "fio", "/srv/x"),
        slow(38_900_000, "kworker", "/srv/y"),
    ];
    report(operations, slowest)
}
