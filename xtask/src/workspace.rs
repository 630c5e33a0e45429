//! Where things lie in this workspace.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The workspace that this xtask belongs to.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace around this package, wherever it was checked out.
    pub(crate) fn find() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR").context("run me as `cargo xtask`")?;
        let root = Path::new(&package).parent().context("xtask has no workspace around it")?;
        Ok(Self { root: root.to_owned() })
    }

    /// The directory that holds the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}
