//! The programs that faults happen to, and those that make them: each does one thing for some seconds, or until it is done.

use std::ffi::CString;
use std::fs::{File, OpenOptions, Permissions};
use std::hint;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::OFlags;
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_setaffinity, set_name};

use super::{aio, crowd, memory};

/// How long those go on that have no end of their own.
const LASTING: Duration = Duration::from_secs(4);

pub(super) const KIB: usize = 1 << 10;
pub(super) const MIB: usize = 1 << 20;

/// How much of a file is read or written before it begins again.
pub(super) const SPAN: u64 = 8 * MIB as u64;

/// Does `what` on `file` as a process of this name; `-` stands for any CPU, or no cgroup, else several are separated by `:`.
pub(crate) fn run(name: &str, cpu: &str, cgroups: &str, what: &str, file: &Path) -> Result<()> {
    set_name(&CString::new(name)?)?;
    for cgroup in cgroups.split(':').filter(|cgroup| *cgroup != "-") {
        super::join(cgroup.as_ref())?;
    }
    if cpu != "-" {
        pin(cpu.parse()?)?;
    }
    match what {
        "spin" => spin(),
        "spin alone" => {
            let priority = libc::sched_param { sched_priority: 1 };
            // SAFETY: the parameters are read, and no more.
            let refused = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
            ensure!(refused == 0, "no real-time priority");
            spin()
        }
        "cache" => Ok(std::io::copy(&mut File::open(file)?, &mut std::io::sink()).map(drop)?),
        "fill" => fill(file, 12),
        "fill much" => first().and_then(|()| fill(file, 192)),
        "read" => read(file, OFlags::empty(), MIB),
        "read direct" => read(file, OFlags::DIRECT, 4 * KIB),
        "write" => write(file),
        "append little" => append(file, 4 * KIB),
        "append much" => append(file, 2 * MIB),
        "sync" => sync(file),
        "sync scattered" => scattered(file),
        "mkdir" => lasting(|_| {
            // Its server refuses, once it has thought about it.
            std::fs::create_dir(file.join("new")).ok();
            Ok(())
        }),
        "read shared" => crowd::shared(file),
        "read crowd" => crowd::crowd(file),
        "write unaligned" => aio::unaligned(file),
        "read mapped" => memory::mapped(file),
        "read huge" => first().and_then(|()| memory::huge(file)),
        _ => bail!("there is no such job"),
    }
    .with_context(|| format!("{what} {}", file.display()))
}

pub(super) fn lasting(mut work: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < LASTING {
        work(number)?;
        number += 1;
    }
    Ok(())
}

/// Hardly waits for a CPU from now on, in what takes no long time itself.
fn first() -> Result<()> {
    Ok(setpriority_process(None, -20)?)
}

/// Keeps this thread on one CPU.
pub(super) fn pin(cpu: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(cpu);
    Ok(sched_setaffinity(None, &one)?)
}

fn spin() -> Result<()> {
    lasting(|_| {
        (0..10_000).for_each(|_| hint::spin_loop());
        Ok(())
    })
}

/// Grows a file by so many MiB in small steps.
fn fill(file: &Path, mib: u64) -> Result<()> {
    let block = buffer(4 * KIB);
    let file = File::create(file)?;
    (0..mib * MIB as u64 / block.len() as u64)
        .try_for_each(|number| file.write_all_at(block, number * block.len() as u64).map_err(Into::into))
}

fn read(file: &Path, flags: OFlags, bytes: usize) -> Result<()> {
    let block = buffer(bytes);
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(file)?;
    lasting(|number| Ok(file.read_exact_at(block, number * bytes as u64 % SPAN)?))
}

fn write(file: &Path) -> Result<()> {
    let block = buffer(64 * KIB);
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(file)?;
    lasting(|number| Ok(file.write_all_at(block, number * block.len() as u64 % (4 * SPAN))?))
}

/// Past the cache, so that the file's lock is held while the disk writes.
fn append(file: &Path, bytes: usize) -> Result<()> {
    let block = buffer(bytes);
    let direct = OFlags::DIRECT.bits().cast_signed();
    let file = OpenOptions::new().append(true).create(true).custom_flags(direct).open(file)?;
    lasting(|_| Ok(file.write_all_at(block, 0)?))
}

/// What changes is the inode alone, so that nothing but the journal has to reach the disk.
fn sync(file: &Path) -> Result<()> {
    let file = File::create(file)?;
    lasting(|number| {
        file.set_permissions(Permissions::from_mode(if number % 2 == 0 { 0o600 } else { 0o640 }))?;
        Ok(file.sync_all()?)
    })
}

/// Every other page changes, so that each is a request.
fn scattered(file: &Path) -> Result<()> {
    let block = buffer(4 * KIB);
    let file = OpenOptions::new().write(true).open(file)?;
    lasting(|_| {
        (0..128).try_for_each(|number| file.write_all_at(block, number * 2 * block.len() as u64))?;
        Ok(file.sync_all()?)
    })
}

/// Memory that direct I/O takes; it is never given back, as a job needs it until it ends.
pub(super) fn buffer(bytes: usize) -> &'static mut [u8] {
    const PAGE: usize = 4 * KIB;
    let room = vec![0x5a; bytes + PAGE].leak();
    let start = room.as_ptr().align_offset(PAGE);
    &mut room[start..][..bytes]
}
