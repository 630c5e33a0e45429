//! `osdiag delays`: where the time of each container goes, running and waiting for what.

mod account;
pub(crate) mod advice;
mod args;
mod attach;
mod classify;
mod collect;
mod counted;
pub(crate) mod culprits;
mod disks;
mod folded;
pub(crate) mod growth;
mod harvest;
mod losses;
mod model;
mod naming;
mod place;
mod pressure;
pub(crate) mod record;
mod render;
#[cfg(test)]
pub(crate) mod sample;
mod split;
mod verdict;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;

pub(crate) use self::{args::Args, harvest::Harvest, record::Delays as Body};
use self::{
    args::{By, Sort},
    collect::Collector,
    folded::Folded,
    growth::Growth,
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
            Kind, Record, Unavailable,
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

/// The tool while it works; also the sink of a tool that concludes from it.
pub(crate) struct Delays {
    by: By,
    wanted: Wanted,
    slow: Duration,
    collector: Collector,
    pressures: Pressures,
    growth: Growth,
    folded: Option<Folded>,
}

impl Delays {
    /// Globals and map sizes of a sink.
    pub(crate) fn settings_of_sink() -> Result<Settings> {
        attach::settings(By::Container)
    }

    /// What a sink accounts for, in the word of `--by`.
    pub(crate) const BY_OF_SINK: &str = "container";

    /// From where on its record has a verdict.
    pub(crate) fn thresholds_of_sink() -> Vec<Threshold> {
        thresholds(SLOW)
    }

    /// A sink: it accounts for containers, and leaves it to others what is slow.
    pub(crate) fn sink(object: &mut Object) -> Result<Delays> {
        Ok(Delays {
            by: By::Container,
            wanted: Wanted { top: LISTED, sort: Sort::Lost },
            slow: SLOW,
            collector: Collector::new(object, By::Container)?,
            pressures: Pressures::new(By::Container),
            growth: Growth::new(By::Container),
            folded: None,
        })
    }

    /// The whole session in a picture.
    pub(crate) fn draw(&self, page: &mut Page, record: &Record<Body>) {
        render::summary(page, self.slow, record);
    }
}

/// From where on lost time is worth a verdict.
fn thresholds(slow: Duration) -> Vec<Threshold> {
    vec![
        Threshold::per_second(ThresholdName::Loss, slow),
        Threshold::share(ThresholdName::LossShare, LEAST_SHARE),
    ]
}

/// Groups in a sink's record.
const LISTED: usize = 100;
/// Lost time in each second that is worth a verdict, where the command line does not say.
const SLOW: Duration = Duration::from_millis(10);

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
        thresholds(args.slow)
    }

    fn settings(args: &Args, _kernel: &Kernel) -> Result<Settings> {
        attach::settings(args.by)
    }

    fn open(args: &Args, _target: &Target, object: &mut Object) -> Result<Delays> {
        Ok(Delays {
            by: args.by,
            wanted: Wanted { top: args.top as usize, sort: args.sort },
            slow: args.slow,
            collector: Collector::new(object, args.by)?,
            pressures: Pressures::new(args.by),
            growth: Growth::new(args.by),
            folded: args.folded.as_deref().map(Folded::create).transpose()?,
        })
    }

    fn poll(&mut self) {
        if let Err(error) = self.collector.poll() {
            streams::note(format_args!("osdiag: {error:#}"));
        }
        self.growth.poll();
    }

    fn take_stock(&mut self, object: &mut Object) -> Result<()> {
        self.collector.take_stock(object)
    }

    fn turn(&mut self) -> Result<u64> {
        self.collector.turn()
    }

    fn turned(&mut self, mut cgroups: Option<&mut CgroupNames>) {
        self.growth.turned(cgroups.as_deref_mut());
        self.pressures.turned(cgroups);
    }

    fn harvest(&mut self) -> Result<Harvest> {
        let mut harvest = self.collector.harvest()?;
        harvest.taken = self.growth.take();
        Ok(harvest)
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
        self.collector.unavailable().chain(unwritten).chain(self.growth.unavailable()).collect()
    }

    fn kernel_bytes_besides(&self) -> u64 {
        self.collector.storage_bytes()
    }

    fn draw_interval(&self, page: &mut Page, report: &Report) {
        render::interval(page, report);
    }

    fn draw_summary(&self, page: &mut Page, report: &Report) {
        render::summary(page, self.slow, &report.record);
    }

    fn draw_verdict(&self, page: &mut Page, report: &Report) {
        render::verdict(page, &report.record);
    }
}

/// Groups of which one can be the verdict's: those that lost most, whatever `--sort` and `--top` say.
const CANDIDATES: usize = 50;
