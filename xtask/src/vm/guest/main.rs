//! The one program of the guest: process 1, and the workload that process 1 runs under osdiag.

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

mod faults;
mod init;
mod load;
#[path = "../report.rs"]
mod report;
mod steps;
mod tool;
mod workload;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::run();
    }
    match command(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("workload: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(arguments: &[String]) -> Result<()> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["files", directory, truth] => workload::files::run(directory.as_ref(), truth.as_ref()),
        ["files", directory, truth, cgroup] => {
            workload::join(cgroup.as_ref())?;
            workload::files::run(directory.as_ref(), truth.as_ref())
        }
        ["job", name, cpu, cgroups, what, file] => {
            workload::job::run(name, cpu, cgroups, what, file.as_ref())
        }
        ["hogs", truth] => workload::hogs::run(truth.as_ref()),
        ["napper", truth] => workload::napper::run(truth.as_ref()),
        ["appenders", directory, truth] => workload::appenders::run(directory.as_ref(), truth.as_ref()),
        _ => bail!(
            "usage: files DIRECTORY TRUTH [CGROUP] | hogs TRUTH | napper TRUTH | appenders DIRECTORY TRUTH | job NAME CPU CGROUPS WHAT FILE"
        ),
    }
}
