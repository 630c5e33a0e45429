//! From a session's course to records and pictures.

use std::time::Duration;

use anyhow::Result;
use diag_common::loss::Loss;

use super::{
    Span,
    tool::{Report, Tool},
};
use crate::{
    cli::SessionArgs,
    ebpf::{
        cost::Sampler,
        log::KernelLog,
        losses::Losses,
        object::Object,
        probes::{Attached, one_line},
    },
    output::{
        closing,
        cost::{SelfCost, cpu_ns, rss_bytes},
        host::Host,
        page::Page,
        record::{Envelope, Kind, Record, Target},
        streams,
        terminal::Screen,
        time::Timestamp,
    },
    target::CgroupNames,
};

/// What a session is about, once its probes are attached.
pub(crate) struct Scene<'a> {
    pub(crate) args: &'a SessionArgs,
    pub(crate) target: Target,
    pub(crate) attached: Attached,
    pub(crate) cgroups: Option<CgroupNames>,
}

/// Collects, and reports what was collected.
pub(crate) struct Reporter<'a, T: Tool> {
    scene: Scene<'a>,
    tool: T,
    object: Object,
    log: Option<KernelLog>,
    host: Host,
    losses: Losses,
    sampler: Sampler,
    session: Stretch,
    interval: Stretch,
    total: T::Harvest,
    lost: Vec<u64>,
    /// Runs that the kernel has left out so far.
    missed: u64,
    /// How many of them are reported.
    missed_reported: u64,
}

/// A stretch of the session, and what the tool had used at its beginning.
struct Stretch {
    span: Span,
    cpu_ns: u64,
}

impl Stretch {
    fn begin() -> Stretch {
        Stretch { span: Span::begin(), cpu_ns: cpu_ns() }
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
            scene,
            tool,
            object,
            log,
            host: Host::read(),
            sampler: Sampler::default(),
            session: Stretch::begin(),
            interval: Stretch::begin(),
            total: T::Harvest::default(),
            lost: vec![0; Loss::ALL.len()],
            missed: 0,
            missed_reported: 0,
        })
    }

    /// Begins to count, and to count time.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.session = Stretch::begin();
        self.interval = Stretch::begin();
        self.tool.begin()?;
        self.sampler.begin(&self.object.ebpf);
        Ok(())
    }

    /// Says what is traced.
    pub(crate) fn open(&self) -> Result<()> {
        self.say_what_is_attached();
        let Scene { args, target, attached, .. } = &self.scene;
        let screen = if args.json { Screen::plain() } else { Screen::of_stdout() };
        let opening = closing::opening(screen, T::NAME, T::SUBJECT, target, args.duration, attached);
        if args.json {
            opening.lines().for_each(streams::note);
        } else {
            streams::print(&opening)?;
        }
        Ok(())
    }

    /// What is to be done every now and then.
    pub(crate) fn poll(&mut self) -> Result<()> {
        self.tool.poll();
        self.tell_events()?;
        self.sampler.turn(&self.object.ebpf);
        if let Some(log) = &mut self.log {
            log.print();
        }
        Ok(())
    }

    /// Tells of what happened. Such a record covers the session up to now, and counts as lost what was lost up to the end
    /// of the last interval.
    fn tell_events(&mut self) -> Result<()> {
        for (body, picture) in self.tool.events(&mut self.object, self.scene.cgroups.as_mut())? {
            let lasted = self.session.span.elapsed();
            let record = Record::new(self.envelope(Kind::Event, &self.session, lasted, &self.lost), body);
            self.print(&Report { record, picture })?;
        }
        Ok(())
    }

    /// Ends an interval and reports it.
    pub(crate) fn report(&mut self, kind: Kind) -> Result<()> {
        self.missed = self.object.missed_runs().max(self.missed);
        let (harvest, lost) = self.harvest()?;
        let stretch = std::mem::replace(&mut self.interval, Stretch::begin());
        self.tell(kind, &stretch, &harvest, &lost)
    }

    /// Detaches, and reports the whole session.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.tell_events()?;
        self.sampler.end(&self.object.ebpf);
        self.missed = self.object.missed_runs();
        self.tool.ending();
        self.object.detach();
        if self.scene.args.interval.is_some() {
            // The last interval is a shorter one, so that the intervals add up to the summary.
            self.report(Kind::Interval)?;
        } else {
            self.harvest()?;
        }
        let total = std::mem::take(&mut self.total);
        let session = std::mem::replace(&mut self.session, Stretch::begin());
        let lost = std::mem::take(&mut self.lost);
        self.tell(Kind::Summary, &session, &total, &lost)
    }

    /// What was counted and lost since the last call; both are added to the totals.
    fn harvest(&mut self) -> Result<(T::Harvest, Vec<u64>)> {
        let harvest = self.tool.harvest()?;
        let mut lost = self.losses.since_last()?;
        lost[Loss::MissedRuns as usize] += self.missed - self.missed_reported;
        self.missed_reported = self.missed;
        self.tool.add(&mut self.total, &harvest);
        for (sum, more) in self.lost.iter_mut().zip(&lost) {
            *sum += more;
        }
        Ok((harvest, lost))
    }

    fn tell(&mut self, kind: Kind, stretch: &Stretch, harvest: &T::Harvest, lost: &[u64]) -> Result<()> {
        let lasted = stretch.span.elapsed();
        let (body, picture) = self.tool.tell(kind, lasted, harvest, self.scene.cgroups.as_mut());
        let record = Record::new(self.envelope(kind, stretch, lasted, lost), body);
        self.print(&Report { record, picture })
    }

    fn envelope(&self, kind: Kind, stretch: &Stretch, lasted: Duration, lost: &[u64]) -> Envelope {
        let kernel = self.sampler.over(lasted);
        let mut unavailable = self.scene.attached.unavailable.clone();
        unavailable.extend(self.tool.found_unavailable());
        Envelope {
            kind,
            host: self.host.clone(),
            start: stretch.span.start(),
            end: Timestamp::now(),
            duration_ns: lasted.as_nanos() as u64,
            target: self.scene.target.clone(),
            probes: self.scene.attached.probes.clone(),
            unavailable,
            lost: Loss::ALL
                .iter()
                .zip(lost)
                .filter(|&(loss, &count)| T::KERNEL_SIDE.losses.contains(loss) || count > 0)
                .map(|(loss, &count)| (loss.name(), count))
                .collect(),
            cost: SelfCost {
                run_ns: kernel.map_or(0, |kernel| kernel.run_ns),
                events: kernel.map_or(0, |kernel| kernel.events),
                cpu_ns: cpu_ns() - stretch.cpu_ns,
                rss_bytes: rss_bytes(),
            },
        }
    }

    /// What `-v` asks for.
    fn say_what_is_attached(&self) {
        if self.scene.args.verbose == 0 {
            return;
        }
        let hooks = self.object.hooks;
        match &self.object.fallback {
            None => streams::note(format_args!("hooks: {hooks}, the cheapest kind that there is")),
            Some(why) => streams::note(format_args!("hooks: {hooks}, because {}", one_line(why))),
        }
        for probe in &self.scene.attached.probes {
            streams::note(format_args!("attached: {} ({})", probe.name, probe.hook));
        }
        for missing in &self.scene.attached.unavailable {
            streams::note(format_args!(
                "not attached: {}: {}: {}",
                missing.name, missing.why, missing.effect
            ));
        }
        for field in &self.object.fields {
            streams::note(format_args!("field: {} = {}, {}", field.global, field.value as i32, field.from));
        }
    }

    fn print(&self, report: &Report<T>) -> Result<()> {
        if self.scene.args.json {
            return Ok(streams::print_record(&report.record)?);
        }
        let mut page = Page::new(Screen::of_stdout());
        match report.record.envelope.kind {
            Kind::Summary => {
                self.tool.draw_summary(&mut page, report);
                closing::draw(&mut page, &report.record.envelope);
                self.tool.draw_verdict(&mut page, report);
            }
            Kind::Interval => {
                self.tool.draw_interval(&mut page, report);
                closing::interval_losses(&mut page, &report.record.envelope);
            }
            Kind::Event => self.tool.draw_event(&mut page, report),
        }
        Ok(streams::print(&page.into_text())?)
    }
}
