//! What a tool has to say so that a session can be run for it.

use std::time::Duration;

use super::conclusion::{Conclusion, Untraced};
use crate::{
    cli::SessionArgs,
    ebpf::{
        clock,
        object::{Kernel, Object, Objects, Settings},
        probes::ProbeSpec,
    },
    output::{
        page::Page,
        record::{Body, Envelope, Kind, Record, Unavailable, settings::Threshold},
    },
    target::{CgroupNames, Members, Target},
};
use anyhow::Result;

/// A tool's kernel side, as data.
pub(crate) struct KernelSide {
    /// Its two objects.
    pub(crate) objects: Objects,
    /// What is attached, in this order.
    pub(crate) probes: &'static [ProbeSpec],
    /// Fields that the user side reads, beside those that the programs do, by their globals.
    pub(crate) fields_read: &'static [&'static str],
    /// Optional fields without which the answer is poorer.
    pub(crate) fields_missed: &'static [FieldMissed],
}

impl KernelSide {
    /// What of it records can name in `unavailable`.
    pub(crate) fn unavailable_names(&self) -> Vec<&'static str> {
        let probes = self.probes.iter().map(|probe| probe.name);
        probes.chain(self.fields_missed.iter().map(|field| field.name)).collect()
    }
}

/// An optional field without which the answer is poorer.
pub(crate) struct FieldMissed {
    /// What records call it in `unavailable`: part of the public interface.
    pub(crate) name: &'static str,
    /// Its global.
    pub(crate) global: &'static str,
    /// Why a kernel lacks it.
    pub(crate) why: &'static str,
    /// What the answer lacks then.
    pub(crate) effect: &'static str,
}

/// A record, and what only its picture needs.
pub(crate) struct Report<T: Tool> {
    /// The record.
    pub(crate) record: Record<T::Body>,
    /// The rest.
    pub(crate) picture: T::Picture,
}

/// A tool that traces for a while and then tells what it counted.
///
/// The session resolves the target, loads and attaches the kernel side, keeps the time, adds intervals up and writes
/// the records; the tool reads its own maps, and makes sense of them.
pub(crate) trait Tool: Sized {
    /// Its command line.
    type Args;
    /// What it counts in an interval; nothing by default.
    type Harvest: Default;
    /// What its records add to the common keys.
    type Body: Body;
    /// What only its picture needs.
    type Picture;

    /// Its name on the command line.
    const NAME: &'static str;
    /// What it traces, to follow "tracing".
    const SUBJECT: &'static str;
    /// Its kernel side.
    const KERNEL_SIDE: KernelSide;
    /// The cgroup controller in whose hierarchy it names cgroups; without one it is the hierarchy of the target.
    const CONTROLLER: Option<&'static str> = None;
    /// Whether standard output is for its conclusion alone: the course is told on standard error, and the summary is drawn
    /// with `-v`.
    const CONCLUDES: bool = false;

    /// The flags that all tools share.
    fn session_args(args: &Self::Args) -> &SessionArgs;

    /// What the result is broken down by, in the word of `--by`; none without such an option.
    fn by(_args: &Self::Args) -> Option<&'static str> {
        None
    }

    /// From where on something is slow, stuck, or worth a verdict.
    fn thresholds(args: &Self::Args) -> Vec<Threshold>;

    /// Globals and map sizes of its own.
    fn settings(args: &Self::Args, kernel: &Kernel) -> Result<Settings>;

    /// Takes its maps out of the object, of which nothing is attached yet.
    fn open(args: &Self::Args, target: &Target, object: &mut Object) -> Result<Self>;

    /// What is to be done every now and then.
    fn poll(&mut self) {}

    /// What only a pass over all tasks can tell: as it is now. Before the first [`Tool::turn`], and after each later one.
    fn take_stock(&mut self, _object: &mut Object) -> Result<()> {
        Ok(())
    }

    /// Ends a stretch of time, and returns when that was, ns on the kernel side's clock: what happens from then on belongs
    /// to the next one. Whoever counts in epochs begins the next one here.
    fn turn(&mut self) -> Result<u64> {
        Ok(clock::now())
    }

    /// A stretch has just ended, and the next one begun: what else has to be read at that moment is read now.
    fn turned(&mut self, _cgroups: Option<&mut CgroupNames>) {}

    /// The last stretch has ended, and the probes are about to be detached one by one: what the target's tasks are still in
    /// is looked at now, before a command is ended.
    fn ending(&mut self, _members: &Members<'_>, _cgroups: Option<&mut CgroupNames>) {}

    /// What has happened since the last call that cannot wait for the end of an interval: each is told at once, in a record
    /// of its own.
    fn events(
        &mut self,
        _object: &mut Object,
        _cgroups: Option<&mut CgroupNames>,
    ) -> Result<Vec<(Self::Body, Self::Picture)>> {
        Ok(Vec::new())
    }

    /// The same at the end of the session, before the probes are detached: what is known is as of now, however long ago
    /// something was looked at.
    fn last_events(
        &mut self,
        object: &mut Object,
        cgroups: Option<&mut CgroupNames>,
    ) -> Result<Vec<(Self::Body, Self::Picture)>> {
        self.events(object, cgroups)
    }

    /// Takes what was counted in the stretch that the last [`Tool::turn`] ended, and leaves nothing of it behind.
    fn harvest(&mut self) -> Result<Self::Harvest>;

    /// Adds an interval to those before it.
    fn add(&self, total: &mut Self::Harvest, interval: &Self::Harvest);

    /// What a record says of so much time. `cgroups` names cgroups, where the system has any.
    fn tell(
        &mut self,
        kind: Kind,
        lasted: Duration,
        harvest: &Self::Harvest,
        cgroups: Option<&mut CgroupNames>,
    ) -> (Self::Body, Self::Picture);

    /// What follows from the summary, which comes after it, in a record with this envelope.
    fn conclude(
        &mut self,
        _summary: &Report<Self>,
        _envelope: Envelope,
        _cgroups: Option<&mut CgroupNames>,
    ) -> Option<Box<dyn Conclusion>> {
        None
    }

    /// What it can still say where the kernel cannot be traced: begins to read files now, and concludes when the session's
    /// time is over. By default nothing, and the session fails.
    fn untraced(_args: &Self::Args) -> Option<Untraced> {
        None
    }

    /// What turned out not to be available only while it worked.
    fn found_unavailable(&self) -> Vec<Unavailable> {
        Vec::new()
    }

    /// Memory of the kernel that it takes beside its maps and programs, bytes.
    fn kernel_bytes_besides(&self) -> u64 {
        0
    }

    /// One event in a few lines.
    fn draw_event(&self, _page: &mut Page, _report: &Report<Self>) {}

    /// One interval in a few lines.
    fn draw_interval(&self, page: &mut Page, report: &Report<Self>);

    /// The whole session, up to what is said of every session (see [`crate::output::closing`]).
    fn draw_summary(&self, page: &mut Page, report: &Report<Self>);

    /// The answer in a sentence, and what to look at next: what stands above the prompt in the end.
    fn draw_verdict(&self, page: &mut Page, report: &Report<Self>);
}
