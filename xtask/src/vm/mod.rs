//! `cargo xtask test vm`: osdiag on other kernels, each in a virtual machine.
//!
//! The kernels are the distribution's own, unpacked under `target/vm` and never installed. A guest boots one of them
//! with an initramfs that holds osdiag and one program of ours (`guest/`), which runs osdiag around a known workload
//! and reports; another program of ours (`check/`) judges the report.

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
mod machine;
mod modules;
mod programs;

use kernel::{Kernel, Series};
use machine::Machine;

/// Boots each kernel and counts the steps made on it.
pub(crate) fn run(workspace: &Workspace, kernels: &[String]) -> Result<Outcome> {
    let series = kernel::chosen(kernels)?;
    let machine = match Machine::ready(&workspace.shell()?) {
        Ok(machine) => machine,
        Err(error) => {
            say(format!("SKIPPED: {error:#}"));
            return Ok(Outcome { skipped: series.len(), ..Outcome::default() });
        }
    };
    let bench = Bench::set_up(workspace, machine)?;
    let mut total = Outcome::default();
    for series in series {
        total += bench.test(series);
    }
    Ok(total)
}

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
            osdiag: build::release(workspace)?,
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
        let run = self.directory.join("runs").join(name);
        if run.exists() {
            fs::remove_dir_all(&run)?;
        }
        fs::create_dir_all(&run)?;
        let modules = modules::collect(kernel)?;
        let initramfs = run.join("initramfs");
        image::write(&initramfs, &self.guest, &self.osdiag, &modules)?;
        let end = self.machine.run(&kernel.image, &initramfs, &self.disk, &run)?;
        let (mut outcome, mut troubles) = self.judge(&end.report, &kernel.release)?;
        let complaints = console::complaints(&end.console, end.stopped);
        if !complaints.is_empty() {
            outcome += Outcome::FAILED;
            troubles.extend(complaints);
        }
        Ok((outcome, troubles))
    }

    fn judge(&self, report: &PathBuf, release: &str) -> Result<(Outcome, Vec<String>)> {
        let check = &self.check;
        let shell = xshell::Shell::new()?;
        let lines = cmd!(shell, "{check} {report} {release}").quiet().ignore_status().read();
        let lines = lines.context("cannot run the judge of reports")?;
        let mut outcome = Outcome::default();
        let mut troubles = Vec::new();
        for line in lines.lines() {
            if line.starts_with("ok ") {
                outcome += Outcome::PASSED;
            } else {
                if line.starts_with("failed ") {
                    outcome += Outcome::FAILED;
                }
                troubles.push(line.to_owned());
            }
        }
        Ok((outcome, troubles))
    }
}

/// Says how the virtual machines go on.
fn say(progress: impl Display) {
    eprintln!("vm: {progress}");
}
