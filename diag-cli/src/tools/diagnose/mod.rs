//! `osdiag diagnose`: who suffers, from what, because of whom, what it is not, and what to run next.

mod advice;
mod args;
mod blame;
mod diagnosis;
mod facts;
mod findings;
mod healthy;
mod limits;
mod not_seen;
mod progress;
mod record;
mod render;
mod ruled_out;
mod signals;
mod thresholds;
mod triage;
mod untraced;
mod words;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;

pub(crate) use self::{args::Args, record::Diagnosis as Body};
use self::{
    args::FailOn,
    facts::Facts,
    limits::Limits,
    progress::Progress,
    triage::{First, Triage},
};
use super::delays::{self, Delays};
use crate::{
    cli::SessionArgs,
    ebpf::object::{Kernel, Object, Settings},
    output::{
        page::Page,
        record::{
            self as records, Envelope, Kind, Record, Unavailable, settings::Threshold, verdict::Status,
        },
        streams,
    },
    session::{self, Conclusion, KernelSide, Tool, Untraced},
    target::{CgroupNames, Target, places::Places},
};

/// In `unavailable` where the files of the first second could not be read.
const TRIAGE: &str = "triage";

/// Looks, and says what it is.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    streams::note(progress::FIRST);
    session::run::<Diagnose>(args)
}

/// The tool while it works: the account of `delays`, and what is concluded from it.
struct Diagnose {
    delays: Delays,
    triage: Triage,
    fail_on: Option<FailOn>,
    progress: Progress,
}

impl Tool for Diagnose {
    type Args = Args;
    type Harvest = delays::Harvest;
    type Body = delays::Body;
    type Picture = ();

    const NAME: &'static str = "diagnose";
    const SUBJECT: &'static str = Delays::SUBJECT;
    const KERNEL_SIDE: KernelSide = Delays::KERNEL_SIDE;
    const CONCLUDES: bool = true;

    fn session_args(args: &Args) -> &SessionArgs {
        &args.session
    }

    fn by(_args: &Args) -> Option<&'static str> {
        Some(Delays::BY_OF_SINK)
    }

    fn thresholds(_args: &Args) -> Vec<Threshold> {
        Delays::thresholds_of_sink()
    }

    /// What comes after it is loading, which takes a while: the time for other things to be read.
    fn settings(args: &Args, _kernel: &Kernel) -> Result<Settings> {
        args.triage.start();
        Delays::settings_of_sink()
    }

    fn open(args: &Args, _target: &Target, object: &mut Object) -> Result<Diagnose> {
        Ok(Diagnose {
            delays: Delays::sink(object)?,
            triage: args.triage.hand_over(),
            fail_on: args.fail_on,
            progress: Progress::new(args.session.duration),
        })
    }

    fn poll(&mut self) {
        self.delays.poll();
        self.progress.show();
    }

    fn take_stock(&mut self, object: &mut Object) -> Result<()> {
        self.delays.take_stock(object)
    }

    fn turn(&mut self) -> Result<u64> {
        self.delays.turn()
    }

    fn turned(&mut self, cgroups: Option<&mut CgroupNames>) {
        self.delays.turned(cgroups);
    }

    fn harvest(&mut self) -> Result<delays::Harvest> {
        self.delays.harvest()
    }

    fn add(&self, total: &mut delays::Harvest, interval: &delays::Harvest) {
        self.delays.add(total, interval);
    }

    fn tell(
        &mut self,
        kind: Kind,
        lasted: Duration,
        harvest: &delays::Harvest,
        cgroups: Option<&mut CgroupNames>,
    ) -> (delays::Body, ()) {
        self.delays.tell(kind, lasted, harvest, cgroups)
    }

    fn conclude(
        &mut self,
        summary: &session::Report<Diagnose>,
        mut envelope: Envelope,
        cgroups: Option<&mut CgroupNames>,
    ) -> Option<Box<dyn Conclusion>> {
        let first = concluding(&self.triage, &mut envelope);
        let body = conclude(&summary.record, first.as_ref(), cgroups);
        Some(Box::new(Answer { record: Record::new(envelope, body), fail_on: self.fail_on }))
    }

    fn untraced(args: &Args) -> Option<Untraced> {
        args.triage.start();
        let (triage, fail_on) = (args.triage.hand_over(), args.fail_on);
        Some(Box::new(move |mut envelope, cgroups| {
            let first = concluding(&triage, &mut envelope);
            let body = untraced::diagnosis(first.as_ref(), &envelope.unavailable, cgroups);
            Box::new(Answer { record: Record::new(envelope, body), fail_on })
        }))
    }

    fn found_unavailable(&self) -> Vec<Unavailable> {
        self.delays.found_unavailable()
    }

    fn kernel_bytes_besides(&self) -> u64 {
        self.delays.kernel_bytes_besides()
    }

    fn draw_interval(&self, _page: &mut Page, _report: &session::Report<Diagnose>) {}

    fn draw_summary(&self, page: &mut Page, report: &session::Report<Diagnose>) {
        self.delays.draw(page, &report.record);
    }

    fn draw_verdict(&self, _page: &mut Page, _report: &session::Report<Diagnose>) {}
}

/// What was read in the first second, and the envelope of the record that is concluded from it.
fn concluding(triage: &Triage, envelope: &mut Envelope) -> Option<First> {
    let first = triage.finish();
    if first.is_none() {
        envelope.unavailable.push(Unavailable {
            name: TRIAGE.to_owned(),
            why: "the thread that reads files could not be started".to_owned(),
            effect: "'signals' is empty, and slow disks, limits and growing memory are not known".to_owned(),
        });
    }
    envelope.settings.thresholds = thresholds::table();
    first
}

/// What follows from the account of `delays`, and from what was read at the beginning and is read again now.
fn conclude(
    account: &Record<delays::Body>,
    first: Option<&First>,
    cgroups: Option<&mut CgroupNames>,
) -> Body {
    let Record { envelope, body, .. } = account;
    let mut places = Places::new(cgroups);
    let mut facts = Facts {
        groups: &body.groups,
        lasted_ns: envelope.duration_ns,
        cpus: envelope.host.cpus,
        ..Facts::default()
    };
    let mut seen = Vec::new();
    let last = first.map(|first| triage::last(&first.reading));
    let readings = first.map(|first| &first.reading).zip(last.as_ref());
    if let (Some((before, now)), Some(first)) = (readings, first) {
        facts.disks = signals::disks(before, now);
        let stuck = first.stuck.iter().cloned();
        facts.stuck = stuck.map(|stuck| (places.group_of(&stuck.cgroups), stuck)).collect();
        seen = signals::signals(before, now, &facts.disks, facts.stuck.len() as u64, &mut places);
    }
    facts.limits = Limits::read(&body.groups, readings, &mut places);
    let mut diagnosis = diagnosis::diagnosis(&facts, seen, first, &envelope.unavailable);
    // An account that cannot be trusted is no ground for an answer.
    if matches!(body.verdict.status, Status::Inconsistent | Status::Blind) {
        diagnosis.findings.clear();
        diagnosis.verdict = body.verdict.clone();
    }
    diagnosis
}

/// The answer of a session.
struct Answer {
    record: Record<Body>,
    fail_on: Option<FailOn>,
}

impl Conclusion for Answer {
    fn json(&self, hdr: bool) -> serde_json::Result<serde_json::Value> {
        records::json(&self.record, hdr)
    }

    fn draw(&self, page: &mut Page) {
        render::page(page, &self.record.envelope, &self.record.body);
    }

    fn status(&self) -> ExitCode {
        match self.fail_on {
            Some(FailOn::Finding) if !self.record.body.findings.is_empty() => ExitCode::from(FOUND),
            _ => ExitCode::SUCCESS,
        }
    }
}

/// The status where `--fail-on` matched.
const FOUND: u8 = 4;
