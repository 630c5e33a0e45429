//! Judges what a guest reported: `vm-check REPORT RELEASE` prints `ok STEP` or `failed STEP: why`, and what is behind
//! a failure in lines of their own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

mod record;
#[path = "../report.rs"]
mod report;

use record::Judge;
use report::{Report, Step, step};

/// The steps that a whole report has.
const STEPS: [&str; 4] = [step::SCHEMA, step::COMMAND, step::RAW, step::CGROUP];

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
    let [path, release] = arguments else { bail!("usage: vm-check REPORT RELEASE") };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let reports = text.lines().map(serde_json::from_str).collect::<Result<Vec<Report>, _>>();
    let reports = reports.context("the report is cut short or broken")?;
    ensure!(!reports.is_empty(), "the guest reported nothing");
    let directory = Path::new(path).parent().context("the report is in no directory")?.to_owned();
    let mut verdict = Verdict { good: true, heard: Vec::new(), schema: None, directory };
    for report in &reports {
        verdict.hear(report, release);
    }
    let unheard =
        STEPS.iter().filter(|step| verdict.heard.iter().all(|heard| heard != *step)).collect::<Vec<_>>();
    for step in unheard {
        verdict.good = false;
        println!("failed {step}: it did not run");
    }
    Ok(verdict.good)
}

/// The judgement so far.
struct Verdict {
    good: bool,
    heard: Vec<String>,
    schema: Option<Value>,
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
            Report::Booted { .. } | Report::Done => {}
        }
    }

    fn judge(&mut self, step: &Step, release: &str) {
        self.heard.push(step.name.clone());
        match self.check(step, release) {
            Ok(()) => println!("ok {} ({} ms)", step.name, step.elapsed_ms),
            Err(error) => {
                self.fail(&step.name, &format!("{error:#}"));
                self.show(step);
            }
        }
    }

    fn check(&mut self, step: &Step, release: &str) -> Result<()> {
        ensure!(step.status == Some(0), "osdiag ended with {:?} after {} ms", step.status, step.elapsed_ms);
        if step.name == step::SCHEMA {
            let schema = serde_json::from_str(&step.stdout).context("the schema is not JSON")?;
            jsonschema::meta::validate(&schema)
                .map_err(|error| anyhow::anyhow!("no JSON Schema: {error}"))?;
            self.schema = Some(schema);
            return Ok(());
        }
        let schema = self.schema.as_ref().context("there is no schema to validate against")?;
        Judge::new(schema, release)?.step(step)
    }

    /// Shows the end of what a step said, and leaves the whole of it beside the report.
    fn show(&self, step: &Step) {
        let lines = step.stderr.lines().collect::<Vec<_>>();
        for line in &lines[lines.len().saturating_sub(SHOWN)..] {
            println!("{} stderr: {}", step.name, line.escape_debug().take(WIDTH).collect::<String>());
        }
        for (text, kind) in [(&step.stdout, "stdout"), (&step.stderr, "stderr")] {
            let file = self.directory.join(format!("{}.{kind}", step.name.replace(' ', "-")));
            if let Err(error) = fs::write(&file, text) {
                println!("cannot write {}: {error}", file.display());
            }
        }
        println!("{}: all of it is in {}", step.name, self.directory.display());
    }

    fn fail(&mut self, what: &str, why: &str) {
        self.good = false;
        println!("failed {what}: {}", why.escape_debug());
    }
}
