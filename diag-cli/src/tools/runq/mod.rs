//! `osdiag runq`: who waits for a CPU, how long, and who had it meanwhile.

mod advice;
mod args;
mod attach;
mod collect;
mod group;
mod kin;
mod model;
mod policy;
mod record;
mod render;
#[cfg(test)]
mod sample;
mod steal;
mod verdict;
mod waiting;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use diag_common::runq::TaskState;

pub(crate) use self::{args::Args, record::Runq as Body};
use self::{args::By, collect::Collector, group::Harvest, model::Spectrum, verdict::Found};
use crate::{
    cli::SessionArgs,
    ebpf::{
        clock,
        object::{Kernel, Object, Settings},
        states::States,
    },
    kernel::procfs::Reader,
    output::{
        page::Page,
        record::{Kind, Unavailable},
        streams,
    },
    session::{self, KernelSide, Tool},
    target::{CgroupNames, Target},
};

/// How often the maps are read, lest they overflow.
const READ_EVERY: Duration = Duration::from_secs(10);

/// Traces, and reports.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    session::run::<Runq>(args)
}

/// The tool while it works.
struct Runq {
    by: By,
    top: usize,
    slow: Duration,
    target: Target,
    collector: Collector,
    states: States<TaskState>,
    reader: Reader,
    read: Instant,
    /// When tracing ended, ns of the kernel side's clock.
    ended: u64,
}

/// A record with the spectra of its groups.
type Report = session::Report<Runq>;

impl Tool for Runq {
    type Args = Args;
    type Harvest = Harvest;
    type Body = Body;
    /// One for each of the record's groups, in the same order.
    type Picture = Vec<Spectrum>;

    const NAME: &'static str = "runq";
    const SUBJECT: &'static str = "run-queue delay";
    const KERNEL_SIDE: KernelSide = attach::KERNEL_SIDE;

    fn session_args(args: &Args) -> &SessionArgs {
        &args.session
    }

    fn settings(args: &Args, _kernel: &Kernel) -> Result<Settings> {
        attach::settings(args)
    }

    fn open(args: &Args, target: &Target, object: &mut Object) -> Result<Runq> {
        Ok(Runq {
            by: args.by,
            top: args.top as usize,
            slow: args.slow,
            target: target.clone(),
            collector: Collector::new(&mut object.ebpf, args.by)?,
            states: States::of(&mut object.ebpf)?,
            reader: Reader::default(),
            read: Instant::now(),
            ended: 0,
        })
    }

    fn poll(&mut self) {
        if self.read.elapsed() >= READ_EVERY {
            self.read = Instant::now();
            if let Err(error) = self.collector.read_early() {
                streams::note(format_args!("osdiag: {error:#}"));
            }
        }
    }

    fn ending(&mut self) {
        self.ended = clock::now();
        self.collector.end(self.ended);
    }

    fn harvest(&mut self) -> Result<Harvest> {
        self.read = Instant::now();
        self.collector.harvest()
    }

    fn add(&self, total: &mut Harvest, interval: &Harvest) {
        total.add(interval);
    }

    fn tell(
        &mut self,
        kind: Kind,
        _lasted: Duration,
        harvest: &Harvest,
        mut cgroups: Option<&mut CgroupNames>,
    ) -> (Body, Vec<Spectrum>) {
        let groups = model::groups(harvest, self.top, &mut cgroups);
        let cpus = model::cpus(harvest);
        let verdict = verdict::verdict(Found {
            by: self.by,
            groups: &groups.listed,
            spectra: &groups.spectra,
            cpus: &cpus,
            slow: self.slow,
        });
        let steal_ns = cpus.iter().map(|cpu| cpu.steal_ns).sum();
        let waiting = match kind {
            Kind::Summary => waiting::waiting(&self.target, &self.states, &mut self.reader, self.ended),
            _ => Vec::new(),
        };
        let body =
            Body { by: self.by, groups: groups.listed, rest: groups.rest, cpus, steal_ns, waiting, verdict };
        (body, groups.spectra)
    }

    fn found_unavailable(&self) -> Vec<Unavailable> {
        let unread = self.reader.unavailable("of some waiting tasks the CPU is not known");
        self.collector.unsettled().into_iter().chain(unread).collect()
    }

    fn draw_interval(&self, page: &mut Page, report: &Report) {
        render::interval(page, report);
    }

    fn draw_summary(&self, page: &mut Page, report: &Report) {
        render::summary(page, self.slow, report);
    }

    fn draw_verdict(&self, page: &mut Page, report: &Report) {
        render::verdict(page, self.slow, report);
    }
}
