//! From a session's course to records and pictures.

mod say;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use diag_common::loss::Loss;
use uuid::Uuid;

use super::{
    conclusion,
    tool::{Report, Tool},
};
use crate::{
    cli::SessionArgs,
    ebpf::{
        cgroups::CgroupsMade,
        clock,
        cost::{KernelCost, Sampler, kernel_bytes},
        log::KernelLog,
        losses::Losses,
        object::Object,
        preemption::Preemption,
        probes::Attached,
        scope::Followed,
    },
    output::{
        closing, consistency,
        cost::{SelfCost, cpu_ns, rss_bytes},
        host::Host,
        record::{Envelope, Kind, Lost, Record, Settings, Target, target::Ended},
        streams,
        terminal::Screen,
        time::Timestamp,
        writer::Writer,
    },
    target::{self, CgroupNames, Members},
};

/// What a session is about, once its probes are attached.
pub(crate) struct Scene<'a> {
    pub(crate) args: &'a SessionArgs,
    pub(crate) settings: Settings,
    pub(crate) target: Target,
    /// The target as it was resolved.
    pub(crate) selected: &'a target::Target,
    pub(crate) followed: Followed,
    pub(crate) attached: Attached,
    pub(crate) preemption: Preemption,
    pub(crate) cgroups: Option<CgroupNames>,
}

/// Collects, and reports what was collected.
pub(crate) struct Reporter<'a, T: Tool> {
    scene: Scene<'a>,
    tool: T,
    object: Object,
    log: Option<KernelLog>,
    host: Host,
    /// The run's name in records, and how many of them there are.
    id: Uuid,
    sequence: u64,
    losses: Losses,
    cgroups_made: CgroupsMade,
    sampler: Sampler,
    out: Writer,
    session: Stretch,
    interval: Stretch,
    /// When the session ended, once it has.
    end: Option<u64>,
    /// An interval that waits for room in the output.
    is_due: bool,
    total: T::Harvest,
    lost: Lost,
    /// Runs that the kernel has left out so far.
    missed: u64,
    /// How many of them are reported.
    missed_reported: u64,
}

/// A stretch of the session, and what the tool had used at its beginning.
#[derive(Clone, Copy)]
struct Stretch {
    /// When it began, by the wall clock.
    wall: Timestamp,
    /// The same moment on the kernel side's clock, ns.
    began: u64,
    cpu_ns: u64,
    /// What the kernel side had cost; none where that is not known.
    kernel: Option<KernelCost>,
}

impl Stretch {
    /// One that began at a moment on the kernel side's clock, just now.
    fn at(began: u64, kernel: Option<KernelCost>) -> Stretch {
        let ago = Duration::from_nanos(clock::now().saturating_sub(began));
        Stretch { wall: Timestamp::now() - ago, began, cpu_ns: cpu_ns(), kernel }
    }
}

impl<'a, T: Tool> Reporter<'a, T> {
    /// For an object whose probes are attached.
    pub(crate) fn new(
        scene: Scene<'a>,
        tool: T,
        mut object: Object,
        log: Option<KernelLog>,
    ) -> Result<Reporter<'a, T>> {
        Ok(Reporter {
            losses: Losses::of(&mut object.ebpf)?,
            cgroups_made: CgroupsMade::of(&mut object.ebpf)?,
            scene,
            tool,
            object,
            log,
            host: Host::read(),
            id: Uuid::now_v7(),
            sequence: 0,
            sampler: Sampler::default(),
            out: streams::writer()?,
            session: Stretch::at(clock::now(), None),
            interval: Stretch::at(clock::now(), None),
            end: None,
            is_due: false,
            total: T::Harvest::default(),
            lost: Lost::default(),
            missed: 0,
            missed_reported: 0,
        })
    }

    /// Begins to count, and to count time; returns when that was.
    pub(crate) fn begin(&mut self) -> Result<u64> {
        self.sampler.begin(&self.object.ebpf);
        self.tool.take_stock(&mut self.object)?;
        let began = self.turn()?;
        self.session = Stretch::at(began, self.sampler.sum(&self.object.ebpf));
        self.interval = self.session;
        Ok(began)
    }

    /// Ends a stretch, and begins the next one.
    fn turn(&mut self) -> Result<u64> {
        let turned = self.tool.turn()?;
        self.tool.turned(self.scene.cgroups.as_mut());
        Ok(turned)
    }

    /// Takes down the names of the cgroups that there are. On a machine with thousands of them that takes a while, so it comes once the
    /// session has begun: what is made meanwhile is told by the kernel side.
    pub(crate) fn take_down_cgroups(&mut self) {
        if let Some(names) = &mut self.scene.cgroups {
            names.take_down();
        }
    }

    /// Takes down the names of cgroups that were made since the last call.
    fn learn_cgroups(&mut self) {
        if let Some(names) = &mut self.scene.cgroups {
            self.cgroups_made.each(|hierarchy, id, path| names.learn(hierarchy, id, path));
            names.name_containers();
        }
    }

    /// Forgets what was counted before it began, while probes were being attached.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.tool.harvest()?;
        self.losses.since_last()?;
        self.missed = self.object.missed_runs();
        self.missed_reported = self.missed;
        Ok(())
    }

    /// Where records and pictures go.
    pub(crate) fn output(&self) -> &Writer {
        &self.out
    }

    /// Says what is traced.
    pub(crate) fn open(&self) -> Result<()> {
        self.say_what_is_attached();
        let Scene { args, target, attached, .. } = &self.scene;
        let is_noted = args.json || T::CONCLUDES;
        let screen = if is_noted { Screen::plain() } else { Screen::of_stdout() };
        let opening = closing::opening(screen, T::NAME, T::SUBJECT, target, args.duration, attached);
        if is_noted {
            opening.lines().for_each(streams::note);
        } else {
            streams::notes_first();
            self.out.push(opening.into_bytes())?;
        }
        Ok(())
    }

    /// What is to be done every now and then.
    pub(crate) fn poll(&mut self) -> Result<()> {
        self.learn_cgroups();
        self.tool.poll();
        if self.out.has_room() {
            let events = self.tool.events(&mut self.object, self.scene.cgroups.as_mut())?;
            self.tell_events(events)?;
            if std::mem::take(&mut self.is_due) {
                self.report()?;
            }
        }
        self.sampler.turn(&self.object.ebpf);
        if let Some(log) = &mut self.log {
            log.print();
        }
        Ok(())
    }

    /// Tells of what happened. Such a record covers the session up to now, and counts as lost what was lost up to the end
    /// of the last interval.
    fn tell_events(&mut self, events: Vec<(T::Body, T::Picture)>) -> Result<()> {
        for (body, picture) in events {
            let now = self.end.unwrap_or_else(clock::now);
            let lasted = Duration::from_nanos(now - self.session.began);
            let kernel = self.sampler.sum(&self.object.ebpf);
            let envelope = self.envelope(Kind::Event, &self.session, lasted, kernel, &self.lost);
            self.report_record(envelope, body, picture)?;
        }
        Ok(())
    }

    /// Ends an interval and reports it. If the reader does not keep up, the interval goes on until there is room for it.
    pub(crate) fn interval(&mut self) -> Result<()> {
        if self.out.has_room() {
            return self.report();
        }
        if !std::mem::replace(&mut self.is_due, true) {
            streams::note(
                "osdiag: the reader of standard output does not keep up: this interval gets longer",
            );
        }
        Ok(())
    }

    fn report(&mut self) -> Result<()> {
        let turned = self.turn()?;
        self.tool.take_stock(&mut self.object)?;
        self.missed = self.object.missed_runs().max(self.missed);
        self.tell_interval(turned)
    }

    /// Ends the session: takes the time, and detaches.
    pub(crate) fn end(&mut self, ended: Option<Ended>) -> Result<()> {
        self.scene.target.ended = ended;
        self.end = Some(self.turn()?);
        self.tool.take_stock(&mut self.object)?;
        self.learn_cgroups();
        let events = self.tool.last_events(&mut self.object, self.scene.cgroups.as_mut())?;
        self.tell_events(events)?;
        self.sampler.end(&self.object.ebpf);
        self.missed = self.object.missed_runs().max(self.missed);
        let members = Members::new(self.scene.selected, self.scene.followed.pids());
        self.tool.ending(&members, self.scene.cgroups.as_mut());
        self.object.detach();
        if let Some(ended) = ended {
            self.say_how_the_target_ended(ended);
        }
        Ok(())
    }

    /// Reports what came last and the whole session, and what follows from it, and waits until all is written; not for ever,
    /// if it is `hurried`. Returns the status that the tool wants to end with, if any.
    pub(crate) fn finish(mut self, hurried: impl Fn() -> bool) -> Result<Option<ExitCode>> {
        let end = self.end.unwrap_or_else(clock::now);
        if self.scene.args.interval.is_some() {
            // The last interval is a shorter one, so that the intervals add up to the summary.
            self.tell_interval(end)?;
        } else {
            self.harvest()?;
        }
        let total = std::mem::take(&mut self.total);
        let session = self.session;
        let lost = std::mem::take(&mut self.lost);
        let kernel = self.sampler.sum(&self.object.ebpf);
        let summary = self.tell(Kind::Summary, &session, end, kernel, &total, &lost)?;
        let envelope = Envelope { sequence: self.sequence, ..summary.record.envelope.clone() };
        let conclusion = self.tool.conclude(&summary, envelope, self.scene.cgroups.as_mut());
        if let Some(conclusion) = &conclusion {
            conclusion::print(conclusion.as_ref(), self.scene.args, &self.out)?;
        }
        self.out.finish(hurried)?;
        Ok(conclusion.map(|conclusion| conclusion.status()))
    }

    /// Reports the interval that ended at `turned`.
    fn tell_interval(&mut self, turned: u64) -> Result<()> {
        let kernel = self.sampler.sum(&self.object.ebpf);
        let stretch = std::mem::replace(&mut self.interval, Stretch::at(turned, kernel));
        let (harvest, lost) = self.harvest()?;
        self.tell(Kind::Interval, &stretch, turned, kernel, &harvest, &lost)?;
        Ok(())
    }

    /// What was counted and lost since the last call; both are added to the totals.
    fn harvest(&mut self) -> Result<(T::Harvest, Lost)> {
        let harvest = self.tool.harvest()?;
        let mut lost = self.losses.since_last()?;
        lost.0[Loss::MissedRuns as usize] += self.missed - self.missed_reported;
        self.missed_reported = self.missed;
        self.tool.add(&mut self.total, &harvest);
        for (sum, more) in self.lost.0.iter_mut().zip(lost.0) {
            *sum += more;
        }
        Ok((harvest, lost))
    }

    fn tell(
        &mut self,
        kind: Kind,
        stretch: &Stretch,
        end: u64,
        kernel: Option<KernelCost>,
        harvest: &T::Harvest,
        lost: &Lost,
    ) -> Result<Report<T>> {
        let lasted = Duration::from_nanos(end - stretch.began);
        let (body, picture) = self.tool.tell(kind, lasted, harvest, self.scene.cgroups.as_mut());
        let envelope = self.envelope(kind, stretch, lasted, kernel, lost);
        self.report_record(envelope, body, picture)
    }

    /// What all records have, of a stretch that lasted so long; `kernel` is what the kernel side has cost at its end.
    fn envelope(
        &self,
        kind: Kind,
        stretch: &Stretch,
        lasted: Duration,
        kernel: Option<KernelCost>,
        lost: &Lost,
    ) -> Envelope {
        let kernel = kernel.zip(stretch.kernel).map(|(now, before)| now.since(before));
        let mut unavailable = self.scene.attached.unavailable.clone();
        unavailable.extend(self.tool.found_unavailable());
        Envelope {
            version: env!("CARGO_PKG_VERSION"),
            session: self.id.to_string(),
            sequence: self.sequence,
            kind,
            host: self.host.clone(),
            start: stretch.wall,
            end: stretch.wall + lasted,
            duration_ns: lasted.as_nanos() as u64,
            settings: self.scene.settings.clone(),
            target: self.scene.target.clone(),
            probes: self.scene.attached.probes.clone(),
            unavailable,
            lost: lost.clone(),
            cost: SelfCost {
                run_ns: kernel.map(|kernel| kernel.run_ns),
                events: kernel.map(|kernel| kernel.events),
                cpu_ns: cpu_ns() - stretch.cpu_ns,
                rss_bytes: rss_bytes(),
                kernel_bytes: kernel_bytes().map(|bytes| bytes + self.tool.kernel_bytes_besides()),
            },
        }
    }

    /// Makes a record of what a tool says, and writes it.
    fn report_record(
        &mut self,
        envelope: Envelope,
        mut body: T::Body,
        picture: T::Picture,
    ) -> Result<Report<T>> {
        consistency::settle(&mut body, &envelope.lost, &envelope.unavailable);
        self.sequence += 1;
        let report = Report { record: Record::new(envelope, body), picture };
        self.print(&report)?;
        Ok(report)
    }
}
