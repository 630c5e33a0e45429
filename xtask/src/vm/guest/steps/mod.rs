//! The runs of osdiag that the guest makes.

mod iolat;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::report::{Step, Truth, step};
use crate::tool::Tool;

/// This program, by the name that the kernel started it under.
const SELF: &str = "/init";

/// Makes one step with a tool.
pub(crate) fn run(tool: &str, name: &str) -> Result<Step> {
    match tool {
        "iolat" => iolat::run(tool, name),
        _ => bail!("there are no steps for it"),
    }
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
