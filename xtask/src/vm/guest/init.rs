//! Process 1: brings the guest up, runs the steps, reports, and powers off.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot, uname};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

use crate::report::{Report, step};
use crate::steps;

/// The serial line to the host; the first one is the kernel's console.
const CHANNEL: &str = "/dev/ttyS1";

/// The disk, with an ext4 on it.
const DISK: &str = "/dev/vda";

/// Where the disk is mounted.
pub(crate) const MOUNT: &str = "/mnt";

/// How long the disk may take to appear after its driver was loaded.
const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// What a Linux system has mounted: type, where.
const MOUNTS: [(&CStr, &str); 8] = [
    (c"proc", "/proc"),
    (c"sysfs", "/sys"),
    (c"devtmpfs", "/dev"),
    (c"tmpfs", "/run"),
    (c"cgroup2", "/sys/fs/cgroup"),
    (c"bpf", "/sys/fs/bpf"),
    (c"tracefs", "/sys/kernel/tracing"),
    (c"debugfs", "/sys/kernel/debug"),
];

/// Does it all; comes back only if the machine refuses to power off.
pub(crate) fn run() {
    if let Err(error) = up_and_report() {
        eprintln!("init: {error:#}");
    }
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        eprintln!("init: cannot power off: {error}");
    }
}

fn up_and_report() -> Result<()> {
    for (kind, target) in MOUNTS {
        attach(kind, kind, target)?;
    }
    let mut channel = Channel::open()?;
    if let Err(error) = bring_up_disk() {
        return channel.send(&Report::Broken { step: "boot".to_owned(), why: format!("{error:#}") });
    }
    channel.send(&Report::Booted { kernel: uname().release().to_string_lossy().into_owned() })?;
    for (tool, steps) in step::ALL {
        for name in *steps {
            channel.send(&match steps::run(tool, name) {
                Ok(step) => Report::Step(step),
                Err(error) => Report::Broken { step: format!("{tool} {name}"), why: format!("{error:#}") },
            })?;
        }
    }
    channel.send(&Report::Done)
}

fn attach(source: &CStr, kind: &CStr, target: &str) -> Result<()> {
    fs::create_dir_all(target)?;
    mount(source, target, kind, MountFlags::empty(), None)
        .with_context(|| format!("cannot mount {} at {target}", kind.to_string_lossy()))
}

/// Loads the drivers that the host packed, in their order, and mounts the disk.
fn bring_up_disk() -> Result<()> {
    let mut modules = fs::read_dir("/modules")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    modules.sort();
    for module in modules {
        finit_module(File::open(&module)?, c"", 0)
            .with_context(|| format!("cannot load {}", module.display()))?;
    }
    let deadline = Instant::now() + DISK_PATIENCE;
    while !Path::new(DISK).exists() {
        if Instant::now() > deadline {
            bail!("{DISK} did not appear within {DISK_PATIENCE:?}");
        }
        sleep(Duration::from_millis(20));
    }
    fs::create_dir_all(MOUNT)?;
    mount(DISK, MOUNT, c"ext4", MountFlags::empty(), None).with_context(|| format!("cannot mount {DISK}"))
}

/// The serial line, raw, so that bytes arrive as they were sent.
struct Channel(File);

impl Channel {
    fn open() -> Result<Self> {
        let line = OpenOptions::new().write(true).open(CHANNEL).with_context(|| format!("no {CHANNEL}"))?;
        let mut settings = tcgetattr(&line)?;
        settings.make_raw();
        tcsetattr(&line, OptionalActions::Now, &settings)?;
        Ok(Self(line))
    }

    fn send(&mut self, report: &Report) -> Result<()> {
        let mut line = serde_json::to_vec(report)?;
        line.push(b'\n');
        self.0.write_all(&line)?;
        Ok(tcdrain(&self.0)?)
    }
}
