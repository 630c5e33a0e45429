//! Faults that no cgroup has to do with: of the CPU, of locks of files, and of frozen file systems.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::hierarchy::Impossible;
use super::jobs::Job;
use super::{Seen, beside, cgroups, proven};
use crate::init::{MOUNT, SLOW_MOUNT};
use crate::steps::hung::{self, FIFREEZE, FITHAW, freezer};

/// Only what happens to the victim counts, not what others of the fault do.
pub(super) const VICTIM: [&str; 2] = ["--comm", "victim"];

/// The CPU that some faults crowd.
const CROWDED: Option<u32> = Some(0);

/// How long a file system is frozen.
const FROZEN: Duration = Duration::from_secs(2);

/// A file system that is frozen while it is written to.
pub(super) fn freeze(tools: &[&'static str]) -> Result<Seen> {
    beside(tools, &VICTIM, || {
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
pub(super) fn inode_lock(tools: &[&'static str]) -> Result<Seen> {
    let file = format!("{SLOW_MOUNT}/shared");
    let seen = beside(tools, &VICTIM, || {
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

/// Two threads that read through one descriptor past the cache: each holds the lock of its position while the disk reads.
pub(super) fn position(tools: &[&'static str]) -> Result<Seen> {
    let file = format!("{SLOW_MOUNT}/position");
    fs::write(&file, vec![1; 4 << 20])?;
    rustix::fs::sync();
    let seen = beside(tools, &VICTIM, || {
        let victim = Job::start("victim", None, None, "read shared", &file)?;
        proven("times seen asleep for the position", victim.watch(&["^__fdget_pos", "^fdget_pos"])?)
    });
    fs::remove_file(&file).ok();
    seen
}

/// A task on a CPU that three others want.
pub(super) fn run_queue(tools: &[&'static str]) -> Result<Seen> {
    let file = cgroups::cached()?;
    beside(tools, &VICTIM, || {
        let hogs = [(); 3].map(|()| Job::start("hog", CROWDED, None, "spin", "-"));
        let victim = Job::start("victim", CROWDED, None, "read", &file)?;
        sleep(Duration::from_secs(3));
        let ms = victim.delay_ms()?;
        victim.end()?;
        hogs.into_iter().try_for_each(|hog| hog?.end())?;
        ensure!(ms > 1000, "the fault did not happen: it waited for {ms} ms of 3 s by the scheduler's count");
        Ok(format!("waited for {ms} ms of 3 s by the scheduler's count"))
    })
}

/// The time of interrupts, which a kernel keeps or not.
pub(super) fn interrupts() -> Result<Seen> {
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    ensure!(
        !symbols.lines().any(|line| line.split(' ').nth(2) == Some("irqtime_account_irq")),
        "this kernel keeps the time of interrupts, for which there is no fault yet"
    );
    bail!(Impossible("this kernel keeps no time of interrupts (CONFIG_IRQ_TIME_ACCOUNTING)".to_owned()))
}

/// Two writers of a frozen file system through one descriptor.
pub(super) fn stuck() -> Result<Seen> {
    let run = hung::stuck("hung", "fault", &[])?;
    let slept = run.truth.iter().map(|truth| truth.sum_ns / 1_000_000).sum();
    Ok((proven("ms in write, together", slept)?, vec![("hung", Ok(run))]))
}
