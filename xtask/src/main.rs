//! Builds, runs and tests osdiag: `cargo xtask --help` lists what there is.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod test;
mod vm;
mod workspace;

use workspace::Workspace;

/// Builds, runs and tests osdiag.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check formatting, lints, units, the command line and the running kernel
    Test {
        /// Only these parts (default: all but vm)
        parts: Vec<test::Part>,
    },
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    let done = Workspace::find().and_then(|workspace| match task {
        Task::Test { parts } => test::run(&workspace, &parts),
    });
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
