//! Built reports, for the tests of this tool.

use std::time::{Duration, SystemTime};

use diag_common::cause::Cause;

use super::{
    Limits, Report,
    args::Sort,
    body,
    record::{Complaint, Link, Looks, Relation, StuckPlace, StuckTask, Watchdog},
};
use crate::output::{
    record::{
        Record,
        cause::{CauseKeys, CauseOrNull},
        parties::{Device, Task},
        state::TaskState,
    },
    sample::envelope,
};

fn task(tid: u32, comm: &str) -> Task {
    Task {
        pid: Some(tid),
        tid: Some(tid),
        comm: Some(comm.into()),
        process_comm: Some(comm.into()),
        start_ns: Some(u64::from(tid) * 1_000_000),
        cgroup: Some("/system.slice/db.service".into()),
        container: None,
    }
}

fn functions(stack: &str) -> Option<Vec<String>> {
    Some(stack.split(' ').map(str::to_owned).collect())
}

fn place(device: &str, mount: &str) -> StuckPlace {
    StuckPlace {
        file: Some(format!("{mount}/data")),
        device: Some(Device { id: "7:0".into(), name: Some(device.into()) }),
        filesystem: Some("ext4".into()),
        mount: Some(mount.into()),
        own_point: Some(mount.into()),
    }
}

fn link(
    relation: Relation,
    who: Task,
    stack: &str,
    cause: Cause,
    via: Option<Cause>,
    place: StuckPlace,
) -> Link {
    Link {
        relation,
        name: None,
        task: Some(who),
        state: Some(TaskState::Uninterruptible),
        killable: Some(false),
        stack: functions(stack),
        keys: CauseOrNull(Some(CauseKeys { cause, via })),
        place,
        deadlock: false,
    }
}

fn stuck(who: Task, stack: &str, blocked: Duration, keys: CauseKeys, place: StuckPlace) -> StuckTask {
    let end: SystemTime = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_010);
    StuckTask {
        task: who,
        state: TaskState::Uninterruptible,
        killable: false,
        stack: functions(stack),
        blocked_ns: blocked.as_nanos() as u64,
        since: (end - blocked).into(),
        keys,
        place,
        chain: Vec::new(),
        resolved_at: None,
    }
}

/// A writer that waits for the lock of one that waits for a disk over a stopped FUSE server.
pub(super) fn chain() -> StuckTask {
    let via = Some(Cause::StoppedSignal);
    let server = Link {
        state: Some(TaskState::Stopped),
        ..link(
            Relation::FuseServer,
            task(400, "sshfs"),
            "do_signal_stop get_signal",
            Cause::StoppedSignal,
            None,
            StuckPlace::default(),
        )
    };
    let worker = link(
        Relation::LoopWorker,
        task(77, "kworker/u8:1+loop0"),
        "request_wait_answer fuse_direct_io loop_process_work",
        Cause::Server,
        via,
        StuckPlace { filesystem: Some("fuse.sshfs".into()), device: None, ..place("", "/srv/remote") },
    );
    let holder = link(
        Relation::Holder,
        task(811, "postgres"),
        "blkdev_issue_flush ext4_sync_file ext4_buffered_write_iter",
        Cause::BlockWait,
        via,
        place("loop0", "/srv/data"),
    );
    let writer = stuck(
        task(812, "postgres"),
        "down_write ext4_buffered_write_iter vfs_write ksys_write do_syscall_64 x",
        Duration::from_millis(12_340),
        CauseKeys { cause: Cause::InodeLock, via },
        place("loop0", "/srv/data"),
    );
    StuckTask { chain: vec![holder, worker, server], ..writer }
}

/// So many threads that wait for one frozen file system.
pub(super) fn crowd_of(tasks: u32) -> Vec<StuckTask> {
    let one = |number| {
        stuck(
            task(2000 + number, "worker"),
            "percpu_rwsem_wait vfs_write ksys_write",
            Duration::from_millis(10_000 + u64::from(number)),
            CauseKeys::plain(Cause::Freeze),
            place("vdb", "/srv/frozen"),
        )
    };
    (0..tasks).map(one).collect()
}

/// A summary of these tasks.
pub(super) fn report(tasks: Vec<StuckTask>) -> Report {
    report_of(tasks, Looks { count: 120, longest_delay_ns: 50_000_000, left_count: 0 })
}

/// The same after these looks.
pub(super) fn report_of(tasks: Vec<StuckTask>, looks: Looks) -> Report {
    let watchdogs = tasks.first().map(|task| Complaint {
        watchdog: Watchdog::HungTask,
        at: task.since,
        text: "INFO: task postgres:812 blocked for more than 10 seconds.".into(),
    });
    let limits = Limits { threshold: Duration::from_secs(10), top: 100, sort: Sort::Tasks };
    let (body, picture) = body(limits, tasks, 0, watchdogs.into_iter().collect(), looks);
    Report { record: Record::new(envelope(), body), picture }
}

/// A summary of a machine on which all is well.
pub(super) fn nothing() -> Report {
    report(Vec::new())
}
