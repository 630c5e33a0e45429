//! `cargo xtask test`: runs the parts asked for, then says how many tests passed, failed and were skipped.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;

use crate::workspace::Workspace;
use crate::{setup, vm};

mod arch;
mod arm64;
mod docs;
mod house;
mod known;
pub(crate) mod live;
mod outcome;
mod style;
mod suite;
mod targets;

pub(crate) use outcome::Outcome;

/// A part of the tests that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Formatting, lints and the rules of this house
    Style,
    /// What needs neither the binary nor a kernel
    Unit,
    /// The command line: usage, errors, output
    Cli,
    /// osdiag on the running kernel, as root: one test for each cause, and what is quick
    Live,
    /// The rest of the live tests, which take long
    Long,
    /// osdiag on other kernels, each in a virtual machine
    Vm,
    /// Faults on the same kernels, with cgroups of both versions: the table of what osdiag names
    Truth,
    /// Loading all that osdiag has on many more kernels
    Load,
    /// osdiag for arm64: built, and as far as it runs under emulation
    Arm64,
    /// All of the above
    Full,
    /// Containers of the engines that are installed
    Engines,
    /// Tests that show a known fault: each must fail
    Known,
}

impl Part {
    /// What runs when nothing is asked for.
    const DEFAULT: &[Self] = &[Self::Style, Self::Unit, Self::Cli, Self::Live];
    /// What [`Part::Full`] is.
    const FULL: &[Self] = &[
        Self::Style,
        Self::Unit,
        Self::Cli,
        Self::Live,
        Self::Long,
        Self::Vm,
        Self::Truth,
        Self::Load,
        Self::Arm64,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Style => "style",
            Self::Unit => "unit",
            Self::Cli => "cli",
            Self::Live => "live",
            Self::Long => "long",
            Self::Vm => "vm",
            Self::Truth => "truth",
            Self::Load => "load",
            Self::Arm64 => "arm64",
            Self::Full => "full",
            Self::Engines => "engines",
            Self::Known => "known",
        }
    }

    fn run(self, workspace: &Workspace, kernels: &[String]) -> Result<Outcome> {
        match self {
            Self::Style => style::run(workspace),
            Self::Unit => suite::unit(workspace),
            Self::Cli => suite::cli(workspace),
            Self::Live => live::run(workspace, "short"),
            Self::Long => live::run(workspace, "long"),
            Self::Vm => vm::run(workspace, kernels),
            Self::Truth => vm::truth(workspace, kernels),
            Self::Load => vm::load(workspace, kernels),
            Self::Arm64 => arm64::run(workspace),
            Self::Engines => live::run(workspace, "engines"),
            Self::Known => known::run(workspace),
            Self::Full => unreachable!("it is the parts that it stands for"),
        }
    }
}

/// Runs `parts`, or the default ones, and prints a table of them with the totals as its last line.
pub(crate) fn run(workspace: &Workspace, parts: &[Part], kernels: &[String]) -> Result<ExitCode> {
    setup::ensure(workspace)?;
    let parts = expand(parts);
    if parts.iter().any(|part| matches!(part, Part::Live | Part::Long)) {
        setup::file_systems(workspace)?;
    }
    let mut total = Outcome::default();
    let mut table = Vec::new();
    for part in parts {
        let name = part.name();
        say(&format!("{name} ..."));
        let start = Instant::now();
        let outcome = part.run(workspace, kernels).unwrap_or_else(|error| {
            say(&format!("{name}: FAILED: {error:#}"));
            Outcome::FAILED
        });
        table.push(format!("{name:<8} {:>5.0} s  {outcome}", start.elapsed().as_secs_f64()));
        total += outcome;
    }
    println!("\n{}\n{total}", table.join("\n"));
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The parts to run, each once.
fn expand(asked: &[Part]) -> Vec<Part> {
    let asked = if asked.is_empty() { Part::DEFAULT } else { asked };
    let mut parts: Vec<Part> = Vec::new();
    for part in asked {
        for part in if *part == Part::Full { Part::FULL } else { std::slice::from_ref(part) } {
            if !parts.contains(part) {
                parts.push(*part);
            }
        }
    }
    parts
}

/// The tools that osdiag has.
pub(crate) fn tools(workspace: &Workspace) -> Result<Vec<String>> {
    house::tools(workspace)
}

/// Says how the tests go on.
fn say(progress: &str) {
    eprintln!("test: {progress}");
}

/// Says loudly that something could not run here, and counts it.
fn skip(what: &str, why: &str) -> Outcome {
    say(&format!("{what}: SKIPPED: {why}"));
    Outcome::SKIPPED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_runs_once() {
        assert_eq!(expand(&[]), Part::DEFAULT);
        assert_eq!(expand(&[Part::Vm, Part::Full]).len(), Part::FULL.len());
        assert_eq!(expand(&[Part::Engines]), [Part::Engines]);
    }
}
