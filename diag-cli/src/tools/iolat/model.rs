//! From groups of operations to what a record says of them.

use std::collections::HashMap;

use diag_common::{
    cause::{Cause, Layer},
    hist,
    iolat::{Failure, GroupKey, Op},
};

use super::{
    collect::{Group, Wait},
    explain::{Explained, Explainer},
    record::{
        CausePart, FailedCalls, FailureName, OpName, Operation, OperationCause, Spectrum, SpectrumBin, Tail,
    },
};
use crate::{
    ebpf::stacks::Stacks,
    kernel::mounts::Mounts,
    output::{
        histogram::{Histogram, PartBin},
        record::{
            cause::CauseKeys,
            layers::{LAYERS, Layers},
            parties::Omitted,
        },
        units::share,
    },
};

/// Time and operations of one cause, and its stack.
#[derive(Clone, Copy, Default)]
pub(super) struct Part {
    pub(super) ns: u64,
    pub(super) ops: u64,
    /// The stack that has most of the time, and how much.
    pub(super) stack: u32,
    stack_ns: u64,
}

impl Part {
    pub(super) fn add(&mut self, ns: u64, ops: u64, stack: u32) {
        self.ns += ns;
        self.ops += ops;
        if stack != 0 && ns >= self.stack_ns {
            (self.stack, self.stack_ns) = (stack, ns);
        }
    }
}

/// What turns numbers into names.
pub(crate) struct Namer<'a> {
    /// Has the stacks.
    pub(crate) stacks: &'a mut Stacks,
    /// Knows their meaning.
    pub(crate) explainer: &'a mut Explainer,
    /// Knows the file systems.
    pub(crate) mounts: &'a mut Mounts,
}

impl Namer<'_> {
    /// The functions of a stack, innermost first, where it has any.
    pub(super) fn functions(&mut self, stack: u32) -> Option<Vec<String>> {
        Some(self.stacks.functions(stack)).filter(|functions| !functions.is_empty()).map(<[String]>::to_vec)
    }
}

/// A group's latency buckets, each with its causes. What no cause took is running.
struct Matrix {
    /// `(bucket, operations, ns, causes)`, ascending, without empty ones.
    rows: Vec<Row>,
}

struct Row {
    bucket: u32,
    ops: u64,
    ns: u64,
    causes: HashMap<Explained, Part>,
}

const RUN: Explained = Explained { cause: Cause::Run, via: None };
const UNSPLIT: Explained = Explained { cause: Cause::OtherWait, via: None };

impl Matrix {
    fn new(group: &Group, namer: &mut Namer<'_>) -> Matrix {
        let mut cells: HashMap<u32, Vec<(Wait, u64, u64)>> = HashMap::new();
        for (&(bucket, wait), cell) in &group.cells {
            cells.entry(bucket).or_default().push((wait, cell.ns, cell.count));
        }
        let mut rows = Vec::new();
        for (&bucket, bin) in &group.bins {
            let mut causes: HashMap<Explained, Part> = HashMap::new();
            let (mut explained, mut split_ops) = (0, 0);
            for (wait, ns, ops) in cells.remove(&bucket).unwrap_or_default() {
                let key = namer.explainer.explain(namer.stacks, wait);
                causes.entry(key).or_default().add(ns, ops, wait.stack);
                explained += ns;
                if wait.cause == Cause::Run as u8 {
                    split_ops = ops;
                }
            }
            // Operations without any cell did nothing but run.
            causes.entry(RUN).or_default().add(
                bin.ns.saturating_sub(explained),
                bin.count.saturating_sub(split_ops),
                0,
            );
            for part in causes.values_mut() {
                part.ops = part.ops.min(bin.count);
            }
            rows.push(Row { bucket, ops: bin.count, ns: bin.ns, causes });
        }
        let mut matrix = Matrix { rows };
        matrix.move_unsplit(group.unsplit_ns);
        matrix
    }

    /// Time whose cause found no room must not pass for running.
    fn move_unsplit(&mut self, mut ns: u64) {
        for row in self.rows.iter_mut().rev() {
            let run = row.causes.entry(RUN).or_default();
            let moved = ns.min(run.ns);
            if moved != 0 {
                run.ns -= moved;
                ns -= moved;
                row.causes.entry(UNSPLIT).or_default().add(moved, 1, 0);
            }
        }
    }

    fn causes_from(&self, bucket: u32) -> HashMap<Explained, Part> {
        let mut sum: HashMap<Explained, Part> = HashMap::new();
        for row in self.rows.iter().filter(|row| row.bucket >= bucket) {
            for (&key, part) in &row.causes {
                sum.entry(key).or_default().add(part.ns, part.ops, part.stack);
            }
        }
        sum
    }
}

/// What a record says of a group of calls `op`, and the picture's numbers.
pub(crate) fn operation(
    op: Op,
    key: &GroupKey,
    group: &Group,
    quantile: f64,
    namer: &mut Namer<'_>,
) -> (Operation, Spectrum) {
    let matrix = Matrix::new(group, namer);
    let sum_ns = matrix.rows.iter().map(|row| row.ns).sum();
    let bins = matrix.rows.iter().map(|row| (row.bucket, row.ops));
    let latency = Histogram::from_bins(bins, sum_ns, group.min_ns, group.max_ns);
    let all = matrix.causes_from(0);
    let mut histograms = parts(group, namer);
    let (causes, causes_omitted) = cause_parts(&all, namer);
    let causes = causes
        .into_iter()
        .map(|cause| {
            let CauseKeys { cause: which, via } = cause.keys;
            let bins = histograms.remove(&Explained { cause: which, via }).unwrap_or_default();
            OperationCause { cause, part: Histogram::from_part_bins(bins) }
        })
        .collect();
    let operation = Operation {
        op: OpName(op),
        device: namer.mounts.device(key.dev),
        filesystem: filesystem(key, namer.mounts),
        bytes: group.bytes,
        latency,
        stopped_ns: group.stopped_ns,
        failed_count: group.failed.iter().sum(),
        failures: failures(&group.failed),
        layers: layers(&all),
        causes,
        causes_omitted,
        tail: tail(&matrix, quantile, namer),
    };
    let spectrum = Spectrum { bins: matrix.rows.iter().map(spectrum_bin).collect() };
    (operation, spectrum)
}

fn failures(failed: &[u64; Failure::ALL.len()]) -> Vec<FailedCalls> {
    let classes = Failure::ALL.iter().zip(failed).filter(|&(_, &count)| count != 0);
    classes
        .map(|(&failure, &operation_count)| FailedCalls { failure: FailureName(failure), operation_count })
        .collect()
}

fn spectrum_bin(row: &Row) -> SpectrumBin {
    SpectrumBin {
        low_ns: hist::lowest(row.bucket),
        high_ns: hist::highest(row.bucket),
        ops: row.ops,
        ns_by_layer: ns_by_layer(&row.causes),
    }
}

/// The slowest operations: whole buckets from the top, until the share that `quantile` leaves is in.
fn tail(matrix: &Matrix, quantile: f64, namer: &mut Namer<'_>) -> Tail {
    let count: u64 = matrix.rows.iter().map(|row| row.ops).sum();
    let wanted = ((count as f64 * (1.0 - quantile)).round() as u64).max(1);
    let (mut ops, mut ns, mut from) = (0, 0, 0);
    for row in matrix.rows.iter().rev() {
        if ops >= wanted {
            break;
        }
        ops += row.ops;
        ns += row.ns;
        from = row.bucket;
    }
    let all = matrix.causes_from(from);
    let (causes, causes_omitted) = cause_parts(&all, namer);
    Tail {
        quantile: share(count - ops, count),
        threshold_ns: hist::lowest(from),
        operation_count: ops,
        mean_ns: ns.checked_div(ops).unwrap_or(0),
        layers: layers(&all),
        causes,
        causes_omitted,
    }
}

fn ns_by_layer(causes: &HashMap<Explained, Part>) -> [u64; LAYERS] {
    Layer::ALL.map(|layer| {
        causes.iter().filter(|(key, _)| key.cause.layer() == layer).map(|(_, part)| part.ns).sum()
    })
}

/// The split by layer.
pub(super) fn layers(causes: &HashMap<Explained, Part>) -> Layers {
    Layers::from_ns(ns_by_layer(causes))
}

/// Causes in a list at most.
const CAUSES: usize = 30;

/// The split by cause, largest first, without causes that took no time; and what it lacks.
pub(super) fn cause_parts(
    causes: &HashMap<Explained, Part>,
    namer: &mut Namer<'_>,
) -> (Vec<CausePart>, Omitted) {
    let total = causes.values().map(|part| part.ns).sum();
    let mut parts: Vec<CausePart> = causes
        .iter()
        .filter(|(_, part)| part.ns != 0)
        .map(|(key, part)| CausePart {
            keys: CauseKeys { cause: key.cause, via: key.via },
            ns: part.ns,
            share: share(part.ns, total),
            operation_count: part.ops,
            stack: namer.functions(part.stack),
        })
        .collect();
    parts.sort_by_key(|part| (std::cmp::Reverse(part.ns), part.keys));
    let omitted = parts.iter().skip(CAUSES);
    let omitted =
        Omitted { count: omitted.clone().count() as u64, ns: Some(omitted.map(|part| part.ns).sum()) };
    parts.truncate(CAUSES);
    (parts, omitted)
}

/// The histograms of the causes' own parts. An operation without any cell is a part of running as long as itself.
fn parts(group: &Group, namer: &mut Namer<'_>) -> HashMap<Explained, Vec<PartBin>> {
    let mut histograms: HashMap<Explained, Vec<PartBin>> = HashMap::new();
    for (&(_, wait), cell) in &group.parts {
        let key = namer.explainer.explain(namer.stacks, wait);
        histograms.entry(key).or_default().push(PartBin { count: cell.count, sum_ns: cell.ns });
    }
    let mut split: HashMap<u32, (u64, u64)> = HashMap::new();
    for (&(bucket, wait), cell) in &group.cells {
        let (ops, ns) = split.entry(bucket).or_default();
        *ns += cell.ns;
        if wait.cause == Cause::Run as u8 {
            *ops += cell.count;
        }
    }
    for (&bucket, bin) in &group.bins {
        let (ops, ns) = split.get(&bucket).copied().unwrap_or_default();
        let count = bin.count.saturating_sub(ops);
        if count != 0 {
            let sum_ns = bin.ns.saturating_sub(ns);
            histograms.entry(RUN).or_default().push(PartBin { count, sum_ns });
        }
    }
    histograms
}

/// The name of a file system: as mounted, else by its magic.
pub(super) fn filesystem(key: &GroupKey, mounts: &mut Mounts) -> String {
    if key.magic == 0 {
        return "bdev".to_owned();
    }
    mounts.filesystem(key.dev).unwrap_or_else(|| by_magic(key.magic))
}

/// include/uapi/linux/magic.h, 6.18; for file systems that no mount here shows.
fn by_magic(magic: u64) -> String {
    let name = match magic {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x794c_7630 => "overlay",
        0x0102_1994 => "tmpfs",
        0xf2f5_2010 => "f2fs",
        0x6573_5546 => "fuse",
        0x6969 => "nfs",
        _ => return format!("{magic:#x}"),
    };
    name.to_owned()
}
