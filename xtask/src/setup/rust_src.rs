//! The source of `core`, which has no prebuilt form for BPF.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use super::apt::Archive;
use super::{Toolchain, say};
use crate::workspace::Workspace;

/// How long rustup may take before the distribution is asked instead.
const RUSTUP_SECONDS: &str = "120";

/// The suites where a distribution keeps compilers newer than its own release.
const SUITES: [&str; 4] = ["stable-backports", "testing", "unstable", "oldstable-backports"];

/// The distribution's name for the package.
const PACKAGE: &str = "rust-src";

/// Makes sure of the source of `toolchain`'s `core`, through rustup or else from the distribution.
pub(super) fn ensure(shell: &Shell, workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let (component, unpacked) = (component(toolchain), unpacked(workspace, toolchain));
    if has_core(&component) || has_core(&unpacked) {
        return Ok(());
    }
    say(&format!("adding the source of Rust {} through rustup", toolchain.version));
    let add = cmd!(shell, "timeout {RUSTUP_SECONDS} rustup component add rust-src");
    let added = add.quiet().ignore_stdout().ignore_stderr().run();
    if added.is_ok() && has_core(&component) {
        return Ok(());
    }
    say("rustup does not add it here: turning to the distribution");
    from_distribution(workspace, toolchain, &unpacked)
}

/// Where cargo must be told to look, because the compiler does not have the source itself.
pub(super) fn elsewhere(workspace: &Workspace, toolchain: &Toolchain) -> Option<PathBuf> {
    (!has_core(&component(toolchain))).then(|| unpacked(workspace, toolchain))
}

/// Where rustup puts the source.
fn component(toolchain: &Toolchain) -> PathBuf {
    toolchain.sysroot.join("lib/rustlib/src/rust/library")
}

/// Where the distribution's package ends up; the build script of `diag-cli` looks there too.
fn unpacked(workspace: &Workspace, toolchain: &Toolchain) -> PathBuf {
    workspace.tools().join(format!("rust-src-{}", toolchain.version))
}

fn has_core(library: &Path) -> bool {
    library.join("core/Cargo.toml").is_file()
}

/// Unpacks the library part of the distribution's package of the same version into `into`.
fn from_distribution(workspace: &Workspace, toolchain: &Toolchain, into: &Path) -> Result<()> {
    let version = &toolchain.version;
    let tools = workspace.tools();
    fs::create_dir_all(&tools)?;
    let scratch = tempfile::tempdir_in(&tools)?;
    for suite in SUITES {
        say(&format!("looking for the package {PACKAGE} {version} in {suite}"));
        let archive = Archive::open(&scratch.path().join(suite), suite)?;
        let Some(candidate) = archive.versions(PACKAGE)?.into_iter().find(|it| is_release(it, version))
        else {
            continue;
        };
        say(&format!("unpacking {PACKAGE} {candidate} under target/tools"));
        let root = archive.unpack(PACKAGE, &candidate)?;
        let library = root.join(format!("usr/src/rustc-{version}/library"));
        if !has_core(&library) {
            bail!("the package {PACKAGE} {candidate} has no source of core in it");
        }
        return fs::rename(&library, into).with_context(|| format!("cannot move it to {}", into.display()));
    }
    bail!("neither rustup nor the suites {} have the source of Rust {version}", SUITES.join(", "))
}

/// Whether a package version such as `1.95.0+dfsg1-2` is of the upstream `release`.
fn is_release(package: &str, release: &str) -> bool {
    package.strip_prefix(release).is_some_and(|rest| rest.starts_with(['+', '-', '~']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_versions_are_matched_to_the_release() {
        assert!(is_release("1.95.0+dfsg1-2~bpo13+1", "1.95.0"));
        assert!(is_release("1.95.0-1", "1.95.0"));
        assert!(!is_release("1.95.01-1", "1.95.0"));
        assert!(!is_release("1.96.1+dfsg1-1", "1.95.0"));
    }
}
