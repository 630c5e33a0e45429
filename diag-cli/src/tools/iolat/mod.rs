//! `osdiag iolat`: why file I/O is slow.

mod advice;
mod args;
mod attach;
mod collect;
mod explain;
mod limits;
mod model;
mod pending;
mod record;
mod render;
#[cfg(test)]
mod sample;
mod slowest;
mod verdict;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use diag_common::iolat::Op;

pub(crate) use self::{args::Args, record::Iolat as Body};
use self::{
    args::Sort,
    collect::{Collector, Group, Harvest},
    explain::Explainer,
    model::Namer,
    pending::PendingOperation,
    record::{Operation, Spectrum},
    render::Options,
};
use crate::{
    cli::SessionArgs,
    ebpf::{
        object::{Kernel, Object, Settings},
        stacks::Stacks,
    },
    kernel::{
        access::{KERNEL_STACKS, SYSTEM_CALLS},
        mounts::Mounts,
        procfs::Reader,
    },
    output::{
        page::Page,
        record::{
            Kind, Unavailable,
            parties::Omitted,
            settings::{Threshold, ThresholdName},
        },
        streams,
    },
    session::{self, KernelSide, Tool},
    target::{CgroupNames, Members, Target},
};

/// Traces, and reports.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    session::run::<Iolat>(args)
}

/// The tool while it works.
struct Iolat {
    quantile: f64,
    wanted: usize,
    top: usize,
    sort: Sort,
    options: Options,
    pending: Option<(Vec<PendingOperation>, Omitted)>,
    collector: Collector,
    stacks: Stacks,
    explainer: Explainer,
    mounts: Mounts,
    reader: Reader,
}

/// A record with its spectra.
type Report = session::Report<Iolat>;

impl Tool for Iolat {
    type Args = Args;
    type Harvest = Harvest;
    type Body = Body;
    /// One for each of the record's operations, in the same order.
    type Picture = Vec<Spectrum>;

    const NAME: &'static str = "iolat";
    const SUBJECT: &'static str = "file I/O";
    const KERNEL_SIDE: KernelSide = attach::KERNEL_SIDE;

    fn session_args(args: &Args) -> &SessionArgs {
        &args.session
    }

    fn thresholds(args: &Args) -> Vec<Threshold> {
        vec![
            Threshold::time(ThresholdName::Slow, args.slow),
            Threshold::share(ThresholdName::Tail, args.tail / 100.0),
        ]
    }

    fn settings(_args: &Args, _kernel: &Kernel) -> Result<Settings> {
        attach::settings()
    }

    fn open(args: &Args, _target: &Target, object: &mut Object) -> Result<Iolat> {
        attach::free_numbers(&mut object.ebpf)?;
        Ok(Iolat {
            quantile: args.quantile(),
            wanted: args.slowest_in_record() as usize,
            top: args.top as usize,
            sort: args.sort,
            options: Options { slow: args.slow, slowest: args.slowest_on_screen() as usize },
            pending: None,
            collector: Collector::new(&mut object.ebpf, args.slowest_in_record())?,
            stacks: Stacks::of(&mut object.ebpf)?,
            explainer: Explainer::default(),
            mounts: Mounts::default(),
            reader: Reader::default(),
        })
    }

    fn poll(&mut self) {
        self.collector.drain();
        self.collector.look_at_swaps();
        if let Err(error) = self.collector.read_when_crowded() {
            streams::note(format_args!("osdiag: {error:#}"));
        }
    }

    fn turn(&mut self) -> Result<u64> {
        self.collector.turn()
    }

    fn ending(&mut self, members: &Members<'_>, cgroups: Option<&mut CgroupNames>) {
        let (mut pending, omitted) = pending::pending(members, &mut self.reader);
        if let Some(names) = cgroups {
            names.locate(pending.iter_mut().map(|operation| &mut operation.task));
        }
        self.pending = Some((pending, omitted));
    }

    fn harvest(&mut self) -> Result<Harvest> {
        self.collector.harvest()
    }

    fn add(&self, total: &mut Harvest, interval: &Harvest) {
        total.add(interval, self.wanted);
    }

    fn tell(
        &mut self,
        kind: Kind,
        _lasted: Duration,
        harvest: &Harvest,
        cgroups: Option<&mut CgroupNames>,
    ) -> (Body, Vec<Spectrum>) {
        // What is mounted where may have changed since the last record.
        self.mounts = Mounts::default();
        let limits =
            if harvest.groups.values().any(Group::was_held_back) { limits::all() } else { Vec::new() };
        self.explainer.limited |= !limits.is_empty();
        let mut namer =
            Namer { stacks: &mut self.stacks, explainer: &mut self.explainer, mounts: &mut self.mounts };
        let mut operations: Vec<_> = harvest
            .groups
            .iter()
            .filter_map(|(key, group)| {
                let op = u8::try_from(key.op).ok().and_then(Op::from_number)?;
                Some(model::operation(op, key, group, self.quantile, &mut namer))
            })
            .collect();
        operations.sort_by_key(|(operation, _)| {
            (std::cmp::Reverse(weight(operation, self.sort)), operation.device.clone(), operation.op.0)
        });
        let slowest = slowest::slowest(&harvest.events, self.wanted, &mut namer, cgroups);
        let (mut operations, mut spectra): (Vec<_>, Vec<_>) = operations.into_iter().unzip();
        let (pending, pending_omitted) = match kind {
            Kind::Summary if SYSTEM_CALLS.is_readable() => self.pending.take().unzip(),
            _ => (None, None),
        };
        let stuck = pending.as_ref().map_or(0, Vec::len);
        let mut verdict = verdict::verdict(&operations, self.options.slow, stuck);
        verdict::name_limit(&mut verdict, &operations, &limits, &slowest);
        let all = totals(&operations);
        let operations_omitted = totals(operations.get(self.top..).unwrap_or_default());
        operations.truncate(self.top);
        spectra.truncate(self.top);
        let listed_ns: u64 = slowest.iter().map(|slow| slow.latency_ns).sum();
        let body = Body {
            operations_omitted: Omitted { count: operations_omitted.groups, ns: Some(operations_omitted.ns) },
            operations,
            slowest_omitted: Omitted {
                count: all.count.saturating_sub(slowest.len() as u64),
                ns: Some(all.ns.saturating_sub(listed_ns)),
            },
            slowest,
            pending,
            pending_omitted,
            verdict,
            counted: all.count,
        };
        (body, spectra)
    }

    fn found_unavailable(&self) -> Vec<Unavailable> {
        let effect = "stacks have no names, and waits that only a stack explains are other.wait";
        let unread = self.reader.unavailable("operations that have not returned may be missing from pending");
        let restricted = [
            SYSTEM_CALLS.unavailable("operations that have not returned are not seen: pending is null"),
            KERNEL_STACKS.unavailable("operations that have not returned have no cause and no stack"),
        ];
        let found = self.stacks.unavailable(effect).into_iter().chain(self.collector.unsettled());
        found.chain(unread).chain(restricted.into_iter().flatten()).collect()
    }

    fn draw_interval(&self, page: &mut Page, report: &Report) {
        render::interval(page, &self.options, report);
    }

    fn draw_summary(&self, page: &mut Page, report: &Report) {
        render::summary(page, &self.options, report);
    }

    fn draw_verdict(&self, page: &mut Page, report: &Report) {
        render::verdict(page, report);
    }
}

/// What an operation is sorted by.
fn weight(operation: &Operation, sort: Sort) -> u64 {
    match sort {
        Sort::Time => operation.latency.sum_ns,
        Sort::Tail => operation.tail.layers.total_ns(),
        Sort::Count => operation.latency.count,
        Sort::Bytes => operation.bytes,
    }
}

/// How much some entries of `operations` are.
struct Totals {
    /// Entries.
    groups: u64,
    /// Operations.
    count: u64,
    /// Their time, ns.
    ns: u64,
}

fn totals(operations: &[Operation]) -> Totals {
    Totals {
        groups: operations.len() as u64,
        count: operations.iter().map(|operation| operation.latency.count).sum(),
        ns: operations.iter().map(|operation| operation.latency.sum_ns).sum(),
    }
}
