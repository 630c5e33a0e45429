//! Faults that no cgroup has to do with: of the disk, the file system, the CPU and locks.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::jobs::Job;
use super::{Seen, beside, cgroups, proven};
use crate::init::{MOUNT, SLOW_DISK, SLOW_MOUNT};
use crate::steps::hung::{self, FIFREEZE, FITHAW, freezer};

/// Only what happens to the victim counts, not what others of the fault do.
const VICTIM: [&str; 2] = ["--comm", "victim"];

/// The CPU that some faults crowd.
const CROWDED: Option<u32> = Some(0);

/// How long a file system is frozen.
const FROZEN: Duration = Duration::from_secs(2);

/// A writer faster than its disk, where little may be dirty.
pub(super) fn dirty() -> Result<Seen> {
    let set = |name: &str, value: &str| fs::write(format!("/proc/sys/vm/{name}"), value);
    let get = |name: &str| fs::read_to_string(format!("/proc/sys/vm/{name}"));
    let ratios =
        [("dirty_background_ratio", get("dirty_background_ratio")?), ("dirty_ratio", get("dirty_ratio")?)];
    set("dirty_background_bytes", "2097152")?;
    set("dirty_bytes", "4194304")?;
    let seen = beside("iolat", &VICTIM, || {
        let job = Job::start("victim", None, None, "write", &format!("{SLOW_MOUNT}/dirty"))?;
        proven("times seen in balance_dirty_pages", job.watch(&["balance_dirty_pages"])?)
    });
    for (name, ratio) in ratios {
        set(name, ratio.trim())?;
    }
    rustix::fs::sync();
    seen
}

/// A file system that is frozen while it is written to.
pub(super) fn freeze() -> Result<Seen> {
    beside("iolat", &VICTIM, || {
        let job = Job::start("victim", None, None, "write", &format!("{MOUNT}/frozen"))?;
        sleep(Duration::from_millis(500));
        freezer::<FIFREEZE>()?;
        sleep(FROZEN);
        let state = job.state();
        freezer::<FITHAW>()?;
        job.end()?;
        let state = state?;
        ensure!(
            state == 'D',
            "the fault did not happen: the writer of a frozen file system is in state {state}"
        );
        Ok(format!("state D after {} s", FROZEN.as_secs()))
    })
}

/// Two writers of one file: one writes little, and the other much, which takes long, as it holds the file's lock. That it does is
/// seen in its stack, while the first one sleeps for the lock: it waits for the disk within a write that makes the file larger,
/// for which ext4 holds the lock as a writer (`ext4_dio_write_checks`, fs/ext4/file.c, 5.10 to 7.3).
pub(super) fn inode_lock(tool: &str) -> Result<Seen> {
    let file = format!("{SLOW_MOUNT}/shared");
    let seen = beside(tool, &VICTIM, || {
        let holder = Job::start("holder", None, None, "append much", &file)?;
        let victim = Job::start("victim", None, None, "append little", &file)?;
        let (seen, behind) = victim
            .watch_behind(&["^ext4_file_write", "^ext4_dio_write", "^down_write", "^rwsem_"], || {
                holder.sleeps_in(&["iomap_dio_rw", "__iomap_dio_rw"])
            })?;
        holder.end()?;
        ensure!(
            2 * behind > seen,
            "the fault did not happen: behind the other's write {behind} of {seen} times"
        );
        Ok(proven("times seen asleep for the lock", seen)?
            + &format!(", {behind} of them behind the other's write"))
    });
    fs::remove_file(&file).ok();
    seen
}

/// Attributes that are changed and synced, on a slow disk.
pub(super) fn journal() -> Result<Seen> {
    beside("iolat", &VICTIM, || {
        let job = Job::start("victim", None, None, "sync", &format!("{SLOW_MOUNT}/synced"))?;
        proven("times seen in jbd2_log_wait_commit", job.watch(&["jbd2_log_wait_commit"])?)
    })
}

/// Reads past the cache, on a slow disk.
pub(super) fn device() -> Result<Seen> {
    let disk = SLOW_DISK.trim_start_matches("/dev/");
    // Documentation/block/stat.rst: reads, and the time of reads.
    let field = |number: usize| -> Result<u64> {
        let text = fs::read_to_string(format!("/sys/block/{disk}/stat"))?;
        Ok(text.split_whitespace().nth(number).context("no such field")?.parse()?)
    };
    beside("iolat", &VICTIM, || {
        let before = (field(0)?, field(3)?);
        Job::start("victim", None, None, "read direct", SLOW_DISK)?.end()?;
        let (count, ms) = (field(0)? - before.0, field(3)? - before.1);
        ensure!(ms > 2000, "the fault did not happen: {count} reads took {ms} ms");
        Ok(format!("{count} reads took {ms} ms by the block layer's count"))
    })
}

/// A task on a CPU that three others want.
pub(super) fn run_queue(tool: &str) -> Result<Seen> {
    let file = cgroups::cached()?;
    let what = if tool == "iolat" { "read" } else { "spin" };
    beside(tool, &VICTIM, || {
        let hogs = [(); 3].map(|()| Job::start("hog", CROWDED, None, "spin", "-"));
        let victim = Job::start("victim", CROWDED, None, what, &file)?;
        sleep(Duration::from_secs(3));
        let ms = victim.delay_ms()?;
        victim.end()?;
        hogs.into_iter().try_for_each(|hog| hog?.end())?;
        ensure!(ms > 1000, "the fault did not happen: it waited for {ms} ms of 3 s by the scheduler's count");
        Ok(format!("waited for {ms} ms of 3 s by the scheduler's count"))
    })
}

/// Two writers of a frozen file system through one descriptor.
pub(super) fn stuck() -> Result<Seen> {
    let run = hung::stuck("hung", "fault", &[])?;
    let slept = run.truth.iter().map(|truth| truth.sum_ns / 1_000_000).sum();
    Ok((proven("ms in write, together", slept)?, run))
}
