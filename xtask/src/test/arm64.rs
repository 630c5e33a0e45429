//! The part `arm64`: osdiag built for arm64, and as far as it runs under emulation, which traces nothing.

use std::fs;

use anyhow::{Context, Result};

use super::{Outcome, say};
use crate::cross;
use crate::workspace::Workspace;

/// Builds it, and compares what it prints with what is committed.
pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    let osdiag = cross::build(workspace)?;
    let mut total = Outcome::PASSED;
    total += verdict("version", cross::printed(workspace, &osdiag, &["--version"])?.starts_with("osdiag "));
    for entry in fs::read_dir(workspace.root().join("docs/schema"))? {
        let path = entry?.path();
        let tool = path.file_stem().and_then(|stem| stem.to_str()).context("a schema without a name")?;
        let printed = cross::printed(workspace, &osdiag, &["schema", tool])?;
        total += verdict(tool, printed.trim_end() == fs::read_to_string(&path)?.trim_end());
    }
    Ok(total)
}

fn verdict(name: &str, holds: bool) -> Outcome {
    say(&format!("arm64: {name}: {}", if holds { "ok" } else { "FAILED" }));
    if holds { Outcome::PASSED } else { Outcome::FAILED }
}
