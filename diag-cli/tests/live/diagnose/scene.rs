//! Groups beside each other, and what osdiag says of them.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::Value;

use crate::{
    Outcome,
    lab::{Lab, cgroup::Cgroup},
    osdiag::{Session, tool},
    record::Record,
    runq::runner::{Kind, Runner},
    workload::{Call, Report},
};

/// How long osdiag looks.
pub(super) const LOOK: Duration = Duration::from_secs(4);
/// A fault makes the victim's calls so much longer.
const WORSE: f64 = 2.0;

/// Two groups in a cgroup of their own, of which the scheduler prefers all that is in it, so that a busy machine disturbs neither.
pub(super) struct Scene {
    pub(super) lab: Lab,
    unified: Cgroup,
    cpu: Option<Cgroup>,
    victim: Cgroup,
    other: Cgroup,
}

impl Scene {
    pub(super) fn new() -> Outcome<Scene> {
        let lab = Lab::new();
        let unified = Cgroup::v2(&lab)?;
        let cpu = Cgroup::v1(&lab, "cpu").ok();
        match &cpu {
            Some(cpu) => cpu.set("cpu.shares", "262144")?,
            None => unified.set("cpu.weight", "10000")?,
        }
        let (victim, other) = (unified.child("victim")?, unified.child("other")?);
        Ok(Scene { lab, unified, cpu, victim, other })
    }

    /// The cgroups of the victim.
    pub(super) fn victim(&self) -> Vec<PathBuf> {
        self.places(&self.victim)
    }

    /// Those of the other group.
    pub(super) fn other(&self) -> Vec<PathBuf> {
        self.places(&self.other)
    }

    fn places(&self, group: &Cgroup) -> Vec<PathBuf> {
        [Some(group), self.cpu.as_ref()].into_iter().flatten().map(|group| group.path().to_owned()).collect()
    }

    /// The v1 cgroup of the CPU in which both groups are; the victim's own on v2.
    pub(super) fn quota(&self) -> &Cgroup {
        self.cpu.as_ref().unwrap_or(&self.victim)
    }

    /// A process in some of the cgroups, which follows orders.
    pub(super) fn runner(cgroups: &[PathBuf], kind: &Kind) -> Runner {
        let runner = Runner::start(kind);
        for cgroup in cgroups {
            fs::write(cgroup.join("cgroup.procs"), runner.pid.to_string()).expect("a process can be moved");
        }
        runner
    }

    /// Begins to look at both groups.
    pub(super) fn look(&self) -> Session {
        let cgroup = format!("/{}", self.unified.name());
        let seconds = format!("{}s", LOOK.as_secs());
        Session::counting(tool("diagnose", &["--json", "--no-hdr", "-d", &seconds, "--cgroup", &cgroup]))
    }
}

/// What is expected of the first finding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// One of these.
    pub(super) causes: &'a [(&'a str, &'a str)],
    /// The other group, or none.
    pub(super) culprit: bool,
    pub(super) blame: &'a str,
}

/// The diagnosis of a session, which has to come after its sink's record, in the same session.
pub(super) fn diagnosis(session: Session) -> Record {
    let mut records = session.finish().records();
    let diagnosis = records.pop().expect("a record");
    let sink = records.pop().expect("the sink's record");
    assert!(records.is_empty(), "{} records too many", records.len());
    assert_eq!((sink.text("schema"), diagnosis.text("schema")), ("osdiag.delays/1", "osdiag.diagnose/1"));
    assert_eq!(sink.0["session"], diagnosis.0["session"]);
    assert_eq!((&sink.0["sequence"], &diagnosis.0["sequence"]), (&Value::from(0), &Value::from(1)));
    println!("{}", diagnosis.0["verdict"]["statement"]);
    diagnosis
}

impl Expected<'_> {
    /// Whether the first finding is as expected, in all four.
    pub(super) fn judge(&self, record: &Record) {
        let first = &record.0["findings"][0];
        let of = |group: &Value| {
            group["cgroup"].as_str().and_then(|path| path.rsplit('/').next()).map(str::to_owned)
        };
        let cause = (first["layer"].as_str().unwrap_or("none"), first["cause"].as_str().unwrap_or("none"));
        let seen =
            (of(&first["victims"][0]["group"]), of(&first["culprits"][0]["group"]), first["blame"].as_str());
        let culprit = self.culprit.then(|| "other".to_owned());
        let told = || {
            let told = |key: &str| format!("{key}: {:#}", record.0[key]);
            ["findings", "notes", "ruled_out"].map(told).join("\n")
        };
        assert!(self.causes.contains(&cause), "{cause:?} is none of {:?}\n{}", self.causes, told());
        assert_eq!(seen, (Some("victim".to_owned()), culprit, Some(self.blame)), "{}", told());
    }
}

/// The mean time of a call, ns.
pub(super) fn mean(report: &Report, call: Call) -> f64 {
    let samples = &report.samples[&call];
    samples.sum() as f64 / samples.ns.len() as f64
}

/// That calls took so much longer than when nothing was wrong, by the victim's own clock.
pub(super) fn proven(healthy: f64, suffered: f64) {
    println!("{:.3} ms, healthy {:.3} ms", suffered / 1e6, healthy / 1e6);
    assert!(suffered >= WORSE * healthy, "the fault did not happen: {suffered} ns, healthy {healthy} ns");
}
