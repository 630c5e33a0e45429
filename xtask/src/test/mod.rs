//! `cargo xtask test`: runs the parts asked for, then says how many tests passed, failed and were skipped.

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use crate::vm;
use crate::workspace::Workspace;

mod outcome;

pub(crate) use outcome::Outcome;

/// A part of the tests that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// osdiag on other kernels, each in a virtual machine
    Vm,
}

impl Part {
    /// What runs when nothing is asked for.
    const DEFAULT: &[Self] = &[];

    fn run(self, workspace: &Workspace) -> Result<Outcome> {
        match self {
            Self::Vm => vm::run(workspace),
        }
    }
}

/// Runs `parts`, or the default ones, and prints the totals.
pub(crate) fn run(workspace: &Workspace, parts: &[Part]) -> Result<ExitCode> {
    let parts = if parts.is_empty() { Part::DEFAULT } else { parts };
    let mut total = Outcome::default();
    for part in parts {
        total += part.run(workspace)?;
    }
    println!("{total}");
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
