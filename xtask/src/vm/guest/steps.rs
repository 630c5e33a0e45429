//! The runs of osdiag that the guest makes.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};

use crate::init::MOUNT;
use crate::report::{Step, Truth, step};
use crate::tool::Tool;

/// What makes a step, given its name.
type Run = fn(&str) -> Result<Step>;

/// Every step, in its order.
pub(crate) const ALL: [(&str, Run); 4] =
    [(step::SCHEMA, schema), (step::COMMAND, command), (step::RAW, raw), (step::CGROUP, cgroup)];

/// This program, by the name that the kernel started it under.
const SELF: &str = "/init";

/// The cgroup to trace, and the one beside it.
const TARGET: &str = "/sys/fs/cgroup/target";
const NEIGHBOUR: &str = "/sys/fs/cgroup/neighbour";

fn schema(name: &str) -> Result<Step> {
    Tool::start(&["schema", "iolat"], &[])?.finish(name)
}

fn command(name: &str) -> Result<Step> {
    trace_command(name, &[])
}

fn raw(name: &str) -> Result<Step> {
    trace_command(name, &[("OSDIAG_HOOKS", "raw")])
}

/// `osdiag iolat --json -- workload`: all that the workload does must be in the summary.
fn trace_command(name: &str, environment: &[(&str, &str)]) -> Result<Step> {
    let truth = "/run/truth";
    remove(truth)?;
    let arguments = ["iolat", "--json", "--", SELF, "workload", &place("command")?, truth];
    let mut step = Tool::start(&arguments, environment)?.finish(name)?;
    step.truth = read_truth(truth).unwrap_or_default();
    Ok(step)
}

/// `osdiag iolat --json --cgroup TARGET`, with a neighbour as busy as the target.
fn cgroup(name: &str) -> Result<Step> {
    fs::create_dir_all(TARGET)?;
    fs::create_dir_all(NEIGHBOUR)?;
    let mut tool = Tool::start(&["iolat", "--json", "-i", "500ms", "--cgroup", TARGET], &[])?;
    if !tool.wait_for_record()? {
        return tool.finish(name);
    }
    let target = start_workload("target", "/run/target-truth", TARGET)?;
    let neighbour = start_workload("neighbour", "/run/neighbour-truth", NEIGHBOUR)?;
    for mut child in [target, neighbour] {
        ensure!(child.wait()?.success(), "the workload failed");
    }
    tool.interrupt()?;
    let mut step = tool.finish(name)?;
    step.truth = read_truth("/run/target-truth")?;
    Ok(step)
}

fn start_workload(name: &str, truth: &str, cgroup: &str) -> Result<Child> {
    Command::new(SELF)
        .args(["workload", &place(name)?, truth, cgroup])
        .spawn()
        .with_context(|| format!("cannot start the workload {name}"))
}

/// A directory of the disk for one workload.
fn place(name: &str) -> Result<String> {
    let path = format!("{MOUNT}/{name}");
    fs::create_dir_all(&path)?;
    Ok(path)
}

fn remove(path: &str) -> Result<()> {
    if Path::new(path).exists() {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn read_truth(path: &str) -> Result<Vec<Truth>> {
    let text = fs::read(path).with_context(|| format!("the workload left no {path}"))?;
    Ok(serde_json::from_slice(&text)?)
}
