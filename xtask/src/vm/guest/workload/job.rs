//! The programs that faults happen to, and those that make them: each does one thing for some seconds, or until it is done.

use std::ffi::CString;
use std::fs::{File, OpenOptions, Permissions};
use std::hint;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;
use rustix::thread::{CpuSet, sched_setaffinity, set_name};

/// How long those go on that have no end of their own.
const LASTING: Duration = Duration::from_secs(4);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// How much of a file is read or written before it begins again.
const SPAN: u64 = 8 * MIB as u64;

/// Does `what` on `file` as a process of this name; `-` stands for any CPU, or no cgroup, else several are separated by `:`.
pub(crate) fn run(name: &str, cpu: &str, cgroups: &str, what: &str, file: &Path) -> Result<()> {
    set_name(&CString::new(name)?)?;
    for cgroup in cgroups.split(':').filter(|cgroup| *cgroup != "-") {
        super::join(cgroup.as_ref())?;
    }
    if cpu != "-" {
        let mut one = CpuSet::new();
        one.set(cpu.parse()?);
        sched_setaffinity(None, &one)?;
    }
    match what {
        "spin" => lasting(|_| {
            (0..10_000).for_each(|_| hint::spin_loop());
            Ok(())
        }),
        "cache" => Ok(std::io::copy(&mut File::open(file)?, &mut std::io::sink()).map(drop)?),
        "fill" => fill(file),
        "read" => read(file, OFlags::empty(), MIB),
        "read direct" => read(file, OFlags::DIRECT, 4 * KIB),
        "write" => write(file),
        "append little" => append(file, 4 * KIB),
        "append much" => append(file, 512 * KIB),
        "sync" => sync(file),
        _ => bail!("there is no such job"),
    }
    .with_context(|| format!("{what} {}", file.display()))
}

fn lasting(mut work: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < LASTING {
        work(number)?;
        number += 1;
    }
    Ok(())
}

/// Grows a file by 12 MiB in small steps.
fn fill(file: &Path) -> Result<()> {
    let block = buffer(4 * KIB);
    let file = File::create(file)?;
    (0..12 * MIB as u64 / block.len() as u64)
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

/// Memory that direct I/O takes; it is never given back, as a job needs it until it ends.
fn buffer(bytes: usize) -> &'static mut [u8] {
    const PAGE: usize = 4 * KIB;
    let room = vec![0x5a; bytes + PAGE].leak();
    let start = room.as_ptr().align_offset(PAGE);
    &mut room[start..][..bytes]
}
