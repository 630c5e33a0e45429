//! `osdiag lock`: which kernel locks are waited for, by whom, held by whom.

mod advice;
mod args;
mod attach;
mod causes;
mod collect;
mod model;
mod namer;
mod names;
mod pending;
mod record;
mod render;
#[cfg(test)]
mod sample;
mod verdict;

use std::{collections::HashSet, process::ExitCode, time::Duration};

use anyhow::Result;
use diag_common::lock::TaskState;

pub(crate) use self::{args::Args, record::Locks as Body};
use self::{
    args::Sort,
    collect::{Collector, Harvest},
    namer::{Namer, Places},
    record::PendingWait,
    render::Options,
};
use crate::{
    cli::SessionArgs,
    ebpf::{
        object::{Kernel, Object, Settings},
        stacks::Stacks,
        states::States,
        who::People,
    },
    kernel::{access::KERNEL_STACKS, procfs::Reader, symbols::Symbols},
    output::{
        page::Page,
        record::{
            Kind, Unavailable,
            parties::Omitted,
            settings::{Threshold, ThresholdName},
        },
    },
    session::{self, KernelSide, Tool},
    target::{CgroupNames, Members, Target},
};

/// Traces, and reports.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    session::run::<Locks>(args)
}

/// The tool while it works.
struct Locks {
    top: usize,
    sort: Sort,
    options: Options,
    collector: Collector,
    naming: Naming,
    pending: Option<(Vec<PendingWait>, Omitted)>,
    states: States<TaskState>,
    reader: Reader,
}

/// What locks and tasks are named by.
struct Naming {
    stacks: Stacks,
    people: People,
    variables: Option<Option<Symbols>>,
    places: Places,
}

impl Naming {
    fn namer<'a>(
        &'a mut self,
        run_queues: &'a HashSet<u64>,
        cgroups: Option<&'a mut CgroupNames>,
    ) -> Namer<'a> {
        let Naming { stacks, people, variables, places } = self;
        Namer { stacks, people, variables, run_queues, places, cgroups }
    }
}

/// A record, with the spectra of its locks.
type Report = session::Report<Locks>;

/// How the waits for a lock are spread: the smallest and the largest of a bucket, ns, how many there are, and their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bin {
    low_ns: u64,
    high_ns: u64,
    waits: u64,
    ns: u64,
}

impl Tool for Locks {
    type Args = Args;
    type Harvest = Harvest;
    type Body = Body;
    /// The waits of each of the record's locks by length, in the same order.
    type Picture = Vec<Vec<Bin>>;

    const NAME: &'static str = "lock";
    const SUBJECT: &'static str = "waits for kernel locks";
    const KERNEL_SIDE: KernelSide = attach::KERNEL_SIDE;

    fn session_args(args: &Args) -> &SessionArgs {
        &args.session
    }

    fn thresholds(args: &Args) -> Vec<Threshold> {
        vec![Threshold::time(ThresholdName::Slow, args.slow)]
    }

    fn settings(args: &Args, kernel: &Kernel) -> Result<Settings> {
        Ok(attach::settings(args, kernel))
    }

    fn open(args: &Args, _target: &Target, object: &mut Object) -> Result<Locks> {
        Ok(Locks {
            top: args.top_in_record() as usize,
            sort: args.sort,
            options: Options { slow: args.slow, top: args.top_on_screen() as usize },
            collector: Collector::new(&mut object.ebpf)?,
            naming: Naming {
                stacks: Stacks::of_callers(&mut object.ebpf, attach::KERNEL_SIDE.probes)?,
                people: People::of(&mut object.ebpf)?,
                variables: None,
                places: Places::of(&object.fields),
            },
            pending: None,
            states: States::of(&mut object.ebpf)?,
            reader: Reader::default(),
        })
    }

    fn turn(&mut self) -> Result<u64> {
        self.collector.turn()
    }

    fn ending(&mut self, members: &Members<'_>, cgroups: Option<&mut CgroupNames>) {
        let run_queues = self.collector.run_queues();
        let mut namer = self.naming.namer(&run_queues, cgroups);
        let (mut pending, omitted) = pending::pending(members, &self.states, &mut namer, &mut self.reader);
        if let Some(names) = &mut namer.cgroups {
            names.locate(pending.iter_mut().map(|wait| &mut wait.task));
        }
        self.pending = Some((pending, omitted));
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
        cgroups: Option<&mut CgroupNames>,
    ) -> (Body, Vec<Vec<Bin>>) {
        let run_queues = self.collector.run_queues();
        let mut namer = self.naming.namer(&run_queues, cgroups);
        let found = model::locks(harvest, self.top, self.sort, &mut namer);
        let (locks, picture): (Vec<_>, Vec<_>) = found.locks.into_iter().unzip();
        let (pending, pending_omitted) = match kind {
            Kind::Summary => self.pending.take().unzip(),
            _ => (None, None),
        };
        let stuck = pending.as_ref().map_or(0, Vec::len);
        let verdict = verdict::verdict(&locks, lasted, self.options.slow, stuck);
        (Body { locks, locks_omitted: found.omitted, pending, pending_omitted, verdict }, picture)
    }

    fn found_unavailable(&self) -> Vec<Unavailable> {
        let effect = "stacks have no names, and locks are known by their type and address alone";
        let unread = self.reader.unavailable("of some waits that have not ended the stack is missing");
        let restricted = KERNEL_STACKS.unavailable(
            "waits that have not ended have no stack, and no name where only that says which lock it is",
        );
        let found = self.naming.stacks.unavailable(effect).into_iter().chain(self.collector.unsettled());
        found.chain(unread).chain(restricted).collect()
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
