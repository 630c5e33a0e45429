//! Process 1: brings the guest up, runs the steps, reports, and powers off.

use std::env;
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

use crate::faults::{self, Hierarchy};
use crate::report::{Report, fault, load, step};
use crate::{load as loading, steps};

/// The serial line to the host; the first one is the kernel's console.
const CHANNEL: &str = "/dev/ttyS1";

/// What makes a guest run faults rather than steps: the hierarchy of cgroups that it mounts; or load what there is, and
/// no more. The kernel hands it on.
const GUEST: &str = "GUEST";

/// The disk, with an ext4 on it.
const DISK: &str = "/dev/vda";

/// Where the disk is mounted.
pub(crate) const MOUNT: &str = "/mnt";

/// The disk that the host slows down, in guests that run faults, and where it is mounted.
pub(crate) const SLOW_DISK: &str = "/dev/vdb";
pub(crate) const SLOW_MOUNT: &str = "/slow";

/// How much a request of it may have, KiB: the emulator lets the next request pay for a large one, whosever that is.
const SLOW_PARTS: &str = "/sys/block/vdb/queue/max_sectors_kb";

/// A disk that takes few requests at a time, in the same guests; nothing of it is mounted.
pub(crate) const NARROW_DISK: &str = "/dev/vdc";

/// How long the disk may take to appear after its driver was loaded.
const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// What a Linux system has mounted: type, where.
const MOUNTS: [(&CStr, &str); 7] = [
    (c"proc", "/proc"),
    (c"sysfs", "/sys"),
    (c"devtmpfs", "/dev"),
    (c"tmpfs", "/run"),
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
    let guest = env::var(GUEST).ok();
    let mut channel = Channel::open()?;
    let loads = guest.as_deref() == Some(load::GUEST);
    let guest = guest.filter(|_| !loads);
    let up = Hierarchy::mount(guest.as_deref()).and_then(|hierarchy| {
        load_modules()?;
        if loads {
            // Programs have the most to read of a task where it is in both.
            Hierarchy::mount_beside()?;
        } else {
            bring_up(DISK, MOUNT)?;
        }
        if guest.is_some() {
            bring_up(SLOW_DISK, SLOW_MOUNT)?;
            fs::write(SLOW_PARTS, "64").with_context(|| format!("cannot write {SLOW_PARTS}"))?;
        }
        Ok(hierarchy)
    });
    let hierarchy = match up {
        Ok(hierarchy) => hierarchy,
        Err(error) => {
            return channel.send(&Report::Broken { step: "boot".to_owned(), why: format!("{error:#}") });
        }
    };
    channel.send(&Report::Booted { kernel: uname().release().to_string_lossy().into_owned() })?;
    match guest {
        Some(guest) => {
            for made in fault::of(&guest) {
                for trial in faults::run(&hierarchy, &made) {
                    channel.send(&Report::Trial(trial))?;
                }
            }
        }
        None if loads => load_all(&mut channel)?,
        None => steps(&mut channel)?,
    }
    channel.send(&Report::Done)
}

fn steps(channel: &mut Channel) -> Result<()> {
    for (tool, steps) in step::ALL {
        for name in *steps {
            channel.send(&match steps::run(tool, name) {
                Ok(step) => Report::Step(step),
                Err(error) => Report::Broken { step: format!("{tool} {name}"), why: format!("{error:#}") },
            })?;
        }
    }
    Ok(())
}

fn load_all(channel: &mut Channel) -> Result<()> {
    channel.send(&Report::Tracepoints(loading::tracepoints()?))?;
    for (tool, _) in step::ALL {
        for report in loading::run(tool) {
            channel.send(&report)?;
        }
    }
    Ok(())
}

fn attach(source: &CStr, kind: &CStr, target: &str) -> Result<()> {
    fs::create_dir_all(target)?;
    mount(source, target, kind, MountFlags::empty(), None)
        .with_context(|| format!("cannot mount {} at {target}", kind.to_string_lossy()))
}

/// Loads the drivers that the host packed, in their order.
fn load_modules() -> Result<()> {
    let mut modules = fs::read_dir("/modules")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    modules.sort();
    for module in modules {
        finit_module(File::open(&module)?, c"", 0)
            .with_context(|| format!("cannot load {}", module.display()))?;
    }
    Ok(())
}

/// Waits for a disk, and mounts the ext4 on it; without the kernel thread that goes on making it, which writes.
pub(crate) fn bring_up(disk: &str, target: &str) -> Result<()> {
    let deadline = Instant::now() + DISK_PATIENCE;
    while !Path::new(disk).exists() {
        if Instant::now() > deadline {
            bail!("{disk} did not appear within {DISK_PATIENCE:?}");
        }
        sleep(Duration::from_millis(20));
    }
    fs::create_dir_all(target)?;
    mount(disk, target, c"ext4", MountFlags::empty(), Some(c"noinit_itable"))
        .with_context(|| format!("cannot mount {disk}"))
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
