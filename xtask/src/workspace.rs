//! Where things lie in this workspace.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::Shell;

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

    /// Everything that is made and may be deleted.
    pub(crate) fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// What set-up fetched or built: `diag-cli/build.rs` looks for it here too.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target().join("tools")
    }

    /// The package of the kernel side, a workspace of its own.
    pub(crate) fn ebpf(&self) -> PathBuf {
        self.root.join("diag-ebpf")
    }

    /// The static release binary, once it is built.
    pub(crate) fn osdiag(&self) -> PathBuf {
        self.target().join("release/osdiag")
    }

    /// A shell that starts in the workspace's root.
    pub(crate) fn shell(&self) -> Result<Shell> {
        let shell = Shell::new()?;
        shell.change_dir(&self.root);
        Ok(shell)
    }
}

/// The cargo that runs this xtask.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
