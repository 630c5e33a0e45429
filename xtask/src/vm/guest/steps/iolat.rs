//! The runs of `osdiag iolat`.

use std::fs;
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};

use crate::report::{Step, step};
use crate::tool::Tool;

use super::{SELF, around, place, read_truth};

/// Makes one of the tool's steps.
pub(super) fn run(tool: &str, name: &str) -> Result<Step> {
    match name {
        step::CGROUP => cgroup(tool, name),
        _ => around(tool, name, &["files", &place("command")?]),
    }
}

/// The cgroup to trace, and the one beside it.
const TARGET: &str = "/sys/fs/cgroup/target";
const NEIGHBOUR: &str = "/sys/fs/cgroup/neighbour";

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
