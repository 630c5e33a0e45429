//! `osdiag runq`: who waits for a CPU, how long, and who had it meanwhile.

mod advice;
mod args;
mod attach;
mod clock;
mod collect;
mod group;
mod kin;
mod model;
mod naming;
mod policy;
mod reason;
mod record;
mod render;
mod rivalry;
#[cfg(test)]
mod sample;
mod starved;
mod verdict;
mod waiting;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use diag_common::runq::TaskState;

pub(crate) use self::{args::Args, record::Runq as Body};
use self::{
    args::Sort,
    collect::Collector,
    group::Harvest,
    model::{Facts, Groups, Measured, Wanted},
    reason::Policies,
    rivalry::Cgroups,
    verdict::Found,
    waiting::Waiting,
};
use crate::{
    cli::SessionArgs,
    ebpf::{
        object::{Kernel, Object, Settings},
        states::States,
    },
    kernel::procfs::Reader,
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
    session::run::<Runq>(args)
}

/// The tool while it works.
struct Runq {
    wanted: Wanted,
    slow: Duration,
    /// Whether the kernel keeps a clock of steal.
    steal: bool,
    waiting: Option<(Vec<Waiting>, Omitted)>,
    collector: Collector,
    states: States<TaskState>,
    reader: Reader,
    /// When tracing ended, ns of the kernel side's clock.
    ended: u64,
}

/// A record with what is known of its groups besides.
type Report = session::Report<Runq>;

impl Tool for Runq {
    type Args = Args;
    type Harvest = Harvest;
    type Body = Body;
    /// One for each of the record's groups, in the same order.
    type Picture = Vec<Facts>;

    const NAME: &'static str = "runq";
    const SUBJECT: &'static str = "run-queue delay";
    const KERNEL_SIDE: KernelSide = attach::KERNEL_SIDE;
    const CONTROLLER: Option<&'static str> = Some("cpu");

    fn session_args(args: &Args) -> &SessionArgs {
        &args.session
    }

    fn by(args: &Args) -> Option<&'static str> {
        Some(args.by.word())
    }

    fn thresholds(args: &Args) -> Vec<Threshold> {
        vec![Threshold::time(ThresholdName::Slow, args.slow)]
    }

    fn settings(args: &Args, _kernel: &Kernel) -> Result<Settings> {
        attach::settings(args)
    }

    fn open(args: &Args, _target: &Target, object: &mut Object) -> Result<Runq> {
        Ok(Runq {
            wanted: Wanted { top: args.top as usize, sort: args.sort },
            slow: args.slow,
            steal: object.has("RQ_STEAL"),
            waiting: None,
            collector: Collector::new(&mut object.ebpf, args.by)?,
            states: States::of(&mut object.ebpf)?,
            reader: Reader::default(),
            ended: 0,
        })
    }

    fn poll(&mut self) {
        if let Err(error) = self.collector.read_when_crowded() {
            streams::note(format_args!("osdiag: {error:#}"));
        }
    }

    fn turn(&mut self) -> Result<u64> {
        self.ended = self.collector.turn()?;
        Ok(self.ended)
    }

    fn ending(&mut self, members: &Members<'_>, cgroups: Option<&mut CgroupNames>) {
        let (mut waiting, omitted) = waiting::waiting(members, &self.states, &mut self.reader, self.ended);
        if let Some(names) = cgroups {
            names.locate(waiting.iter_mut().map(|one| &mut one.task));
        }
        self.waiting = Some((waiting, omitted));
    }

    fn harvest(&mut self) -> Result<Harvest> {
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
    ) -> (Body, Vec<Facts>) {
        let measured = Measured::of(harvest, self.steal);
        let mut policies = Policies::default();
        let mut groups = model::groups(harvest, self.wanted, measured, &mut cgroups);
        for (group, facts) in groups.listed.iter_mut().zip(&groups.facts) {
            group.reason = reason::of(group, facts, &mut policies);
        }
        let cpu_times = model::cpu_times(harvest, measured);
        let (waiting, waiting_omitted) = match kind {
            Kind::Summary => self.waiting.take().unzip(),
            _ => (None, None),
        };
        let worst = Wanted { top: CANDIDATES, sort: Sort::Time };
        let candidates = match self.wanted {
            Wanted { sort: Sort::Time, top } if top >= CANDIDATES => None,
            _ => Some(model::groups(harvest, worst, measured, &mut cgroups)),
        };
        let Groups { listed, facts, .. } = candidates.as_ref().unwrap_or(&groups);
        let found = Found {
            groups: listed,
            facts,
            cpu_times: &cpu_times,
            waiting: waiting.as_deref().unwrap_or_default(),
            cgroups: cgroups.as_ref().map(|names| Cgroups::of(names.hierarchy())),
            slow: self.slow,
        };
        let verdict = verdict::verdict(found, &mut policies);
        let body = Body {
            groups: groups.listed,
            groups_omitted: groups.omitted,
            steal_ns: cpu_times.iter().map(|cpu| cpu.steal_ns).sum(),
            cpu_times,
            waiting,
            waiting_omitted,
            verdict,
        };
        (body, groups.facts)
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
        render::verdict(page, report);
    }
}

/// Groups of which one can be the verdict's: those that waited longest, whatever `--sort` and `--top` say.
const CANDIDATES: usize = 50;
