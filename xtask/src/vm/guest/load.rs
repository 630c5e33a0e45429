//! Runs of each tool that are about nothing but what the kernel takes: every program is loaded and attached, and every
//! field is looked up.

use std::fs;

use anyhow::{Context, Result};

use crate::report::{Report, Step, load, step};
use crate::steps::RAW_HOOKS;
use crate::tool::Tool;

/// What this kernel itself says that it has.
const TRACEPOINTS: &str = "/sys/kernel/tracing/available_events";

/// The tracepoints that there are, by their names alone.
pub(crate) fn tracepoints() -> Result<Vec<String>> {
    let text = fs::read_to_string(TRACEPOINTS).with_context(|| format!("cannot read {TRACEPOINTS}"))?;
    Ok(text.lines().filter_map(|line| Some(line.split_once(':')?.1.to_owned())).collect())
}

/// The runs of a tool with the hooks that osdiag prefers, by their targets.
const PREFERRED: [(&str, &[&str]); 2] =
    [(load::PREFERRED, &[]), (load::CGROUP, &["--cgroup", "/sys/fs/cgroup"])];

/// All runs of a tool: the last is with raw hooks, unless osdiag prefers these.
pub(crate) fn run(tool: &str) -> Vec<Report> {
    let mut runs: Vec<_> =
        PREFERRED.iter().map(|(name, target)| (*name, once(tool, name, target, &[]))).collect();
    let prefers_raw =
        |(_, step): &(&str, Result<Step>)| step.as_ref().is_ok_and(|it| load::is_raw(&it.stderr));
    if !runs.iter().any(prefers_raw) {
        runs.push((step::RAW, once(tool, step::RAW, &[], RAW_HOOKS)));
    }
    let report = |(name, step): (&str, Result<Step>)| match step {
        Ok(step) => Report::Step(step),
        Err(error) => Report::Broken { step: format!("{tool} {name}"), why: format!("{error:#}") },
    };
    runs.into_iter().map(report).collect()
}

fn once(tool: &str, name: &str, target: &[&str], environment: &[(&str, &str)]) -> Result<Step> {
    let arguments = [&[tool, "--json", "--no-hdr", "-v", "-d", "300ms"], target].concat();
    Tool::start(&arguments, environment)?.finish(tool, name)
}
