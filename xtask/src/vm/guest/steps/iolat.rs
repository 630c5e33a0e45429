//! The runs of `osdiag iolat`.

use std::fs;
use std::process::{Child, Command};

use anyhow::{Context, Result, bail, ensure};

use crate::init::MOUNT;
use crate::report::{Step, step};
use crate::tool::Tool;

use super::{SELF, read_truth, remove};

/// Makes one of the tool's steps.
pub(super) fn run(tool: &str, name: &str) -> Result<Step> {
    match name {
        step::SCHEMA => super::schema(tool),
        step::COMMAND => trace_command(tool, name, &[]),
        step::RAW => trace_command(tool, name, &[("OSDIAG_HOOKS", "raw")]),
        step::CGROUP => cgroup(tool, name),
        _ => bail!("there is no such step"),
    }
}

/// The cgroup to trace, and the one beside it.
const TARGET: &str = "/sys/fs/cgroup/target";
const NEIGHBOUR: &str = "/sys/fs/cgroup/neighbour";

/// `osdiag iolat --json -- workload`: all that the workload does must be in the summary.
fn trace_command(tool: &str, name: &str, environment: &[(&str, &str)]) -> Result<Step> {
    let truth = "/run/truth";
    remove(truth)?;
    let arguments = [tool, "--json", "--", SELF, "files", &place("command")?, truth];
    let mut step = Tool::start(&arguments, environment)?.finish(tool, name)?;
    step.truth = read_truth(truth).unwrap_or_default();
    Ok(step)
}

/// `osdiag iolat --json --cgroup TARGET`, with a neighbour as busy as the target.
fn cgroup(tool: &str, name: &str) -> Result<Step> {
    fs::create_dir_all(TARGET)?;
    fs::create_dir_all(NEIGHBOUR)?;
    let mut running = Tool::start(&[tool, "--json", "-i", "500ms", "--cgroup", TARGET], &[])?;
    if !running.wait_for_record()? {
        return running.finish(tool, name);
    }
    let target = start_workload("target", "/run/target-truth", TARGET)?;
    let neighbour = start_workload("neighbour", "/run/neighbour-truth", NEIGHBOUR)?;
    for mut child in [target, neighbour] {
        ensure!(child.wait()?.success(), "the workload failed");
    }
    running.interrupt()?;
    let mut step = running.finish(tool, name)?;
    step.truth = read_truth("/run/target-truth")?;
    Ok(step)
}

fn start_workload(name: &str, truth: &str, cgroup: &str) -> Result<Child> {
    Command::new(SELF)
        .args(["files", &place(name)?, truth, cgroup])
        .spawn()
        .with_context(|| format!("cannot start the workload {name}"))
}

/// A directory of the disk for one workload.
fn place(name: &str) -> Result<String> {
    let path = format!("{MOUNT}/{name}");
    fs::create_dir_all(&path)?;
    Ok(path)
}
