//! The BPF linker, which must be built on the same LLVM as the compiler.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

use super::{Toolchain, apt, say};
use crate::workspace::{Workspace, cargo};

/// The release of bpf-linker that osdiag is built with.
const VERSION: &str = "0.13.0";

/// Makes sure of a bpf-linker for `toolchain` under `target/tools`.
pub(super) fn ensure(shell: &Shell, workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let tools = workspace.tools();
    let linker = tools.join("bin/bpf-linker");
    if is_fit(shell, &linker, toolchain) {
        return Ok(());
    }
    let prefix = llvm(shell, toolchain)?;
    build(shell, &tools, &prefix, toolchain)?;
    if !is_fit(shell, &linker, toolchain) {
        bail!("the bpf-linker just built is not {VERSION} on LLVM {}", toolchain.llvm);
    }
    Ok(())
}

/// Whether `linker` runs, is of the right release and links to the right LLVM.
fn is_fit(shell: &Shell, linker: &Path, toolchain: &Toolchain) -> bool {
    let library = format!("libLLVM.so.{}.", toolchain.llvm);
    fs::read(linker).is_ok_and(|file| contains(&file, library.as_bytes()))
        && cmd!(shell, "{linker} --version")
            .quiet()
            .ignore_stderr()
            .read()
            .is_ok_and(|said| said.split_whitespace().any(|word| word == VERSION))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The prefix of an LLVM of the compiler's major version, installed if need be.
fn llvm(shell: &Shell, toolchain: &Toolchain) -> Result<PathBuf> {
    if let Some(prefix) = env::var_os("LLVM_PREFIX") {
        return Ok(prefix.into());
    }
    let llvm = &toolchain.llvm;
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    let there = prefix.join("bin/llvm-config").exists() && prefix.join("lib/libPolly.a").exists();
    let compiles_cpp = cmd!(shell, "c++ --version").quiet().ignore_stdout().ignore_stderr().run().is_ok();
    if !there || !compiles_cpp {
        let (dev, polly) = (format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev"));
        apt::install(shell, &[&dev, &polly, "g++"])?;
    }
    Ok(prefix)
}

/// Builds and installs bpf-linker below `tools`.
fn build(shell: &Shell, tools: &Path, prefix: &Path, toolchain: &Toolchain) -> Result<()> {
    say(&format!("building bpf-linker {VERSION} on LLVM {}", toolchain.llvm));
    let cargo = cargo();
    let feature = format!("llvm-{}", toolchain.llvm);
    let install = cmd!(
        shell,
        "{cargo} install --quiet --locked --force --root {tools} bpf-linker --version {VERSION}
            --no-default-features --features {feature}"
    );
    Ok(install.quiet().env("LLVM_PREFIX", prefix).run()?)
}
