//! Judges what a guest reported: `vm-check REPORT RELEASE` prints `ok STEP` or `failed STEP: why`, and what is behind
//! a failure in lines of their own. `vm-check REPORT RELEASE HIERARCHY` judges faults: after the name, the place and a
//! judgement, with tabs between them, stands what was seen. `vm-check REPORT RELEASE load` judges runs that only load: with
//! tabs between them `loaded`, tool, hook and number of programs; `field`, `tracepoint` or `function`, and the name of
//! one that the kernel lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

mod delays;
mod hung;
mod iolat;
mod load;
mod lock;
mod record;
#[path = "../report.rs"]
mod report;
mod runq;
mod trial;
mod vmexit;

use record::Judge;
use report::{Ending, Report, Step, Trial, fault, load as loading, step};

/// How much of a tool's standard error is shown.
const SHOWN: usize = 10;

/// How long a line of it may get.
const WIDTH: usize = 200;

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("failed report: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<bool> {
    let (path, release, guest) = match arguments {
        [path, release] => (path, release, None),
        [path, release, guest] => (path, release, Some(guest)),
        _ => bail!("usage: vm-check REPORT RELEASE [HIERARCHY | load]"),
    };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let reports = text.lines().map(serde_json::from_str).collect::<Result<Vec<Report>, _>>();
    let reports = reports.context("the report is cut short or broken")?;
    ensure!(!reports.is_empty(), "the guest reported nothing");
    let directory = Path::new(path).parent().context("the report is in no directory")?.to_owned();
    let mut verdict = Verdict { good: true, heard: Vec::new(), schemas: BTreeMap::new(), directory };
    if guest.is_some_and(|guest| guest == loading::GUEST) {
        verdict.load(&reports, release);
        return Ok(verdict.good);
    }
    for report in &reports {
        verdict.hear(report, release);
    }
    if let Some(guest) = guest {
        for made in fault::of(guest) {
            for row in made.tools.iter().map(|tool| fault::row(tool, made.name)) {
                if !verdict.heard.contains(&format!("{row} {}", made.place)) {
                    verdict.rule(&row, made.place, "broken", "it was not made");
                }
            }
        }
        return Ok(verdict.good);
    }
    let all =
        step::ALL.iter().flat_map(|(tool, steps)| steps.iter().map(move |step| format!("{tool} {step}")));
    for step in all.filter(|step| !verdict.heard.contains(step)).collect::<Vec<_>>() {
        verdict.fail(&step, "it did not run");
    }
    Ok(verdict.good)
}

/// The judgement so far.
struct Verdict {
    good: bool,
    heard: Vec<String>,
    /// By tool.
    schemas: BTreeMap<String, Value>,
    directory: PathBuf,
}

impl Verdict {
    fn hear(&mut self, report: &Report, release: &str) {
        match report {
            Report::Booted { kernel } if kernel != release => self.fail("boot", &format!("this is {kernel}")),
            Report::Broken { step, why } => {
                self.heard.push(step.clone());
                self.fail(step, why);
            }
            Report::Step(step) => self.judge(step, release),
            Report::Trial(trial) => self.hold(trial),
            Report::Booted { .. } | Report::Tracepoints(_) | Report::Done => {}
        }
    }

    /// Each tool is loaded with the hooks that it prefers, with and without a target, and with raw ones where these are others.
    fn load(&mut self, reports: &[Report], release: &str) {
        let targets = [loading::PREFERRED, loading::CGROUP];
        let of_tool = |(tool, _): &(&str, _)| targets.map(|target| format!("{tool} {target}"));
        let mut expected: BTreeSet<_> = step::ALL.iter().flat_map(of_tool).collect();
        let mut lacks = BTreeSet::new();
        let mut tracepoints: &[String] = &[];
        for report in reports {
            let Report::Step(step) = report else {
                if let Report::Tracepoints(names) = report {
                    tracepoints = names;
                }
                self.hear(report, release);
                continue;
            };
            let name = format!("{} {}", step.tool, step.name);
            self.heard.push(name.clone());
            if !loading::is_raw(&step.stderr) {
                expected.insert(format!("{} {}", step.tool, step::RAW));
            }
            match load::loaded(step, release, tracepoints) {
                Ok(load::Loaded { hook, programs, fields, tracepoints, functions }) => {
                    println!("loaded\t{}\t{hook}\t{programs}", step.tool);
                    lacks.extend(fields.into_iter().map(|name| ("field", name)));
                    lacks.extend(tracepoints.into_iter().map(|name| ("tracepoint", name)));
                    lacks.extend(functions.into_iter().map(|name| ("function", name)));
                }
                Err(error) => {
                    self.fail(&name, &format!("{error:#}"));
                    self.keep(&name, step);
                }
            }
        }
        for (kind, name) in lacks {
            println!("{kind}\t{name}");
        }
        for name in expected.iter().filter(|name| !self.heard.contains(name)).collect::<Vec<_>>() {
            self.fail(name, "it did not run");
        }
    }

    fn judge(&mut self, step: &Step, release: &str) {
        let name = format!("{} {}", step.tool, step.name);
        self.heard.push(name.clone());
        match self.check(step, release) {
            Ok(()) => println!("ok {name} ({} ms)", step.elapsed_ms),
            Err(error) => {
                self.fail(&name, &format!("{error:#}"));
                self.show(&name, step);
            }
        }
    }

    fn hold(&mut self, trial: &Trial) {
        let Trial { fault, tool, place, ending } = trial;
        let row = fault::row(tool, fault);
        self.heard.push(format!("{row} {place}"));
        match ending {
            Ending::Ran { proof, run } => match trial::names(fault, place, run) {
                Ok(said) => self.rule(&row, place, "right", &format!("{proof}: {said}")),
                Err(error) => {
                    self.rule(&row, place, "wrong", &format!("{proof}: {error:#}"));
                    self.show(&format!("{row} {place}"), run);
                }
            },
            Ending::Untraced(why) => {
                self.rule(&row, place, "wrong", &format!("osdiag does not trace: {why}"));
            }
            Ending::Impossible(why) => self.rule(&row, place, "not possible", why),
            Ending::Broken(why) => self.rule(&row, place, "broken", why),
        }
    }

    fn rule(&mut self, fault: &str, place: &str, judgement: &str, seen: &str) {
        self.good &= judgement != "broken" && judgement != "wrong";
        let seen: String = seen.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        println!("{fault}\t{place}\t{judgement}\t{seen}");
    }

    fn check(&mut self, step: &Step, release: &str) -> Result<()> {
        ensure!(step.status == Some(0), "osdiag ended with {:?} after {} ms", step.status, step.elapsed_ms);
        if step.name == step::SCHEMA {
            let schema = serde_json::from_str(&step.stdout).context("the schema is not JSON")?;
            jsonschema::meta::validate(&schema)
                .map_err(|error| anyhow::anyhow!("no JSON Schema: {error}"))?;
            self.schemas.insert(step.tool.clone(), schema);
            return Ok(());
        }
        let schema = self.schemas.get(&step.tool).context("there is no schema to validate against")?;
        Judge::new(schema, release)?.step(step)
    }

    /// Shows the end of what a step said, and leaves the whole of it beside the report.
    fn show(&self, name: &str, step: &Step) {
        let lines = step.stderr.lines().collect::<Vec<_>>();
        for line in &lines[lines.len().saturating_sub(SHOWN)..] {
            println!("{name} stderr: {}", line.escape_debug().take(WIDTH).collect::<String>());
        }
        self.keep(name, step);
    }

    /// Leaves all that a step said beside the report.
    fn keep(&self, name: &str, step: &Step) {
        for (text, kind) in [(&step.stdout, "stdout"), (&step.stderr, "stderr")] {
            let file = self.directory.join(format!("{}.{kind}", name.replace(' ', "-")));
            if let Err(error) = fs::write(&file, text) {
                println!("cannot write {}: {error}", file.display());
            }
        }
        println!("{name}: all of it is in {}", self.directory.display());
    }

    fn fail(&mut self, what: &str, why: &str) {
        self.good = false;
        println!("failed {what}: {}", why.escape_debug());
    }
}
