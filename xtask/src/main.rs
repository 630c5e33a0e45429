//! Builds, runs and tests osdiag: `cargo xtask --help` lists what there is.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod cross;
mod privilege;
mod schema;
mod setup;
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
    /// Make sure of what the build needs; the other tasks do this by themselves
    Setup,
    /// Build target/release/osdiag, one static binary
    Build,
    /// Build target/arm64/osdiag, the same for arm64 machines
    BuildArm64,
    /// Build osdiag and run it as root
    Run {
        /// What osdiag is given, word for word
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Check formatting, lints, units, the command line and the running kernel
    Test {
        /// Only these parts (default: style, unit, cli and live)
        parts: Vec<test::Part>,
        /// Of the parts vm, truth and load, only these kernels, each by the start of its version such as 6.1 (default: all)
        #[arg(long = "kernel", value_name = "VERSION")]
        kernels: Vec<String>,
    },
    /// Measure what tools cost; needs root and a quiet machine
    Bench {
        /// Only these tools, such as iolat (default: all)
        tools: Vec<String>,
    },
    /// Write the schemas of all records to docs/schema
    Schema,
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    let done = Workspace::find().and_then(|workspace| match task {
        Task::Setup => setup::all(&workspace).map(|()| ExitCode::SUCCESS),
        Task::Build => build::release(&workspace).map(|_| ExitCode::SUCCESS),
        Task::BuildArm64 => {
            setup::ensure(&workspace).and_then(|()| cross::build(&workspace)).map(|_| ExitCode::SUCCESS)
        }
        Task::Run { arguments } => build::run(&workspace, &arguments).map(|()| ExitCode::SUCCESS),
        Task::Test { parts, kernels } => test::run(&workspace, &parts, &kernels),
        Task::Bench { tools } => bench::run(&workspace, &tools),
        Task::Schema => schema::write(&workspace).map(|()| ExitCode::SUCCESS),
    });
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
