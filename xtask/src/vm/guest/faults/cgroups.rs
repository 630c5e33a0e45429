//! Faults that a cgroup's limit makes, and a cgroup that goes.

use anyhow::{Result, bail};

use super::hierarchy::{Hierarchy, Impossible};
use super::jobs::Job;
use super::{Seen, Untraced, beside, counted, proven};
use crate::init::MOUNT;
use crate::tool::Tool;

/// In the memory of the guest, so that no disk has to do with it.
const FILLED: &str = "/run/filled";

/// The limit of memory: what is cached of a file meets it, and makes room for what is written.
const LIMIT: &str = "24M";

/// A file that is larger than that.
pub(super) const LARGE: usize = 32 << 20;

/// A cgroup whose memory is full of clean cache; its writer's pages have to push that out.
pub(super) fn memcg_reclaim(hierarchy: &Hierarchy, tools: &[&'static str]) -> Result<Seen> {
    let group = hierarchy.group("memory")?;
    let (limit, events) = match hierarchy {
        Hierarchy::One => ("memory.limit_in_bytes", "memory.failcnt"),
        Hierarchy::Two => ("memory.max", "memory.events"),
    };
    group.set(limit, LIMIT)?;
    let file = format!("{MOUNT}/large");
    std::fs::write(&file, vec![1; LARGE])?;
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3")?;
    Job::start("filler", None, Some(&group.path), "cache", &file)?.end()?;
    let count = || match hierarchy {
        Hierarchy::One => Ok(std::fs::read_to_string(group.file(events))?.trim().parse()?),
        Hierarchy::Two => counted(&group.file(events), "max", 1),
    };
    let seen = beside(tools, &["--cgroup", &group.path], || {
        let before = count()?;
        Job::start("victim", None, Some(&group.path), "fill", FILLED)?.end()?;
        proven(events, count()? - before)
    });
    std::fs::remove_file(FILLED).ok();
    seen
}

/// A writer of memory that cannot be taken back, beyond `memory.high`.
pub(super) fn memcg_throttle(hierarchy: &Hierarchy, tools: &[&'static str]) -> Result<Seen> {
    if *hierarchy == Hierarchy::One {
        bail!(Impossible("version 1 has no memory.high".to_owned()));
    }
    let group = hierarchy.group("memory")?;
    group.set("memory.high", "8M")?;
    let seen = beside(tools, &["--cgroup", &group.path], || {
        // It may be held for as long as it likes: what it has done until now is enough.
        let job = Job::start("victim", None, Some(&group.path), "fill", FILLED)?;
        std::thread::sleep(std::time::Duration::from_secs(6));
        drop(job);
        proven("memory.events high", counted(&group.file("memory.events"), "high", 1)?)
    });
    std::fs::remove_file(FILLED).ok();
    seen
}

/// A reader of cached data that may have a fifth of a CPU.
pub(super) fn quota(hierarchy: &Hierarchy, tools: &[&'static str]) -> Result<Seen> {
    let group = hierarchy.group("cpu")?;
    match hierarchy {
        Hierarchy::One => {
            group.set("cpu.cfs_period_us", "100000")?;
            group.set("cpu.cfs_quota_us", "20000")?;
        }
        Hierarchy::Two => group.set("cpu.max", "20000 100000")?,
    }
    let file = cached()?;
    beside(tools, &["--cgroup", &group.path], || {
        Job::start("victim", None, Some(&group.path), "read", &file)?.end()?;
        proven("nr_throttled", counted(&group.file("cpu.stat"), "nr_throttled", 1)?)
    })
}

/// A cgroup that is removed while osdiag traces it, which ends osdiag by itself.
pub(super) fn removed(hierarchy: &Hierarchy, tools: &[&'static str]) -> Result<Seen> {
    let group = hierarchy.group("memory").or_else(|_| hierarchy.group("cpu"))?;
    let file = cached()?;
    let [tool] = *tools else { bail!("one tool at a time") };
    let mut running = Tool::start(&[tool, "--json", "--no-hdr", "-i", "1s", "--cgroup", &group.path], &[])?;
    if !running.wait_for_record()? {
        return Ok((String::new(), vec![(tool, Err(Untraced::by(&running.finish(tool, "fault")?)))]));
    }
    let removed = Job::start("victim", None, Some(&group.path), "cache", &file)
        .and_then(Job::end)
        .and_then(|()| group.remove());
    let run = running.finish(tool, "fault")?;
    removed?;
    Ok(("rmdir succeeded".to_owned(), vec![(tool, Ok(run))]))
}

/// A file that is in the page cache.
pub(super) fn cached() -> Result<String> {
    let file = format!("{MOUNT}/cached");
    std::fs::write(&file, vec![1; 8 << 20])?;
    Ok(file)
}
