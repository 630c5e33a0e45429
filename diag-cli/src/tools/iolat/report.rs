//! From a session's course to records and pictures.

use std::{collections::HashMap, time::Duration};

use anyhow::Result;
use diag_common::{
    iolat::{Event, SlotKey},
    loss::Loss,
};

use super::{
    args::Args,
    attach::Tracing,
    collect::{Collector, Group, Harvest},
    explain::Explainer,
    model::{self, Namer},
    pending,
    record::{Iolat, Report},
    render, slowest, verdict,
};
use crate::{
    ebpf::{
        cost::Sampler,
        log::KernelLog,
        object::Object,
        probes::{Attached, one_line},
    },
    kernel::mounts::Mounts,
    output::{
        cost::{SelfCost, cpu_ns, rss_bytes},
        host::Host,
        record::{Envelope, Kind, Record, Target, Unavailable},
        streams,
        terminal::Screen,
        time::Timestamp,
    },
    session::Span,
    target::{self, CgroupNames},
};

/// Collects, and reports what was collected.
pub(crate) struct Reporter<'a> {
    args: &'a Args,
    looked_at: &'a target::Target,
    host: Host,
    target: Target,
    attached: Attached,
    object: Object,
    collector: Collector,
    log: Option<KernelLog>,
    explainer: Explainer,
    mounts: Mounts,
    cgroups: Option<CgroupNames>,
    sampler: Sampler,
    session: Stretch,
    interval: Stretch,
    total: Total,
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

/// All intervals so far.
#[derive(Default)]
struct Total {
    groups: HashMap<SlotKey, Group>,
    events: Vec<Event>,
    lost: Vec<u64>,
}

impl Total {
    fn add(&mut self, harvest: &Harvest, wanted: usize) {
        for (key, group) in &harvest.groups {
            self.groups.entry(*key).or_default().merge(group);
        }
        self.events.extend_from_slice(&harvest.events);
        self.events.sort_by_key(|event| std::cmp::Reverse(event.latency_ns));
        self.events.truncate(wanted);
        self.lost.resize(harvest.lost.len(), 0);
        for (sum, more) in self.lost.iter_mut().zip(&harvest.lost) {
            *sum += more;
        }
    }
}

impl<'a> Reporter<'a> {
    /// For an object whose probes are attached.
    pub(crate) fn new(
        args: &'a Args,
        looked_at: &'a target::Target,
        target: Target,
        attached: Attached,
        tracing: Tracing,
        cgroups: Option<CgroupNames>,
    ) -> Reporter<'a> {
        let Tracing { object, collector, log } = tracing;
        Reporter {
            args,
            looked_at,
            host: Host::read(),
            target,
            attached,
            object,
            collector,
            log,
            explainer: Explainer::new(),
            mounts: Mounts::default(),
            cgroups,
            sampler: Sampler::default(),
            session: Stretch::begin(),
            interval: Stretch::begin(),
            total: Total::default(),
            missed: 0,
            missed_reported: 0,
        }
    }

    /// Says what is traced, and begins to count time.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.say_what_is_attached();
        let Attached { probes, unavailable } = &self.attached;
        let duration = self.args.session.duration;
        if self.args.session.json {
            let start = render::start(Screen::plain(), &self.target, duration, probes, unavailable);
            start.lines().for_each(streams::note);
        } else {
            let start = render::start(Screen::of_stdout(), &self.target, duration, probes, unavailable);
            streams::print(&start)?;
        }
        self.session = Stretch::begin();
        self.interval = Stretch::begin();
        self.sampler.begin(&self.object.ebpf);
        Ok(())
    }

    /// What is to be done every now and then.
    pub(crate) fn poll(&mut self) {
        self.collector.drain();
        self.sampler.turn(&self.object.ebpf);
        if let Some(log) = &mut self.log {
            log.print();
        }
    }

    /// Ends an interval and reports it.
    pub(crate) fn report(&mut self, kind: Kind) -> Result<()> {
        self.missed = self.object.missed_runs().max(self.missed);
        let harvest = self.harvest()?;
        self.total.add(&harvest, self.args.slowest_in_record() as usize);
        let stretch = std::mem::replace(&mut self.interval, Stretch::begin());
        let report = self.build(kind, &stretch, &harvest.groups, harvest.events, &harvest.lost);
        self.print(&report)
    }

    /// Detaches, and reports the whole session.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.sampler.end(&self.object.ebpf);
        self.missed = self.object.missed_runs();
        self.object.detach();
        if self.args.session.interval.is_some() {
            // The last interval is a shorter one, so that the intervals add up to the summary.
            self.report(Kind::Interval)?;
        } else {
            let harvest = self.harvest()?;
            self.total.add(&harvest, self.args.slowest_in_record() as usize);
        }
        let total = std::mem::take(&mut self.total);
        let session = std::mem::replace(&mut self.session, Stretch::begin());
        let report = self.build(Kind::Summary, &session, &total.groups, total.events, &total.lost);
        self.print(&report)
    }

    fn harvest(&mut self) -> Result<Harvest> {
        let mut harvest = self.collector.harvest()?;
        harvest.lost[Loss::MissedRuns as usize] += self.missed - self.missed_reported;
        self.missed_reported = self.missed;
        Ok(harvest)
    }

    fn build(
        &mut self,
        kind: Kind,
        stretch: &Stretch,
        groups: &HashMap<SlotKey, Group>,
        events: Vec<Event>,
        lost: &[u64],
    ) -> Report {
        let lasted = stretch.span.elapsed();
        let mut namer =
            Namer { collector: &self.collector, explainer: &mut self.explainer, mounts: &mut self.mounts };
        let quantile = self.args.quantile();
        let mut operations: Vec<_> =
            groups.iter().map(|(key, group)| model::operation(key, group, quantile, &mut namer)).collect();
        operations.sort_by_key(|(operation, _)| {
            (std::cmp::Reverse(operation.latency.sum_ns), operation.device.clone(), operation.op.0)
        });
        let wanted = self.args.slowest_in_record() as usize;
        let slowest = slowest::slowest(events, wanted, &mut namer, self.cgroups.as_mut());
        let (operations, spectra): (Vec<_>, Vec<_>) = operations.into_iter().unzip();
        let verdict = verdict::verdict(&operations, self.args.slow);
        let pending = if kind == Kind::Summary { pending::pending(self.looked_at) } else { Vec::new() };
        let body = Iolat { operations, slowest, pending, verdict };
        Report { record: Record::new(self.envelope(kind, stretch, lasted, lost), body), spectra }
    }

    fn envelope(&self, kind: Kind, stretch: &Stretch, lasted: Duration, lost: &[u64]) -> Envelope {
        let kernel = self.sampler.over(lasted);
        let mut unavailable = self.attached.unavailable.clone();
        if let Some(why) = self.explainer.nameless() {
            unavailable.push(Unavailable {
                name: "kernel symbols".to_owned(),
                why: why.to_owned(),
                effect: "stacks have no names, and waits that only a stack explains are other.wait"
                    .to_owned(),
            });
        }
        Envelope {
            kind,
            host: self.host.clone(),
            start: stretch.span.start(),
            end: Timestamp::now(),
            duration_ns: lasted.as_nanos() as u64,
            target: self.target.clone(),
            probes: self.attached.probes.clone(),
            unavailable,
            lost: Loss::ALL.iter().zip(lost).map(|(loss, &count)| (loss.name(), count)).collect(),
            cost: SelfCost {
                run_ns: kernel.run_ns,
                events: kernel.events,
                cpu_ns: cpu_ns() - stretch.cpu_ns,
                rss_bytes: rss_bytes(),
            },
        }
    }

    /// What `-v` asks for.
    fn say_what_is_attached(&self) {
        if self.args.session.verbose == 0 {
            return;
        }
        let hooks = self.object.hooks;
        match &self.object.fallback {
            None => streams::note(format_args!("hooks: {hooks}, the cheapest kind that there is")),
            Some(why) => streams::note(format_args!("hooks: {hooks}, because {}", one_line(why))),
        }
        for probe in &self.attached.probes {
            streams::note(format_args!("attached: {} ({})", probe.name, probe.hook));
        }
        for missing in &self.attached.unavailable {
            streams::note(format_args!(
                "not attached: {}: {}: {}",
                missing.name, missing.why, missing.effect
            ));
        }
        for field in &self.object.fields {
            streams::note(format_args!("field: {} = {}, {}", field.global, field.value as i32, field.from));
        }
    }

    fn print(&self, report: &Report) -> Result<()> {
        if self.args.session.json {
            return Ok(streams::print_record(&report.record)?);
        }
        let options = render::Options {
            screen: Screen::of_stdout(),
            slow: self.args.slow,
            slowest: self.args.slowest_on_screen() as usize,
        };
        let picture = match report.record.envelope.kind {
            Kind::Summary => render::summary(&options, report),
            _ => render::interval(&options, report),
        };
        Ok(streams::print(&picture)?)
    }
}
