//! The test `arch`: what is for one architecture alone stands in the modules of that name.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::say;
use crate::workspace::Workspace;

/// Where the crates' sources are.
const SOURCES: [&str; 3] = ["diag-cli/src", "diag-common/src", "diag-ebpf/src"];

/// Says each line elsewhere that asks for the machine's architecture; whether there is none.
pub(super) fn check(workspace: &Workspace) -> Result<bool> {
    let mut holds = true;
    for source in SOURCES {
        let mut files = Vec::new();
        find(&workspace.root().join(source), &mut files)?;
        for file in files {
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            for (number, _) in (1..).zip(text.lines()).filter(|(_, line)| asks(line)) {
                let shown = file.strip_prefix(workspace.root()).unwrap_or(&file).display();
                say(&format!("arch: {shown}:{number}: only the modules `arch` ask for an architecture"));
                holds = false;
            }
        }
    }
    Ok(holds)
}

/// Whether a line asks which machine it is compiled for. Whether it is for BPF is another question.
fn asks(line: &str) -> bool {
    line.contains("target_arch") && !line.contains("target_arch = \"bpf\"")
}

/// All sources below a directory but those of `arch`.
fn find(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("arch") {
            find(&path, files)?;
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_asked_for_and_bpf_is_not_one() {
        assert!(asks("#[cfg(target_arch = \"x86_64\")]"));
        assert!(asks("#[cfg(not(bpf_target_arch = \"aarch64\"))]"));
        assert!(!asks("#![cfg_attr(target_arch = \"bpf\", feature(asm_experimental_arch))]"));
    }
}
