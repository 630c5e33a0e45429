//! What osdiag looks at: known work, with a truth of its own.

mod aio;
pub(crate) mod appenders;
mod crowd;
pub(crate) mod files;
pub(crate) mod hogs;
pub(crate) mod job;
mod memory;
pub(crate) mod napper;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Moves this process into a cgroup.
pub(crate) fn join(cgroup: &Path) -> Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0").with_context(|| format!("cannot join {}", cgroup.display()))
}

/// How much memory can be had, in bytes.
pub(crate) fn available() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: u64 =
        line.and_then(|line| line.split_whitespace().next()).context("no MemAvailable")?.parse()?;
    Ok(kib << 10)
}
