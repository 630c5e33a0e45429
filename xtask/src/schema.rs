//! The schemas of all records, as they are committed: the debug binary prints them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::setup;
use crate::workspace::{Workspace, cargo};

/// Where they are committed.
const DIRECTORY: &str = "docs/schema";

/// Writes them, and removes what is no schema any more.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    setup::ensure(workspace)?;
    let directory = workspace.root().join(DIRECTORY);
    let (printed, committed) = (printed(workspace)?, committed(&directory)?);
    fs::create_dir_all(&directory)?;
    for file in committed.keys().filter(|file| !printed.contains_key(*file)) {
        fs::remove_file(directory.join(file))?;
    }
    for (file, text) in printed.iter().filter(|(file, text)| committed.get(*file) != Some(text)) {
        fs::write(directory.join(file), text)?;
        println!("{}", Path::new(DIRECTORY).join(file).display());
    }
    Ok(())
}

/// The committed files that are not what osdiag prints, and those that are missing.
pub(crate) fn stale(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let printed = printed(workspace)?;
    let committed = committed(&workspace.root().join(DIRECTORY))?;
    Ok(differing(&printed, &committed).map(|file| Path::new(DIRECTORY).join(file)).collect())
}

fn differing<'a>(
    printed: &'a BTreeMap<String, String>,
    committed: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a String> {
    let changed = printed.iter().filter(|(file, text)| committed.get(*file) != Some(text));
    let left = committed.keys().filter(|file| !printed.contains_key(*file));
    changed.map(|(file, _)| file).chain(left)
}

/// What osdiag prints, by the name of the file.
fn printed(workspace: &Workspace) -> Result<BTreeMap<String, String>> {
    let shell = workspace.shell()?;
    let (cargo, target) = (cargo(), workspace.target());
    let build = cmd!(shell, "{cargo} build --quiet --package diag-cli --bin osdiag --target-dir {target}");
    build.quiet().run().context("osdiag does not build")?;
    let osdiag = target.join("debug/osdiag");
    let list = cmd!(shell, "{osdiag} schema").quiet().read()?;
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    names.map(|name| Ok((format!("{name}.json"), one(&shell, &osdiag, name)?))).collect()
}

fn one(shell: &Shell, osdiag: &Path, name: &str) -> Result<String> {
    Ok(cmd!(shell, "{osdiag} schema {name}").quiet().read()? + "\n")
}

/// What is committed, by the name of the file; nothing where there is no such directory.
fn committed(directory: &Path) -> Result<BTreeMap<String, String>> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, fs::read_to_string(entry.path())?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_missing_or_left_over_is_stale() {
        let map = |list: &[(&str, &str)]| {
            list.iter().map(|&(file, text)| (file.to_owned(), text.to_owned())).collect::<BTreeMap<_, _>>()
        };
        let printed = map(&[("hung.json", "{}"), ("iolat.json", "{1}"), ("runq.json", "{}")]);
        let committed = map(&[("gone.json", "{}"), ("hung.json", "{}"), ("iolat.json", "{}")]);
        let stale: Vec<_> = differing(&printed, &committed).collect();
        assert_eq!(stale, ["iolat.json", "runq.json", "gone.json"]);
    }
}
