//! The runs of osdiag that the guest makes.

pub(crate) mod hung;
mod iolat;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::init::MOUNT;
use crate::report::{Step, Truth, step};
use crate::tool::Tool;

/// This program, by the name that the kernel started it under.
pub(crate) const SELF: &str = "/init";

/// Makes one step with a tool.
pub(crate) fn run(tool: &str, name: &str) -> Result<Step> {
    match tool {
        "iolat" => iolat::run(tool, name),
        "delays" => match name {
            step::SCHEMA => schema(tool),
            _ => traced(
                tool,
                name,
                &["--by", "comm"],
                if name == step::RAW { RAW_HOOKS } else { &[] },
                &["hogs"],
            ),
        },
        "runq" => around(tool, name, &["hogs"]),
        "lock" => around(tool, name, &["appenders", &place("append")?]),
        "hung" => hung::run(tool, name),
        "vmexit" => around(tool, name, &["napper"]),
        _ => bail!("there are no steps for it"),
    }
}

/// The steps of a tool that has none of its own: its schema, and its record of a workload.
fn around(tool: &str, name: &str, workload: &[&str]) -> Result<Step> {
    match name {
        step::SCHEMA => schema(tool),
        step::COMMAND => trace(tool, name, &[], workload),
        step::RAW => trace(tool, name, RAW_HOOKS, workload),
        _ => bail!("there is no such step"),
    }
}

/// What makes osdiag use the hooks that need no BTF.
pub(crate) const RAW_HOOKS: &[(&str, &str)] = &[("OSDIAG_HOOKS", "raw")];

/// `osdiag TOOL --json -v -- workload`, and what the workload knows of itself.
fn trace(tool: &str, name: &str, environment: &[(&str, &str)], workload: &[&str]) -> Result<Step> {
    traced(tool, name, &[], environment, workload)
}

/// The same with further flags.
fn traced(
    tool: &str,
    name: &str,
    flags: &[&str],
    environment: &[(&str, &str)],
    workload: &[&str],
) -> Result<Step> {
    let truth = "/run/truth";
    remove(truth)?;
    let arguments = [&[tool, "--json", "-v"], flags, &["--", SELF], workload, &[truth]].concat();
    let mut step = Tool::start(&arguments, environment)?.finish(tool, name)?;
    step.truth = read_truth(truth).unwrap_or_default();
    Ok(step)
}

/// A directory of the disk for one workload.
fn place(name: &str) -> Result<String> {
    let path = format!("{MOUNT}/{name}");
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// `osdiag schema TOOL`
fn schema(tool: &str) -> Result<Step> {
    Tool::start(&["schema", tool], &[])?.finish(tool, step::SCHEMA)
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
