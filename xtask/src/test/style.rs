//! The part `style`: formatting, lints and the rules of this house, one test each.

use std::process::Command;

use anyhow::{Context, Result};

use super::{Outcome, arch, docs, house, say, skip};
use crate::workspace::{Workspace, cargo};
use crate::{cross, schema, setup};

/// What the kernel side is built for.
const BPF_TARGET: &str = "bpfel-unknown-none";

/// Runs every check, also after one has failed.
pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    let mut total = Outcome::default();
    let user = workspace.root();
    let kernel = workspace.ebpf();
    total += check("fmt", Command::new(cargo()).current_dir(user).args(["fmt", "--all", "--check"]))?;
    let lint = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    total += check("clippy", Command::new(cargo()).current_dir(user).args(lint))?;
    if kernel.join("src/bin").is_dir() {
        total += check("fmt-ebpf", Command::new(cargo()).current_dir(&kernel).args(["fmt", "--check"]))?;
        total += check("clippy-ebpf", &mut clippy_ebpf(workspace)?)?;
        total += verdict("arm64", cross::compiles(workspace)?);
    } else {
        total += skip("fmt-ebpf, clippy-ebpf, arm64", "there is no kernel side");
    }
    total += verdict("house", house::check(workspace)?);
    total += verdict("arch", arch::check(workspace)?);
    total += verdict("docs", docs::check(workspace)?);
    total += verdict("schema", schemas(workspace)?);
    Ok(total)
}

/// Whether the committed schemas are what osdiag prints.
fn schemas(workspace: &Workspace) -> Result<bool> {
    let stale = schema::stale(workspace)?;
    for file in &stale {
        say(&format!(
            "schema: {} is not what osdiag prints: `cargo xtask schema` refreshes it",
            file.display()
        ));
    }
    Ok(stale.is_empty())
}

/// Clippy for the kernel side, which needs a `core` of its own and a compiler that takes unstable flags.
fn clippy_ebpf(workspace: &Workspace) -> Result<Command> {
    let mut clippy = Command::new(cargo());
    clippy
        .current_dir(workspace.ebpf())
        .args(["clippy", "--quiet", "--lib", "--bins", "--target", BPF_TARGET, "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(workspace.target().join("ebpf-check"))
        .args(["--", "-D", "warnings"])
        .env("RUSTC_BOOTSTRAP", "1")
        .envs(setup::source_of_core(workspace)?.map(|source| ("__CARGO_TESTS_ONLY_SRC_ROOT", source)));
    Ok(clippy)
}

/// Runs a command whose exit status is the answer.
fn check(name: &str, command: &mut Command) -> Result<Outcome> {
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    Ok(verdict(name, status.success()))
}

fn verdict(name: &str, holds: bool) -> Outcome {
    say(&format!("{name}: {}", if holds { "ok" } else { "FAILED" }));
    if holds { Outcome::PASSED } else { Outcome::FAILED }
}
