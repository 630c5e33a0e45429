//! The virtual machine: QEMU, emulating, so that it runs wherever the tests do.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use crate::setup::apt;

/// What the guests' kernels, and so osdiag in them, are built for.
const ARCH: &str = "x86_64";

const QEMU: &str = "qemu-system-x86_64";

/// The package that holds it.
const PACKAGE: &str = "qemu-system-x86";

/// How long a guest may run.
const PATIENCE: Duration = Duration::from_secs(1200);

/// What each guest is made of. One host thread emulates all CPUs, since the emulator otherwise races with a kernel that
/// patches its own code, as attaching probes does; `cx16` is off, since QEMU 7.2 gets its flags wrong.
const HARDWARE: [&str; 15] = [
    "-accel",
    "tcg,thread=single",
    "-cpu",
    "max,-cx16",
    "-smp",
    "2",
    "-m",
    "1024",
    "-nic",
    "none",
    "-display",
    "none",
    "-monitor",
    "none",
    "-no-reboot",
];

/// What each guest's kernel is told. Without `cx16`, newer kernels have no memory for task storage unless the caches
/// that it comes from are checked ones.
const COMMAND_LINE: &str = "console=ttyS0 panic=-1 loglevel=5 slub_debug=F,kmalloc-*";

/// Tells the guest what it is for (`guest/init.rs`).
const GUEST: &str = "GUEST";

/// A disk: its name, what the emulator is told of what is behind it, and of its device.
type Disk = (&'static str, &'static str, &'static str);

/// As fast as it gets.
const FAST: Disk = ("fast", "", "");
/// Guests that run faults have a second disk, which is slow: each request takes 10 ms, and a MiB some 120 ms.
const SLOW: Disk = ("slow", ",throttling.iops-total=100,throttling.bps-total=8388608", "");
/// And a third, which also has no more than four requests at a time: the kernel keeps the others.
const NARROW: Disk = ("narrow", SLOW.1, ",queue-size=4,num-queues=1");

/// Variables of this name reach osdiag in the guest: a kernel hands what it does not know to process 1.
const PASSED_ON: &str = "OSDIAG_";

/// What a guest is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Running osdiag around workloads.
    Steps,
    /// Making faults, with this hierarchy of cgroups.
    Faults(&'static str),
    /// Loading all that osdiag has.
    Loading,
}

impl Purpose {
    /// What the guest and the judge of its report are told.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::Steps => None,
            Self::Faults(hierarchy) => Some(hierarchy),
            Self::Loading => Some("load"),
        }
    }
}

/// An emulator that can be run.
pub(super) struct Machine(());

/// What a guest left.
pub(super) struct End {
    /// All that its kernel printed.
    pub(super) console: String,
    /// The file with its report.
    pub(super) report: PathBuf,
    /// Whether it had to be stopped.
    pub(super) stopped: bool,
}

impl Machine {
    /// Makes sure of the emulator.
    pub(super) fn ready(shell: &Shell) -> Result<Self> {
        ensure!(env::consts::ARCH == ARCH, "the guests are for {ARCH}, not for {}", env::consts::ARCH);
        if !is_there() {
            apt::install(shell, &[PACKAGE])?;
            ensure!(is_there(), "the package {PACKAGE} brings no {QEMU}");
        }
        Ok(Self(()))
    }

    /// Boots a kernel and waits for its guest to power off; files go to the directory `run`. A guest for faults has another
    /// disk, which is slow.
    pub(super) fn run(
        &self,
        kernel: &Path,
        initramfs: &Path,
        disk: &Path,
        purpose: Purpose,
        run: &Path,
    ) -> Result<End> {
        let console = run.join("console");
        let report = run.join("report");
        let mut guest = Command::new(QEMU);
        guest.args(HARDWARE).arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
        let told = purpose.word().map(|word| format!(" {GUEST}={word}")).unwrap_or_default();
        guest.arg("-append").arg(command_line(env::vars()) + &told);
        for line in [&console, &report] {
            guest.arg("-serial").arg(format!("file:{}", line.display()));
        }
        guest.args(drive(disk, FAST));
        if let Purpose::Faults(_) = purpose {
            guest.args(drive(disk, SLOW)).args(drive(disk, NARROW));
        }
        // The snapshot is a temporary file.
        guest.env("TMPDIR", run).stdin(Stdio::null());
        let guest = guest.spawn().with_context(|| format!("cannot run {QEMU}"))?;
        let stopped = !wait(guest)?;
        let console = String::from_utf8_lossy(&fs::read(console)?).into_owned();
        Ok(End { console, report, stopped })
    }
}

/// What makes a disk. They are named in the order of their devices.
fn drive(image: &Path, (name, throttle, device): Disk) -> [String; 4] {
    let image = image.display();
    let drive = format!("if=none,id={name},file={image},format=raw,cache=unsafe,snapshot=on{throttle}");
    ["-drive".to_owned(), drive, "-device".to_owned(), format!("virtio-blk-pci,drive={name}{device}")]
}

fn command_line(variables: impl Iterator<Item = (String, String)>) -> String {
    let passed_on = variables.filter(|(name, _)| name.starts_with(PASSED_ON));
    passed_on.fold(COMMAND_LINE.to_owned(), |line, (name, value)| line + &format!(" {name}=\"{value}\""))
}

fn is_there() -> bool {
    Command::new(QEMU).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Waits for the guest's end; false if it had to be stopped.
fn wait(mut guest: Child) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = guest.try_wait()? {
            ensure!(status.success(), "{QEMU} failed: {status}");
            return Ok(true);
        }
        sleep(Duration::from_millis(50));
    }
    guest.kill()?;
    guest.wait()?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_osdiag_are_passed_on() {
        let variables = [("HOME", "/root"), ("OSDIAG_HOOKS", "raw")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(command_line(variables.into_iter()), format!("{COMMAND_LINE} OSDIAG_HOOKS=\"raw\""));
    }
}
