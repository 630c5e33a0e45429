//! `cargo xtask bench`: what tools cost, measured by those live tests that only measure.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::build;
use crate::test::{Outcome, live, tools};
use crate::workspace::Workspace;

/// Measures these tools, or all; prints what was measured, and a table of which tool took how long at the end.
pub(crate) fn run(workspace: &Workspace, wanted: &[String]) -> Result<ExitCode> {
    let known = tools(workspace)?;
    if let Some(unknown) = wanted.iter().find(|tool| !known.contains(tool)) {
        bail!("no tool {unknown}: expected one of {}", known.join(", "));
    }
    let osdiag = build::release(workspace)?;
    if let Some(why) = live::obstacle(&osdiag)? {
        bail!("cannot measure here: {why}");
    }
    let mut total = Outcome::default();
    let mut table = Vec::new();
    for tool in known.iter().filter(|tool| wanted.is_empty() || wanted.contains(tool)) {
        let start = Instant::now();
        // As fast as what is measured.
        let outcome =
            live::tests(workspace, &osdiag, "bench", Some(&format!("bench_{tool}_")), &["--release"])?;
        table.push(format!("{tool:<8} {:>5.0} s  {outcome}", start.elapsed().as_secs_f64()));
        total += outcome;
    }
    println!("\n{}\n{total}", table.join("\n"));
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
