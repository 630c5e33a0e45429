//! The test `house`: every tool has its four rooms, all under one name.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::say;
use crate::workspace::Workspace;

/// What sets an object apart that is the twin of another for some kernels: a tool has none in its name.
const TWIN: char = '-';

/// Says each room that a tool lacks; whether none does.
pub(super) fn check(workspace: &Workspace) -> Result<bool> {
    let missing: Vec<_> = tools(workspace)?
        .iter()
        .flat_map(|stem| rooms(stem))
        .filter(|room| !workspace.root().join(room).exists())
        .collect();
    for room in &missing {
        say(&format!("house: {} is missing", room.display()));
    }
    Ok(missing.is_empty())
}

/// The names of the tools.
pub(super) fn tools(workspace: &Workspace) -> Result<Vec<String>> {
    let manifest = workspace.ebpf().join("Cargo.toml");
    let text =
        fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    stems(&text)
}

/// The names of the tools: the objects that the kernel side is built into, without the twins.
fn stems(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().context("cannot read the kernel side's manifest")?;
    let bins = manifest.get("bin").and_then(toml::Value::as_array);
    let names = bins.into_iter().flatten().filter_map(|bin| bin.get("name")?.as_str());
    Ok(names.filter(|name| !name.contains(TWIN)).map(str::to_owned).collect())
}

/// Where a tool lives besides its object.
fn rooms(stem: &str) -> [PathBuf; 3] {
    [
        format!("diag-common/src/{stem}.rs"),
        format!("diag-cli/src/tools/{stem}"),
        format!("docs/tools/{stem}.md"),
    ]
    .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_are_not_tools() {
        let manifest =
            "[[bin]]\nname = \"iolat\"\n[[bin]]\nname = \"iolat-hash\"\n[[bin]]\nname = \"runq\"\n";
        assert_eq!(stems(manifest).unwrap(), ["iolat", "runq"]);
    }
}
