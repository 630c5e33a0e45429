//! The compiler that the workspace is pinned to.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// What the other steps must match.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Toolchain {
    /// The release, `1.95.0`.
    pub(super) version: String,
    /// The major version of the LLVM inside, `22`.
    pub(super) llvm: String,
    /// Where the compiler keeps its libraries, and its source where that is installed.
    pub(super) sysroot: PathBuf,
}

impl Toolchain {
    /// Asks the compiler that cargo uses in `shell`'s directory.
    pub(super) fn active(shell: &Shell) -> Result<Self> {
        let verbose = cmd!(shell, "rustc -vV").quiet().read()?;
        let sysroot = cmd!(shell, "rustc --print sysroot").quiet().read()?;
        Self::parse(&verbose, sysroot.into()).context("`rustc -vV` names no release or no LLVM version")
    }

    fn parse(verbose: &str, sysroot: PathBuf) -> Option<Self> {
        let field = |name| verbose.lines().find_map(|line| line.strip_prefix(name));
        let version = field("release: ")?.to_owned();
        let (llvm, _) = field("LLVM version: ")?.split_once('.')?;
        Some(Self { version, llvm: llvm.to_owned(), sysroot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_rustc_says() {
        let verbose = "rustc 1.95.0 (59807616e 2026-04-14)\nhost: x86_64-unknown-linux-gnu\n\
                       release: 1.95.0\nLLVM version: 22.1.2\n";
        let toolchain = Toolchain::parse(verbose, "/usr".into()).unwrap();
        assert_eq!((toolchain.version.as_str(), toolchain.llvm.as_str()), ("1.95.0", "22"));
    }

    #[test]
    fn a_compiler_without_llvm_is_refused() {
        assert_eq!(Toolchain::parse("release: 1.95.0\n", "/usr".into()), None);
    }
}
