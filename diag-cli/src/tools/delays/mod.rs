//! `osdiag delays`: where the time of each container goes, running and waiting for what.

mod account;
mod advice;
mod args;
mod attach;
mod classify;
mod collect;
mod counted;
mod culprits;
mod disks;
mod folded;
mod harvest;
mod model;
mod naming;
mod place;
mod pressure;
mod record;
mod render;
#[cfg(test)]
mod sample;
mod split;
mod verdict;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;

pub(crate) use self::{args::Args, record::Delays as Body};
use self::{
    args::{By, Sort},
    collect::Collector,
    folded::Folded,
    harvest::Harvest,
    model::{Groups, Wanted},
    naming::Naming,
    pressure::Pressures,
    verdict::{Found, LEAST_SHARE},
};
use crate::{
    cli::SessionArgs,
    ebpf::object::{Kernel, Object, Settings},
    output::{
        page::Page,
        record::{
            Kind, Unavailable,
            settings::{Threshold, ThresholdName},
        },
        streams,
    },
    session::{self, KernelSide, Tool},
    target::{CgroupNames, Target},
};

/// Traces, and reports.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    session::run::<Delays>(args)
}

/// The tool while it works.
struct Delays {
    by: By,
    wanted: Wanted,
    slow: Duration,
    collector: Collector,
    pressures: Pressures,
    folded: Option<Folded>,
}

/// A record; its picture needs nothing besides.
type Report = session::Report<Delays>;

impl Tool for Delays {
    type Args = Args;
    type Harvest = Harvest;
    type Body = Body;
    type Picture = ();

    const NAME: &'static str = "delays";
    const SUBJECT: &'static str = "the time of all threads";
    const KERNEL_SIDE: KernelSide = attach::KERNEL_SIDE;

    fn session_args(args: &Args) -> &SessionArgs {
        &args.session
    }

    fn by(args: &Args) -> Option<&'static str> {
        Some(args.by.word())
    }

    fn thresholds(args: &Args) -> Vec<Threshold> {
        vec![
            Threshold::per_second(ThresholdName::Loss, args.slow),
            Threshold::share(ThresholdName::LossShare, LEAST_SHARE),
        ]
    }

    fn settings(args: &Args, _kernel: &Kernel) -> Result<Settings> {
        attach::settings(args.by)
    }

    fn open(args: &Args, _target: &Target, object: &mut Object) -> Result<Delays> {
        Ok(Delays {
            by: args.by,
            wanted: Wanted { top: args.top as usize, sort: args.sort },
            slow: args.slow,
            collector: Collector::new(&mut object.ebpf, args.by)?,
            pressures: Pressures::new(args.by),
            folded: args.folded.as_deref().map(Folded::create).transpose()?,
        })
    }

    fn poll(&mut self) {
        if let Err(error) = self.collector.poll() {
            streams::note(format_args!("osdiag: {error:#}"));
        }
    }

    fn take_stock(&mut self, object: &mut Object) -> Result<()> {
        self.collector.take_stock(object)
    }

    fn turn(&mut self) -> Result<u64> {
        self.collector.turn()
    }

    fn turned(&mut self, cgroups: Option<&mut CgroupNames>) {
        self.pressures.turned(cgroups);
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
        lasted: Duration,
        harvest: &Harvest,
        mut cgroups: Option<&mut CgroupNames>,
    ) -> (Body, ()) {
        let mut naming = Naming::new(self.by, &mut cgroups);
        let Groups { mut listed, omitted } = model::groups(harvest, self.wanted, &mut naming);
        let worst = Wanted { top: CANDIDATES, sort: Sort::Lost };
        let candidates = match self.wanted {
            Wanted { sort: Sort::Lost, top } if top >= CANDIDATES => None,
            _ => Some(model::groups(harvest, worst, &mut naming).listed),
        };
        if let Some(folded) = self.folded.as_mut().filter(|_| kind == Kind::Summary) {
            folded.write(harvest, &mut naming);
        }
        let verdict = verdict::verdict(Found {
            groups: candidates.as_ref().unwrap_or(&listed),
            lasted,
            slow: self.slow,
            divisible: matches!(self.by, By::Container | By::Cgroup),
        });
        if let Some(names) = cgroups.as_deref() {
            for group in &mut listed {
                group.pressure = self.pressures.of(&group.group, kind, names);
            }
        }
        (Body { groups: listed, groups_omitted: omitted, verdict }, ())
    }

    fn found_unavailable(&self) -> Vec<Unavailable> {
        let unwritten = self.folded.as_ref().and_then(Folded::unavailable);
        self.collector.unavailable().chain(unwritten).collect()
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

/// Groups of which one can be the verdict's: those that lost most, whatever `--sort` and `--top` say.
const CANDIDATES: usize = 50;
