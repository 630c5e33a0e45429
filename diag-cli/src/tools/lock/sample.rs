//! Built reports, for the tests of this tool.

use std::time::Duration;

use diag_common::{contention::Kind, hist};

use super::{
    Bin, Report,
    record::{Caller, Doing, Lock, LockType, Locks, Owner, PendingWait, Waiter},
    verdict::verdict,
};
use crate::output::{
    histogram::Histogram,
    record::{
        Record,
        parties::{Omitted, Task},
    },
    sample::envelope,
};

/// Nothing, of a list of times.
pub(super) const NONE: Omitted = Omitted { count: 0, ns: Some(0) };

fn stack(functions: &str) -> Vec<String> {
    functions.split(' ').map(str::to_owned).collect()
}

fn task(pid: u32, tid: Option<u32>, comm: &str) -> Task {
    Task { pid: Some(pid), tid, comm: Some(comm.into()), cgroup: Some("/db".into()), ..Task::default() }
}

fn waiter(pid: u32, comm: &str, ns: u64, wait_count: u64) -> Waiter {
    Waiter { task: Some(task(pid, None, comm)), task_count: 1, ns, wait_count }
}

fn histogram(waits: &[(u64, u64)]) -> Histogram {
    let bins = waits.iter().map(|&(ns, count)| (hist::bucket(ns), count));
    let sum = waits.iter().map(|&(ns, count)| ns * count).sum();
    Histogram::from_bins(bins, sum, waits[0].0, waits[waits.len() - 1].0)
}

/// Writers that wait for one whose disk is slow.
pub(super) fn convoy() -> Lock {
    let owner = |pid, tid, state, ns, wait_count, functions: Option<&str>| Owner {
        task: Some(task(pid, Some(tid), "writer")),
        task_count: Some(1),
        reader: false,
        state: Some(state),
        ns,
        wait_count,
        stack: functions.map(stack),
    };
    Lock {
        lock_type: LockType(Kind::RwsemWrite),
        name: Some("inode i_rwsem".into()),
        address: Some("0xffff8881023c4d18".into()),
        lock_count: Some(1),
        wait: histogram(&[(8_000_000, 100), (10_000_000, 100), (12_000_000, 100)]),
        callers: vec![Caller {
            stack: Some(stack("ext4_file_write_iter vfs_write ksys_write do_syscall_64")),
            ns: 2_970_000_000,
            wait_count: 297,
        }],
        callers_omitted: NONE,
        waiters: vec![waiter(412, "writer", 2_400_000_000, 240), waiter(500, "reader", 600_000_000, 60)],
        waiters_omitted: NONE,
        owners: vec![
            owner(
                412,
                415,
                Doing::BlockedIo,
                2_100_000_000,
                200,
                Some("io_schedule iomap_dio_rw ext4_file_write_iter"),
            ),
            owner(412, 415, Doing::Running, 600_000_000, 60, None),
            owner(412, 416, Doing::Runnable, 200_000_000, 30, None),
        ],
        owners_omitted: NONE,
    }
}

/// A few short waits.
pub(super) fn quiet() -> Lock {
    Lock {
        lock_type: LockType(Kind::Mutex),
        name: Some("pipe mutex".into()),
        address: Some("0xffff888104a5c000".into()),
        lock_count: Some(1),
        wait: histogram(&[(900, 40), (2_000, 8), (21_000, 1)]),
        callers: vec![Caller { stack: Some(stack("anon_pipe_write vfs_write")), ns: 21_000, wait_count: 1 }],
        callers_omitted: NONE,
        waiters: vec![waiter(77, "cat", 73_000, 49)],
        waiters_omitted: NONE,
        owners: vec![Owner {
            task: None,
            task_count: Some(3),
            reader: false,
            state: None,
            ns: 60_000,
            wait_count: 40,
            stack: None,
        }],
        owners_omitted: Omitted { count: 3, ns: Some(60_000) },
    }
}

/// Many that have no entry of their own.
pub(super) fn folded() -> Lock {
    Lock {
        lock_type: LockType(Kind::Spinlock),
        name: Some("dentry d_lock".into()),
        address: None,
        lock_count: Some(17),
        wait: histogram(&[(500, 10)]),
        callers: Vec::new(),
        callers_omitted: NONE,
        waiters: vec![waiter(90, "find", 5_000, 10)],
        waiters_omitted: NONE,
        owners: Vec::new(),
        owners_omitted: NONE,
    }
}

/// A wait that has not ended.
pub(super) fn stuck() -> PendingWait {
    PendingWait {
        lock_type: LockType(Kind::Mutex),
        name: Some("pipe mutex".into()),
        address: Some("0xffff888104a5c000".into()),
        task: task(600, Some(601), "tee"),
        waited_ns: 3_000_000_000,
        owner: Some(task(77, Some(77), "cat")),
        stack: Some(stack("anon_pipe_write vfs_write ksys_write")),
    }
}

/// A report of these locks.
pub(super) fn report(locks: Vec<Lock>) -> Report {
    report_with(locks, Vec::new())
}

/// A report of these locks, and of waits that have not ended.
pub(super) fn report_with(locks: Vec<Lock>, pending: Vec<PendingWait>) -> Report {
    let bins = |lock: &Lock| {
        let bucket = hist::bucket(lock.wait.p50_ns.unwrap_or_default());
        let (low_ns, high_ns) = (hist::lowest(bucket), hist::highest(bucket));
        vec![Bin { low_ns, high_ns, waits: lock.wait.count, ns: lock.wait.sum_ns }]
    };
    let picture = locks.iter().map(bins).collect();
    let envelope = envelope();
    let lasted = Duration::from_nanos(envelope.duration_ns);
    let verdict = verdict(&locks, lasted, Duration::from_millis(1), pending.len());
    let body = Locks {
        locks,
        locks_omitted: NONE,
        pending: Some(pending),
        pending_omitted: Some(Omitted { count: 0, ns: None }),
        verdict,
    };
    Report { record: Record::new(envelope, body), picture }
}
