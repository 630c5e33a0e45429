//! Waits that have not ended when tracing does, or never do.

use std::{collections::BTreeSet, process::Command, time::Duration};

use super::{
    MS, complete,
    work::{HOLDER, WAITER, Work, Worker},
};
use crate::{
    Outcome,
    lab::{Lab, disk::SlowDisk, wait_until},
    osdiag::{Session, binary, tool},
    record::number,
};

/// Processes that are killed while their threads wait for a lock that dies with them.
pub(super) fn freed() -> Outcome {
    let session = Session::tracing(tool("lock", &["--json"]));
    for _ in 0..12 {
        let mut worker = Worker::start(Work::Mmap, 60_000);
        worker.go();
        assert!(wait_until(Duration::from_secs(10), || ran(worker.pid) >= 100 * MS), "it has no CPU");
        drop(worker);
    }
    let mut last = Worker::start(Work::Mmap, 500);
    let seen = last.work();
    let summary = session.interrupt().summary();
    complete(&summary);
    let waiters: Vec<&serde_json::Value> = summary
        .locks()
        .filter(|lock| lock.0["name"] == "mmap_lock")
        .flat_map(|lock| lock.list("waiters"))
        .filter(|waiter| waiter["task"]["comm"] == WAITER)
        .collect();
    let processes: BTreeSet<_> = waiters.iter().map(|waiter| waiter["task"]["pid"].as_u64()).collect();
    assert!(processes.len() > 3, "few were killed while they waited: {}", summary.lock_outline());
    let longest = summary.locks().map(|lock| number(&lock.0["wait"]["max_ns"])).max().unwrap_or(0);
    assert!(longest < 2_000_000_000, "a wait outlived its task: {longest} ns");
    let of_last = waiters.iter().filter(|waiter| waiter["task"]["pid"] == last.pid);
    let mine: u64 = of_last.map(|waiter| number(&waiter["ns"])).sum();
    let known = seen.waited_ns(MS / 20);
    assert!(mine > known / 2 && mine < known + known / 2, "{mine} ns of {known} after all that");
    Ok(())
}

/// How long a process ran, by the kernel's account in ticks of 10 ms (`utime` and `stime`, proc_pid_stat(5)).
fn ran(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = after.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u32>().unwrap_or(0));
    ticks.sum::<u32>() * 10 * MS
}

/// Who waits when tracing ends is named, with the lock and its owner, and in none of the numbers.
pub(super) fn does_not_end() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let mut worker = Worker::start(Work::Inode(file), 60_000);
    let session = Session::tracing(tool("lock", &["--json", "-p", &worker.pid.to_string(), "-d", "1s"]));
    disk.delay(2000 * MS);
    worker.go();
    let summary = session.finish().summary();
    disk.delay(Duration::ZERO);
    let pending = summary.0["pending"].as_array().cloned().unwrap_or_default();
    let mine = pending.iter().find(|wait| wait["task"]["comm"] == WAITER);
    let mine = mine.unwrap_or_else(|| panic!("{pending:?} in {}", summary.lock_outline()));
    assert_eq!(
        (mine["lock_type"].as_str(), mine["name"].as_str()),
        (Some("rwsem-read"), Some("inode i_rwsem"))
    );
    assert_eq!(mine["owner"]["comm"], HOLDER, "{mine}");
    let waited = number(&mine["waited_ns"]);
    assert!((100_000_000..1_500_000_000).contains(&waited), "{mine}");
    Ok(())
}

/// What a wait that does not end lacks without more privileges than tracing needs, is said with the capability that it takes.
pub(super) fn privileges() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let copy = lab.path("osdiag");
    std::fs::copy(binary(), &copy).expect("a lab takes a binary");
    let traced = "+bpf,+perfmon";
    for (capabilities, missing) in [
        (traced.to_owned(), &["kernel-symbols", "kernel-stacks"][..]),
        (format!("{traced},+syslog"), &["kernel-stacks"]),
        (format!("{traced},+syslog,+sys_admin,+sys_ptrace"), &["kernel-stacks"]),
        (format!("{traced},+syslog,+sys_admin,+sys_ptrace,+dac_read_search"), &[]),
    ] {
        let mut worker = Worker::start(Work::Inode(file.clone()), 60_000);
        let sets =
            ["inh-caps", "ambient-caps", "bounding-set"].map(|set| format!("--{set}=-all,{capabilities}"));
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(&sets).arg("--").arg(&copy);
        command.args(["lock", "--json", "-d", "1s", "-p", &worker.pid.to_string()]);
        let session = Session::tracing(command);
        disk.delay(2000 * MS);
        worker.go();
        let summary = session.finish().summary();
        disk.delay(Duration::ZERO);
        let unavailable = summary.0["unavailable"].as_array().expect("it is a list");
        let said = |name: &str| unavailable.iter().find(|one| one["name"] == name);
        for name in ["kernel-symbols", "kernel-stacks"] {
            assert_eq!(
                said(name).is_some(),
                missing.contains(&name),
                "{name} with {capabilities}: {unavailable:?}"
            );
        }
        let pending = summary.0["pending"].as_array().expect("it is a list");
        let mine = pending.iter().find(|wait| wait["task"]["comm"] == WAITER);
        let mine = mine.unwrap_or_else(|| panic!("{pending:?} with {capabilities}"));
        assert_eq!(mine["stack"].is_null(), said("kernel-stacks").is_some(), "{mine} with {capabilities}");
        let named = |what: &str| {
            said("kernel-stacks").is_some_and(|one| one["why"].as_str().is_some_and(|why| why.contains(what)))
        };
        assert_eq!(
            named("CAP_SYS_ADMIN"),
            said("kernel-stacks").is_some() && !capabilities.contains("sys_admin")
        );
    }
    Ok(())
}
