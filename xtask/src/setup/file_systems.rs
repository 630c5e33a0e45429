//! The tools of file systems that live tests make.

use anyhow::Result;
use xshell::{Shell, cmd};

use super::{apt, say};

/// A program that makes a file system, and the package that has it.
const TOOLS: [(&str, &str); 3] =
    [("mkfs.ext4", "e2fsprogs"), ("mkfs.xfs", "xfsprogs"), ("mkfs.btrfs", "btrfs-progs")];

/// Installs what is missing. Where that cannot be done, the tests that need it say so: the others run all the same.
pub(super) fn ensure(shell: &Shell) {
    let is_there = |program: &str| {
        // They are where only root looks.
        let path = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";
        let script = format!("PATH=$PATH:{path}; command -v {program}");
        cmd!(shell, "sh -c {script}").quiet().ignore_stdout().ignore_stderr().run().is_ok()
    };
    let missing = TOOLS.iter().filter(|(program, _)| !is_there(program));
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return;
    }
    let installed: Result<()> = apt::install(shell, &packages);
    if let Err(error) = installed {
        say(&format!("tests of their file systems will be skipped: {error:#}"));
    }
}
