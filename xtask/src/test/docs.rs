//! The test `docs`: what pages link to, and the files of this repository that they name, are there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::say;
use crate::workspace::Workspace;

/// Directories of this repository whose files pages name by their whole path.
const ROOMS: [&str; 5] = ["diag-cli/", "diag-common/", "diag-ebpf/", "xtask/", "docs/"];
/// Words in a path that stand for others.
const PLACEHOLDERS: [&str; 6] = ["STEM", "NAME", "TOOL", "*", "<", "…"];

/// Says each path that leads nowhere; whether none does.
pub(super) fn check(workspace: &Workspace) -> Result<bool> {
    let root = workspace.root();
    let mut pages = Vec::new();
    find(root, &mut pages)?;
    find(&root.join("docs"), &mut pages)?;
    find(&root.join("docs/tools"), &mut pages)?;
    let mut holds = true;
    for page in pages {
        let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
        let folder = page.parent().unwrap_or(root);
        let shown = page.strip_prefix(root).unwrap_or(&page).display();
        for (number, line) in (1..).zip(text.lines()) {
            let links = links(line).map(|link| (link, folder.join(link)));
            let paths = paths(line).map(|path| (path, root.join(path)));
            for (what, _) in links.chain(paths).filter(|(_, path)| !path.exists()) {
                say(&format!("docs: {shown}:{number}: {what} is not there"));
                holds = false;
            }
        }
    }
    Ok(holds)
}

fn find(folder: &Path, pages: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(())
}

/// The files that a line links to, relative to its page.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let files = targets.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|file| !file.is_empty() && !file.contains(':'))
}

/// The paths from the repository's root that a line names.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| c.is_whitespace() || "`'\"(),;=".contains(c));
    let paths = words.filter(|word| ROOMS.iter().any(|room| word.starts_with(room)));
    let paths = paths.map(|word| word.trim_end_matches(['.', ':', ']']));
    // `file.rs:79`, `page.md#part`
    let paths = paths.map(|path| path.split([':', '#']).next().unwrap_or(path));
    paths.filter(|path| !PLACEHOLDERS.iter().any(|placeholder| path.contains(placeholder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_files() {
        let line =
            "see [this](docs/a.md#part), [that](https://example.org/b.md), [there](#here) and [x](../c)";
        assert_eq!(links(line).collect::<Vec<_>>(), ["docs/a.md", "../c"]);
    }

    #[test]
    fn paths_are_those_of_this_repository() {
        let line = "`diag-cli/src/main.rs:12`, docs/tools/STEM.md, kernel/sched/core.c (xtask/src/vm/). diag-ebpf/x.rs:";
        assert_eq!(
            paths(line).collect::<Vec<_>>(),
            ["diag-cli/src/main.rs", "xtask/src/vm/", "diag-ebpf/x.rs"]
        );
    }
}
