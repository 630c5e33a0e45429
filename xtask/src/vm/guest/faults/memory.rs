//! Faults of memory that is short, in pieces, or changed under its lock.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, setpriority_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::elsewhere::VICTIM;
use super::jobs::Job;
use super::{Seen, beside, cgroups, counted, proven};
use crate::init::MOUNT;
use crate::workload::available;

/// In the memory of the guest, so that no disk has to do with it.
const FILLED: &str = "/run/filled";

/// What the kernel counts of memory.
const COUNTS: &str = "/proc/vmstat";

/// How much memory is kept free, KiB.
const KEPT: &str = "/proc/sys/vm/min_free_kbytes";

/// Which huge pages are worth the work of making them.
const DEFRAGMENT: &str = "/sys/kernel/mm/transparent_hugepage/defrag";

/// All memory is full of clean cache, and the thread that makes room for others has no CPU: a task that writes memory
/// has to make room itself.
pub(super) fn reclaim(tools: &[&'static str]) -> Result<Seen> {
    let large = format!("{MOUNT}/sparse");
    fs::File::create(&large)?.set_len(available()? + (64 << 20))?;
    // Where huge pages are made, much is kept free.
    let kept = fs::read_to_string(KEPT)?;
    fs::write(KEPT, "4096")?;
    let seen = beside(tools, &VICTIM, || {
        Job::start("filler", None, None, "cache", &large)?.end()?;
        let mut first = CpuSet::new();
        first.set(0);
        let kswapd = kswapd()?;
        sched_setaffinity(Some(kswapd), &first)?;
        let _hog = Job::start("hog", Some(0), None, "spin alone", "-")?;
        // From 6.8 on, a server lets tasks of the fair class run beside one of a higher class, for 5 % of the time
        // (kernel/sched/deadline.c, 6.18: fair_server_init): that time is for a task of 5,900 times the weight.
        let heavy = Job::start("heavy", Some(0), None, "spin", "-")?;
        setpriority_process(Some(heavy.pid()), -20)?;
        setpriority_process(Some(kswapd), 19)?;
        sleep(Duration::from_millis(300));
        let count = || -> Result<u64> {
            ["allocstall_normal", "allocstall_movable", "allocstall_dma32"]
                .iter()
                .map(|name| counted(COUNTS, name, 1))
                .sum()
        };
        let before = count()?;
        Job::start("victim", Some(1), None, "fill much", FILLED)?.end()?;
        proven("allocstall", count()? - before)
    });
    fs::write(KEPT, kept.trim())?;
    fs::remove_file(FILLED).ok();
    fs::remove_file(&large).ok();
    seen
}

fn kswapd() -> Result<Pid> {
    let is_it = |pid: &Pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim_end() == "kswapd0"
    };
    let all = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter_map(Pid::from_raw).find(is_it).context("there is no kswapd0")
}

/// Memory is free in single pages alone, and a task reads into huge ones.
pub(super) fn compaction(tools: &[&'static str]) -> Result<Seen> {
    fs::write(DEFRAGMENT, "always").with_context(|| format!("cannot write {DEFRAGMENT}"))?;
    fs::write("/proc/sys/vm/compaction_proactiveness", "0").ok();
    let file = cgroups::cached()?;
    beside(tools, &VICTIM, || {
        let before = counted(COUNTS, "compact_stall", 1)?;
        Job::start("victim", None, None, "read huge", &file)?.end()?;
        proven("compact_stall", counted(COUNTS, "compact_stall", 1)? - before)
    })
}

/// One thread changes much memory, and another's faults wait for the lock of the address space.
pub(super) fn map_lock(tools: &[&'static str]) -> Result<Seen> {
    let file = cgroups::cached()?;
    beside(tools, &VICTIM, || {
        let victim = Job::start("victim", None, None, "read mapped", &file)?;
        let innermost = [
            "^lock_mm_and_find_vma",
            "^do_user_addr_fault",
            "^exc_page_fault",
            "^do_madvise",
            "^madvise_lock",
        ];
        proven("times seen asleep for the lock", victim.watch(&innermost)?)
    })
}
