//! `cargo xtask setup`: makes sure of what the build needs beyond cargo, and says each step that it takes.
//!
//! Whatever is fetched or built lands under `target/tools`; only LLVM's development package is installed into the
//! system, and no configuration is changed.

use std::path::PathBuf;

use anyhow::Result;

use crate::workspace::Workspace;

pub(crate) mod apt;
mod file_systems;
mod linker;
mod rust_src;
mod toolchain;

use toolchain::Toolchain;

/// Brings everything in place that is not there yet.
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
    let shell = workspace.shell()?;
    let toolchain = Toolchain::active(&shell)?;
    rust_src::ensure(&shell, workspace, &toolchain)?;
    linker::ensure(&shell, workspace, &toolchain)
}

/// The same, and what only tests need.
pub(crate) fn all(workspace: &Workspace) -> Result<()> {
    ensure(workspace)?;
    file_systems(workspace)
}

/// Brings the tools of the file systems that live tests make, where it can.
pub(crate) fn file_systems(workspace: &Workspace) -> Result<()> {
    file_systems::ensure(&workspace.shell()?);
    Ok(())
}

/// Where cargo must be told to look for the source of `core`, if not at the compiler's own place.
pub(crate) fn source_of_core(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let toolchain = Toolchain::active(&workspace.shell()?)?;
    Ok(rust_src::elsewhere(workspace, &toolchain))
}

/// Says a step that takes time or changes something.
pub(crate) fn say(step: &str) {
    eprintln!("setup: {step}");
}
