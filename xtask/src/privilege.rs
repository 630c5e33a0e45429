//! Root, or the way to it.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// Whether this process is root already.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether root can be had without asking anyone for a password.
pub(crate) fn is_at_hand() -> bool {
    is_root()
        || Command::new("sudo")
            .args(["-n", "true"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// A command that runs `program` as root, through sudo where that is needed.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.arg("--").arg(program);
    sudo
}
