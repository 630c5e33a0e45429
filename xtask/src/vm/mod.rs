//! `cargo xtask test vm`: osdiag on other kernels, each in a virtual machine.
//!
//! The kernels are the distribution's own, unpacked under `target/vm` and never installed. A guest boots one of them
//! with an initramfs that holds osdiag and one program of ours (`guest/`), which runs osdiag around a known workload
//! and reports; another program of ours (`check/`) judges the report.
//!
//! `cargo xtask test truth` boots the same guests to make faults (`guest/faults/`), of which `truth.rs` prints the table.
//! `cargo xtask test load` boots kernels of many more series, and only loads what osdiag has for them.

use std::env;
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use xshell::cmd;

use crate::build;
use crate::test::Outcome;
use crate::workspace::Workspace;

mod console;
mod disk;
mod image;
mod kernel;
mod load;
mod machine;
mod modules;
mod programs;
mod series;
mod truth;

use kernel::Kernel;
use machine::{Machine, Purpose};
use series::{For, Series};

/// Boots each kernel and counts the steps made on it.
pub(crate) fn run(workspace: &Workspace, kernels: &[String]) -> Result<Outcome> {
    on_each(workspace, kernels, For::Everything, |bench, series| {
        let mut total = Outcome::default();
        series.iter().for_each(|series| total += bench.test(series));
        total
    })
}

/// Boots each kernel once for each hierarchy of cgroups, makes faults on it, and prints the table of what osdiag said.
pub(crate) fn truth(workspace: &Workspace, kernels: &[String]) -> Result<Outcome> {
    on_each(workspace, kernels, For::Everything, truth::run)
}

/// Boots each kernel to load every tool on it, and prints the table of what was loaded.
pub(crate) fn load(workspace: &Workspace, kernels: &[String]) -> Result<Outcome> {
    on_each(workspace, kernels, For::Loading, load::run)
}

fn on_each(
    workspace: &Workspace,
    kernels: &[String],
    what: For,
    test: impl FnOnce(&Bench, &[&'static Series]) -> Outcome,
) -> Result<Outcome> {
    let series = series::chosen(kernels, what)?;
    match Machine::ready(&workspace.shell()?) {
        Ok(machine) => Ok(test(&Bench::set_up(workspace, machine)?, &series)),
        Err(error) => {
            say(format!("SKIPPED: {error:#}"));
            Ok(Outcome { skipped: series.len(), ..Outcome::default() })
        }
    }
}

/// Names a static binary to test instead of one that is built first.
const BINARY: &str = "OSDIAG_BIN";

/// What every kernel's guest shares.
struct Bench {
    directory: PathBuf,
    machine: Machine,
    osdiag: PathBuf,
    guest: PathBuf,
    check: PathBuf,
    disk: PathBuf,
}

impl Bench {
    fn set_up(workspace: &Workspace, machine: Machine) -> Result<Self> {
        let directory = workspace.target().join("vm");
        Ok(Self {
            machine,
            osdiag: match env::var_os(BINARY) {
                Some(osdiag) => osdiag.into(),
                None => build::release(workspace)?,
            },
            guest: programs::guest(workspace)?,
            check: programs::check(workspace)?,
            disk: disk::ensure(&workspace.shell()?, &directory)?,
            directory,
        })
    }

    /// One kernel, from its package to the verdict.
    fn test(&self, series: &Series) -> Outcome {
        let name = series.name;
        let kernel = match kernel::ensure(&self.directory, series) {
            Ok(kernel) => kernel,
            Err(error) => {
                say(format!("{name}: SKIPPED: {error:#}"));
                return Outcome::SKIPPED;
            }
        };
        let start = Instant::now();
        let (outcome, troubles) =
            self.boot(name, &kernel).unwrap_or_else(|error| (Outcome::FAILED, vec![format!("{error:#}")]));
        let verdict = if outcome.failed == 0 { "ok" } else { "FAILED" };
        say(format!(
            "{name}: {verdict}: {}: {outcome}, {:.0} s",
            kernel.release,
            start.elapsed().as_secs_f64()
        ));
        for trouble in troubles {
            say(format!("{name}:   {trouble}"));
        }
        outcome
    }

    /// Runs the guest; the answer is the count of its steps, and what was wrong, a line each.
    fn boot(&self, name: &str, kernel: &Kernel) -> Result<(Outcome, Vec<String>)> {
        let Heard { lines, complaints } = self.guest(name, kernel, Purpose::Steps)?;
        let mut outcome = Outcome::default();
        let mut troubles = Vec::new();
        for line in lines {
            if line.starts_with("ok ") {
                outcome += Outcome::PASSED;
            } else {
                if line.starts_with("failed ") {
                    outcome += Outcome::FAILED;
                }
                troubles.push(line);
            }
        }
        if !complaints.is_empty() {
            outcome += Outcome::FAILED;
            troubles.extend(complaints);
        }
        Ok((outcome, troubles))
    }

    /// Runs a guest in a directory of this name, and the judge of its report.
    fn guest(&self, name: &str, kernel: &Kernel, purpose: Purpose) -> Result<Heard> {
        let run = self.directory.join("runs").join(name);
        if run.exists() {
            fs::remove_dir_all(&run)?;
        }
        fs::create_dir_all(&run)?;
        let modules = match purpose {
            Purpose::Loading => Vec::new(),
            Purpose::Steps | Purpose::Faults(_) => {
                modules::collect(kernel, matches!(purpose, Purpose::Faults(_)))?
            }
        };
        let initramfs = run.join("initramfs");
        image::write(&initramfs, &self.guest, &self.osdiag, &modules)?;
        let end = self.machine.run(&kernel.image, &initramfs, &self.disk, purpose, &run)?;
        let (check, report, release) = (&self.check, &end.report, &kernel.release);
        let word = purpose.word();
        let shell = xshell::Shell::new()?;
        let lines = cmd!(shell, "{check} {report} {release} {word...}").quiet().ignore_status().read();
        let lines = lines.context("cannot run the judge of reports")?;
        Ok(Heard {
            lines: lines.lines().map(str::to_owned).collect(),
            complaints: console::complaints(&end.console, end.stopped),
        })
    }
}

/// What came of a guest.
struct Heard {
    /// What its judge printed.
    lines: Vec<String>,
    /// What its kernel complained of.
    complaints: Vec<String>,
}

/// Says how the virtual machines go on.
fn say(progress: impl Display) {
    eprintln!("vm: {progress}");
}
