//! Built reports, for the tests of this tool.

use diag_common::{hist, lock::Kind};

use super::{
    Bin, Report,
    record::{Caller, Doing, KindName, Lock, Locks, Owner, Task, Waiter},
    verdict::verdict,
};
use crate::output::{histogram::Histogram, record::Record, sample::envelope};

fn stack(functions: &str) -> Vec<String> {
    functions.split(' ').map(str::to_owned).collect()
}

fn task(pid: u32, comm: &str) -> Task {
    Task { pid: Some(pid), comm: Some(comm.into()), cgroup: Some("/db".into()), tasks: None }
}

fn histogram(waits: &[(u64, u64)]) -> Histogram {
    let bins = waits.iter().map(|&(ns, count)| (hist::bucket(ns), count));
    let sum = waits.iter().map(|&(ns, count)| ns * count).sum();
    Histogram::from_bins(bins, sum, waits[0].0, waits[waits.len() - 1].0)
}

/// Writers that wait for one whose disk is slow.
pub(super) fn convoy() -> Lock {
    let owner = |pid, tid, state, ns, waits, functions: Option<&str>| Owner {
        task: task(pid, "writer"),
        tid: Some(tid),
        reader: false,
        state: Some(state),
        ns,
        waits,
        stack: functions.map(stack),
    };
    Lock {
        kind: KindName(Kind::RwsemWrite),
        name: "inode i_rwsem".into(),
        address: Some("0xffff8881023c4d18".into()),
        locks: Some(1),
        wait: histogram(&[(8_000_000, 100), (10_000_000, 100), (12_000_000, 100)]),
        callers: vec![Caller {
            stack: stack("ext4_file_write_iter vfs_write ksys_write do_syscall_64"),
            ns: 2_970_000_000,
            waits: 297,
        }],
        waiters: vec![
            Waiter { task: task(412, "writer"), ns: 2_400_000_000, waits: 240 },
            Waiter { task: task(500, "reader"), ns: 600_000_000, waits: 60 },
        ],
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
    }
}

/// A few short waits.
pub(super) fn quiet() -> Lock {
    Lock {
        kind: KindName(Kind::Mutex),
        name: "pipe mutex".into(),
        address: Some("0xffff888104a5c000".into()),
        locks: Some(1),
        wait: histogram(&[(900, 40), (2_000, 8), (21_000, 1)]),
        callers: vec![Caller { stack: stack("anon_pipe_write vfs_write"), ns: 21_000, waits: 1 }],
        waiters: vec![Waiter { task: task(77, "cat"), ns: 73_000, waits: 49 }],
        owners: vec![Owner {
            task: Task { tasks: Some(3), ..Task::default() },
            tid: None,
            reader: false,
            state: None,
            ns: 60_000,
            waits: 40,
            stack: None,
        }],
    }
}

/// Many that have no entry of their own.
pub(super) fn folded() -> Lock {
    Lock {
        kind: KindName(Kind::Spinlock),
        name: "dentry d_lock".into(),
        address: None,
        locks: Some(17),
        callers: Vec::new(),
        owners: Vec::new(),
        waiters: vec![Waiter { task: task(90, "find"), ns: 5_000, waits: 10 }],
        wait: histogram(&[(500, 10)]),
    }
}

/// A report of these locks.
pub(super) fn report(locks: Vec<Lock>) -> Report {
    let bins = |lock: &Lock| {
        let bucket = hist::bucket(lock.wait.p50_ns);
        let (low_ns, high_ns) = (hist::lowest(bucket), hist::highest(bucket));
        vec![Bin { low_ns, high_ns, waits: lock.wait.count, ns: lock.wait.sum_ns }]
    };
    let picture = locks.iter().map(bins).collect();
    let envelope = envelope();
    let verdict = verdict(
        &locks,
        std::time::Duration::from_nanos(envelope.duration_ns),
        std::time::Duration::from_millis(1),
    );
    Report { record: Record::new(envelope, Locks { locks, pending: Vec::new(), verdict }), picture }
}
