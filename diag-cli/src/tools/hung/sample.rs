//! Built reports, for the tests of this tool.

use std::time::{Duration, SystemTime};

use super::{
    Report, body,
    record::{Behind, Cause, Complaint, Relation, StuckTask, Wait, Who},
};
use crate::output::{record::Record, sample::envelope};

fn who(tid: u32, comm: &str, state: &str, stack: &str) -> Who {
    Who {
        pid: tid,
        tid,
        comm: comm.into(),
        cgroup: Some("/system.slice/db.service".into()),
        state: state.into(),
        killable: false,
        stack: stack.split(' ').map(str::to_owned).collect(),
    }
}

fn wait(cause: Cause, detail: &str, device: &str, mount: &str) -> Wait {
    Wait {
        cause,
        detail: Some(detail.into()),
        file: Some(format!("{mount}/data")),
        device: Some(device.into()),
        filesystem: Some("ext4".into()),
        mount: Some(mount.into()),
    }
}

fn behind(
    relation: Relation,
    who: Who,
    wait: Option<Wait>,
    behind: Option<Box<Behind>>,
) -> Option<Box<Behind>> {
    Some(Box::new(Behind { relation, name: None, who: Some(who), wait, behind, deadlock: false }))
}

fn stuck(who: Who, blocked: Duration, wait: Wait, behind: Option<Box<Behind>>) -> StuckTask {
    let end: SystemTime = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_010);
    let blocked_ns = blocked.as_nanos() as u64;
    StuckTask { who, blocked_ns, since: (end - blocked).into(), wait, behind, resolved: None }
}

/// A writer that waits for the lock of one that waits for a disk over a stopped FUSE server.
pub(super) fn chain() -> StuckTask {
    let stopped =
        behind(Relation::FuseServer, who(400, "sshfs", "T", "do_signal_stop get_signal"), None, None);
    let mut worker = wait(Cause::Fuse, "filesystem.wait", "loop0", "/srv/remote");
    worker.file = None;
    let worker = behind(
        Relation::LoopWorker,
        who(77, "kworker/u8:1+loop0", "D", "request_wait_answer fuse_direct_io loop_process_work"),
        Some(worker),
        stopped,
    );
    let holder = behind(
        Relation::Holder,
        who(811, "postgres", "D", "blkdev_issue_flush ext4_sync_file ext4_buffered_write_iter"),
        Some(wait(Cause::Block, "block.wait", "loop0", "/srv/data")),
        worker,
    );
    stuck(
        who(812, "postgres", "D", "down_write ext4_buffered_write_iter vfs_write ksys_write do_syscall_64 x"),
        Duration::from_millis(12_340),
        wait(Cause::Lock, "filesystem.inode-lock", "loop0", "/srv/data"),
        holder,
    )
}

/// So many threads that wait for one frozen file system.
pub(super) fn crowd_of(tasks: u32) -> Vec<StuckTask> {
    let task = |number| {
        stuck(
            who(2000 + number, "worker", "D", "percpu_rwsem_wait vfs_write ksys_write"),
            Duration::from_millis(10_000 + u64::from(number)),
            wait(Cause::Freeze, "filesystem.freeze", "vdb", "/srv/frozen"),
            None,
        )
    };
    (0..tasks).map(task).collect()
}

/// A summary of these tasks.
pub(super) fn report(tasks: Vec<StuckTask>) -> Report {
    let watchdogs = tasks.first().map(|task| Complaint {
        watchdog: "hung-task",
        at: task.since,
        text: "INFO: task postgres:812 blocked for more than 10 seconds.".into(),
    });
    let (body, picture) = body(Duration::from_secs(10), tasks, 1000, 0, watchdogs.into_iter().collect());
    Report { record: Record::new(envelope(), body), picture }
}

/// A summary of a machine on which all is well.
pub(super) fn nothing() -> Report {
    report(Vec::new())
}
