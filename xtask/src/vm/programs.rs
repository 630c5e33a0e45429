//! Our own programs around the guest, built when they are needed.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::cmd;

use crate::workspace::{Workspace, cargo};

/// Builds what runs inside: static, since an initramfs has no libraries.
pub(super) fn guest(workspace: &Workspace) -> Result<PathBuf> {
    build(workspace, "vm-guest", &["--", "-C", "target-feature=+crt-static", "-C", "strip=symbols"])
}

/// Builds what judges the report.
pub(super) fn check(workspace: &Workspace) -> Result<PathBuf> {
    build(workspace, "vm-check", &[])
}

fn build(workspace: &Workspace, name: &str, flags: &[&str]) -> Result<PathBuf> {
    let shell = workspace.shell()?;
    let (cargo, target) = (cargo(), workspace.target());
    cmd!(shell, "{cargo} rustc --quiet --package xtask --example {name} --target-dir {target} {flags...}")
        .quiet()
        .run()
        .with_context(|| format!("{name} does not build"))?;
    Ok(target.join("debug/examples").join(name))
}
