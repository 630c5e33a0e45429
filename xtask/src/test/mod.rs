//! `cargo xtask test`: runs the parts asked for, then says how many tests passed, failed and were skipped.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;

use crate::workspace::Workspace;
use crate::{setup, vm};

mod house;
mod live;
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
    /// osdiag on the running kernel, as root
    Live,
    /// osdiag on other kernels, each in a virtual machine
    Vm,
}

impl Part {
    /// What runs when nothing is asked for.
    const DEFAULT: &[Self] = &[Self::Style, Self::Unit, Self::Cli, Self::Live];

    fn name(self) -> &'static str {
        match self {
            Self::Style => "style",
            Self::Unit => "unit",
            Self::Cli => "cli",
            Self::Live => "live",
            Self::Vm => "vm",
        }
    }

    fn run(self, workspace: &Workspace, kernels: &[String]) -> Result<Outcome> {
        match self {
            Self::Style => style::run(workspace),
            Self::Unit => suite::unit(workspace),
            Self::Cli => suite::cli(workspace),
            Self::Live => live::run(workspace),
            Self::Vm => vm::run(workspace, kernels),
        }
    }
}

/// Runs `parts`, or the default ones, and prints a table of them with the totals as its last line.
pub(crate) fn run(workspace: &Workspace, parts: &[Part], kernels: &[String]) -> Result<ExitCode> {
    setup::ensure(workspace)?;
    let parts = if parts.is_empty() { Part::DEFAULT } else { parts };
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
        table.push(format!("{name:<6} {:>5.0} s  {outcome}", start.elapsed().as_secs_f64()));
        total += outcome;
    }
    println!("\n{}\n{total}", table.join("\n"));
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
