//! osdiag for arm64, built on another machine: the standard library from its source, linker and C library from the distribution.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use object::Endianness;
use object::elf::{EM_AARCH64, EM_BPF, FileHeader64};
use object::read::elf::FileHeader;
use xshell::{Cmd, Shell, cmd};

use crate::build::{asks_for_a_loader, publish};
use crate::setup::{self, apt};
use crate::workspace::{Workspace, cargo};

/// What is built for.
const TRIPLE: &str = "aarch64-unknown-linux-gnu";
/// A global that no object for another architecture has (`diag-ebpf/src/arch/aarch64.rs`).
const GLOBAL: &[u8] = b"REGS_SYSCALLNO";
/// How an ELF file begins.
const MAGIC: &[u8] = b"\x7fELF";

/// The linker and the packages that have it and a C library, and what runs the result.
const LINKER: (&str, &[&str]) =
    ("aarch64-linux-gnu-gcc", &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]);
const RUNNER: (&str, &[&str]) = ("qemu-aarch64-static", &["qemu-user-static"]);

/// Whether the user side compiles, and the kernel side builds, for arm64. Needs no linker.
pub(crate) fn compiles(workspace: &Workspace) -> Result<bool> {
    let shell = workspace.shell()?;
    let checked = command(&shell, workspace, "check", &["--quiet"])?.run();
    Ok(checked.is_ok())
}

/// Builds one static binary, `target/arm64/osdiag`, with objects for arm64 kernels inside.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let shell = workspace.shell()?;
    ensure_there(&shell, LINKER)?;
    command(&shell, workspace, "build", &["--release"])?
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER.0)
        .run()
        .context("osdiag does not build for arm64")?;
    let built = directory(workspace).join(TRIPLE).join("release/osdiag");
    ensure!(!asks_for_a_loader(&built)?, "{} is not static: it asks for a dynamic loader", built.display());
    let file = fs::read(&built)?;
    ensure!(machine(&file) == Some(EM_AARCH64), "{} is not for arm64", built.display());
    let objects = objects(&file);
    ensure!(!objects.is_empty(), "{} has no eBPF object inside", built.display());
    ensure!(
        objects.iter().any(|object| object.windows(GLOBAL.len()).any(|bytes| bytes == GLOBAL)),
        "the eBPF objects in {} are not for arm64",
        built.display()
    );
    let osdiag = directory(workspace).join("osdiag");
    publish(&built, &osdiag)?;
    Ok(osdiag)
}

/// What it prints under emulation.
pub(crate) fn printed(workspace: &Workspace, osdiag: &Path, arguments: &[&str]) -> Result<String> {
    let shell = workspace.shell()?;
    ensure_there(&shell, RUNNER)?;
    let runner = RUNNER.0;
    Ok(cmd!(shell, "{runner} {osdiag} {arguments...}").quiet().read()?)
}

/// Cargo for arm64. A separate directory, since crates are built anew whenever RUSTC_BOOTSTRAP comes or goes.
fn command<'a>(shell: &'a Shell, workspace: &Workspace, task: &str, arguments: &[&str]) -> Result<Cmd<'a>> {
    let (cargo, target) = (cargo(), directory(workspace));
    let command = cmd!(
        shell,
        "{cargo} {task} {arguments...} --package diag-cli --bin osdiag --target {TRIPLE} --target-dir {target}
            -Z build-std=std,panic_abort"
    );
    Ok(command
        .quiet()
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("RUSTC_BOOTSTRAP", "1")
        .envs(setup::source_of_core(workspace)?.map(|source| ("__CARGO_TESTS_ONLY_SRC_ROOT", source))))
}

fn directory(workspace: &Workspace) -> PathBuf {
    workspace.target().join("arm64")
}

fn ensure_there(shell: &Shell, (program, packages): (&str, &[&str])) -> Result<()> {
    let is_there =
        || cmd!(shell, "{program} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok();
    if !is_there() {
        apt::install(shell, packages)?;
        ensure!(is_there(), "{} bring no {program}", packages.join(" and "));
    }
    Ok(())
}

fn machine(elf: &[u8]) -> Option<u16> {
    let header = FileHeader64::<Endianness>::parse(elf).ok()?;
    Some(header.e_machine(header.endian().ok()?))
}

/// The eBPF objects in a file, each with all that follows up to the next one.
fn objects(file: &[u8]) -> Vec<&[u8]> {
    let starts = file.windows(MAGIC.len()).enumerate().filter(|(_, bytes)| *bytes == MAGIC).map(|(at, _)| at);
    let starts: Vec<usize> = starts.filter(|&at| machine(&file[at..]) == Some(EM_BPF)).collect();
    let ends = starts.iter().skip(1).copied().chain([file.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &file[start..end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_has_no_objects_and_is_for_this_machine() {
        let file = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(machine(&file).is_some_and(|machine| machine != EM_BPF) && objects(&file).is_empty());
    }
}
