//! Faults of disks, and of what stands before them.

use std::fs;

use anyhow::{Context, Result, ensure};
use rustix::mount::{UnmountFlags, unmount};

use super::elsewhere::VICTIM;
use super::jobs::Job;
use super::mapper::Mapped;
use super::{Seen, beside, proven};
use crate::init::{NARROW_DISK, SLOW_DISK, SLOW_MOUNT, bring_up};

/// Where the narrow disk is mounted for a while.
const NARROW_MOUNT: &str = "/narrow";

/// A writer faster than its disk, where little may be dirty.
pub(super) fn dirty(tools: &[&'static str]) -> Result<Seen> {
    let set = |name: &str, value: &str| fs::write(format!("/proc/sys/vm/{name}"), value);
    let get = |name: &str| fs::read_to_string(format!("/proc/sys/vm/{name}"));
    let ratios =
        [("dirty_background_ratio", get("dirty_background_ratio")?), ("dirty_ratio", get("dirty_ratio")?)];
    set("dirty_background_bytes", "2097152")?;
    set("dirty_bytes", "4194304")?;
    let seen = beside(tools, &VICTIM, || {
        let job = Job::start("victim", None, None, "write", &format!("{SLOW_MOUNT}/dirty"))?;
        proven("times seen in balance_dirty_pages", job.watch(&["balance_dirty_pages"])?)
    });
    for (name, ratio) in ratios {
        set(name, ratio.trim())?;
    }
    rustix::fs::sync();
    seen
}

/// Attributes that are changed and synced, on a slow disk.
pub(super) fn journal(tools: &[&'static str]) -> Result<Seen> {
    beside(tools, &VICTIM, || {
        let job = Job::start("victim", None, None, "sync", &format!("{SLOW_MOUNT}/synced"))?;
        proven("times seen in jbd2_log_wait_commit", job.watch(&["jbd2_log_wait_commit"])?)
    })
}

/// Reads that are under way when a write needs them to have ended: it fills a part of a block.
pub(super) fn unaligned(tools: &[&'static str]) -> Result<Seen> {
    let file = format!("{SLOW_MOUNT}/unaligned");
    fs::write(&file, vec![1; 4 << 20])?;
    rustix::fs::sync();
    // One request each, so that they end one after the other.
    let parts = setting(SLOW_DISK, "max_sectors_kb");
    let usual = fs::read_to_string(&parts)?;
    set(SLOW_DISK, "max_sectors_kb", "512")?;
    let seen = beside(tools, &VICTIM, || {
        let victim = Job::start("victim", None, None, "write unaligned", &file)?;
        let functions = ["inode_dio_wait", "__inode_dio_wait"];
        proven("times seen in inode_dio_wait", victim.watch(&functions)?)
    });
    set(SLOW_DISK, "max_sectors_kb", usual.trim())?;
    fs::remove_file(&file).ok();
    seen
}

/// How many reads of a disk there were, and their time, ms (Documentation/block/stat.rst).
fn reads(disk: &str) -> Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/sys/block/{}/stat", disk.trim_start_matches("/dev/")))?;
    let field = |number: usize| -> Result<u64> {
        Ok(text.split_whitespace().nth(number).context("no such field")?.parse()?)
    };
    Ok((field(0)?, field(3)?))
}

/// The same of what a fault reads.
fn reads_of(disk: &str, fault: impl FnOnce() -> Result<()>) -> Result<(u64, u64)> {
    let before = reads(disk)?;
    fault()?;
    let (count, ms) = reads(disk)?;
    Ok((count - before.0, ms - before.1))
}

/// Reads past the cache, on a slow disk.
pub(super) fn device(tools: &[&'static str]) -> Result<Seen> {
    beside(tools, &VICTIM, || {
        let read = || Job::start("victim", None, None, "read direct", SLOW_DISK)?.end();
        let (count, ms) = reads_of(SLOW_DISK, read)?;
        ensure!(ms > 2000, "the fault did not happen: {count} reads took {ms} ms");
        Ok(format!("{count} reads took {ms} ms by the block layer's count"))
    })
}

/// Many readers of a disk that takes few requests at a time: the others are with the scheduler of the disk.
pub(super) fn queue(tools: &[&'static str]) -> Result<Seen> {
    set(NARROW_DISK, "scheduler", "mq-deadline")?;
    set(NARROW_DISK, "nr_requests", "64")?;
    beside(tools, &VICTIM, || {
        let read = || Job::start("victim", None, None, "read crowd", NARROW_DISK)?.end();
        let (count, ms) = reads_of(NARROW_DISK, read)?;
        let each = ms / count.max(1);
        // The disk has four at a time, of which each takes 10 ms.
        ensure!(each > 120, "the fault did not happen: {count} reads took {each} ms each");
        Ok(format!("{count} reads took {each} ms each by the block layer's count"))
    })
}

/// Synced pages that are no neighbours: so many requests that the kernel holds their writer back, to keep the disk free for
/// others.
pub(super) fn throttle(tools: &[&'static str]) -> Result<Seen> {
    set(NARROW_DISK, "wbt_lat_usec", "75000")?;
    bring_up(NARROW_DISK, NARROW_MOUNT)?;
    let seen = scattered(tools);
    unmount(NARROW_MOUNT, UnmountFlags::empty())?;
    seen
}

fn scattered(tools: &[&'static str]) -> Result<Seen> {
    let file = format!("{NARROW_MOUNT}/scattered");
    fs::write(&file, vec![1; 4 << 20])?;
    rustix::fs::sync();
    beside(tools, &VICTIM, || {
        let victim = Job::start("victim", None, None, "sync scattered", &file)?;
        proven("times seen in wbt_wait", victim.watch(&["wbt_wait", "rq_qos_wait"])?)
    })
}

fn setting(disk: &str, name: &str) -> String {
    format!("/sys/block/{}/queue/{name}", disk.trim_start_matches("/dev/"))
}

/// Sets how the block layer serves a disk.
fn set(disk: &str, name: &str, value: &str) -> Result<()> {
    let file = setting(disk, name);
    fs::write(&file, value).with_context(|| format!("cannot write {value} to {file}"))
}

/// Reads of a mapped device that keeps each for a while before it makes a request of it.
pub(super) fn delayed(tools: &[&'static str]) -> Result<Seen> {
    let mapped = Mapped::delay(NARROW_DISK, 60)?;
    beside(tools, &VICTIM, || {
        let mut below = (0, 0);
        let above = reads_of(&mapped.node, || {
            below = reads_of(NARROW_DISK, || {
                Job::start("victim", None, None, "read direct", &mapped.node)?.end()
            })?;
            Ok(())
        })?;
        let ms = above.1.saturating_sub(below.1);
        ensure!(ms > 1500, "the fault did not happen: reads took {above:?}, of them below {below:?} ms");
        Ok(format!("{} reads took {ms} ms before they were requests", above.0))
    })
}
