//! What to look at next: rules, each with where it comes from.

use diag_common::cause::Cause;

use super::{
    causes::{Served, served_by_type},
    place::is_in_fault,
    record::{Relation, StuckTask},
};
use crate::output::{
    advice::{Adviser, Rule},
    record::{state::TaskState, verdict::Advice},
};

/// When a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Somebody waits for itself.
    Deadlock,
    /// The task at the end of the chain is in this state, whatever it is to the others.
    Held(TaskState),
    /// The end of the chain is this, and not held; in this state, or any where there is none.
    End(Relation, Option<TaskState>),
    /// The innermost wait is for this.
    Cause(Cause),
    /// The innermost wait is for a server of this kind.
    Server(Served),
    /// The innermost wait is for a page of a mapping.
    Fault,
}

/// `{pid}` is the process at the end of the chain; `{tid}` is the innermost task that waits, `{device}` and `{mount}` those of its
/// wait. What changes the system names only what is proven: a rule that needs more than is known does not apply.
pub(super) const RULES: &[Rule<When>] = &[
    Rule {
        id: "deadlock",
        when: When::Deadlock,
        text: "nothing but ending one of them helps: kill a killable one; for a FUSE server, kill it or write 1 to abort of its connection in fusectl",
        source: "Documentation/filesystems/fuse/fuse.rst: Aborting a filesystem connection",
    },
    Rule {
        id: "stopped",
        when: When::Held(TaskState::Stopped),
        text: "it is stopped: who stopped it (a debugger, a shell, kill -STOP)? kill -CONT {pid} lets it go on",
        source: "signal(7); kernel/signal.c, 6.18",
    },
    Rule {
        id: "traced",
        when: When::Held(TaskState::Traced),
        text: "a tracer has stopped it: TracerPid in /proc/{pid}/status says who",
        source: "ptrace(2), proc_pid_status(5)",
    },
    Rule {
        id: "frozen",
        when: When::Held(TaskState::Frozen),
        text: "the freezer holds it, as after docker pause or systemctl freeze: /proc/{pid}/cgroup says in which cgroup; docker unpause or systemctl thaw let it go on, else 0 into its cgroup.freeze (v2) or THAWED into its freezer.state (v1)",
        source: "Documentation/admin-guide/cgroup-v2.rst: cgroup.freeze; cgroup-v1/freezer-subsystem.rst",
    },
    Rule {
        id: "fuse-server",
        when: When::End(Relation::FuseServer, None),
        text: "what the server does: cat /proc/{pid}/stack, gdb or strace -p {pid}; killing it fails all that waits for it",
        source: "Documentation/filesystems/fuse/fuse.rst: Aborting a filesystem connection",
    },
    Rule {
        id: "holder-running",
        when: When::End(Relation::Holder, Some(TaskState::Running)),
        text: "the holder runs, or waits for a CPU: perf top -p {pid}, and nr_throttled in its cgroup's cpu.stat",
        source: "perf-top(1); Documentation/scheduler/sched-bwc.rst",
    },
    Rule {
        id: "holder-sleeping",
        when: When::End(Relation::Holder, Some(TaskState::Sleeping)),
        text: "what the holder sleeps for: cat /proc/{pid}/stack",
        source: "proc_pid_stack(5)",
    },
    Rule {
        id: "vfork-child",
        when: When::End(Relation::VforkChild, None),
        text: "what keeps the child from exec: cat /proc/{pid}/stack, strace -p {pid}",
        source: "vfork(2)",
    },
    Rule {
        id: "who-froze",
        when: When::Cause(Cause::Freeze),
        text: "who froze it, which the kernel does not keep: a snapshot or backup agent that has not finished, or died",
        source: "ioctl_fsfreeze(2); fs/super.c, 6.18",
    },
    Rule {
        id: "thaw",
        when: When::Cause(Cause::Freeze),
        text: "if whoever froze it is gone: fsfreeze -u {mount}",
        source: "fsfreeze(8)",
    },
    Rule {
        id: "file-server",
        when: When::Server(Served::Network),
        text: "whether the server answers: ping it, rpcinfo -T tcp SERVER nfs; dmesg | grep 'not responding'",
        source: "nfs(5), nfsstat(8)",
    },
    Rule {
        id: "unmount-by-force",
        when: When::Server(Served::Network),
        text: "umount -f {mount} fails what waits for it; a mount with soft or timeo= gives up by itself",
        source: "umount(8), nfs(5)",
    },
    Rule {
        id: "virtiofs-host",
        when: When::Server(Served::Host),
        text: "the host serves this file system: whether virtiofsd runs there, and its storage answers",
        source: "Documentation/filesystems/virtiofs.rst",
    },
    Rule {
        id: "mapped-page",
        when: When::Fault,
        text: "it waits for a page of a file that it has mapped, not for the file of its call, and the kernel does not tell which: cat /proc/{tid}/maps lists them, and may itself have to wait",
        source: "mm/memory.c, mm/filemap.c, 6.18; proc_pid_maps(5)",
    },
    Rule {
        id: "requests-in-flight",
        when: When::Cause(Cause::BlockWait),
        text: "whether requests come back at all: cat /sys/class/block/{device}/inflight, twice; iostat -x {device} 1",
        source: "Documentation/ABI/stable/sysfs-block: inflight; iostat(1)",
    },
    Rule {
        id: "device-errors",
        when: When::Cause(Cause::BlockWait),
        text: "whether {device} fails: dmesg -T | grep -iE 'timeout|reset|I/O error'; on a cloud disk, its state at the provider",
        source: "Documentation/ABI/stable/sysfs-block: queue/io_timeout",
    },
    Rule {
        id: "io-limit",
        when: When::Cause(Cause::BlockWait),
        text: "whether a limit holds it back: io.max (v2) or blkio.throttle.* (v1) of the cgroups that /proc/{tid}/cgroup names",
        source: "Documentation/admin-guide/cgroup-v2.rst: io.max; cgroup-v1/blkio-controller.rst",
    },
    Rule {
        id: "journal",
        when: When::Cause(Cause::Journal),
        text: "osdiag iolat -d 10s shows what else waits for the journal, and what that waits for",
        source: "fs/jbd2/journal.c, 6.18: kjournald2",
    },
    Rule {
        id: "blocked-stacks",
        when: When::Cause(Cause::KernelLock),
        text: "where no holder is named: echo w > /proc/sysrq-trigger writes all blocked tasks' stacks to the kernel's log",
        source: "Documentation/admin-guide/sysrq.rst",
    },
    Rule {
        id: "stack",
        when: When::Cause(Cause::OtherWait),
        text: "where it sleeps: 'stack' in --json; echo w > /proc/sysrq-trigger writes all blocked tasks' stacks to the kernel's log",
        source: "Documentation/admin-guide/sysrq.rst; Documentation/admin-guide/sysctl/kernel.rst: hung_task_*",
    },
];

/// Causes that the same rules are for.
fn rule_for(cause: Cause) -> Cause {
    match cause {
        Cause::Device | Cause::Queue => Cause::BlockWait,
        Cause::InodeLock | Cause::FsLock | Cause::MmapLock => Cause::KernelLock,
        Cause::FsWait => Cause::OtherWait,
        cause => cause,
    }
}

/// States in which a task does nothing, whatever it was about to do.
const HELD: &[TaskState] = &[TaskState::Stopped, TaskState::Traced, TaskState::Frozen];

/// What to look at next for a stuck task.
pub(super) fn advice(task: &StuckTask) -> Vec<Advice> {
    let deadlock = task.is_deadlock();
    let innermost = task.innermost();
    let (cause, place, stack) = (innermost.cause, innermost.place, innermost.stack);
    let end = task.chain.last().filter(|_| !deadlock);
    let state = end.and_then(|end| end.state);
    let held = state.is_some_and(|state| HELD.contains(&state));
    let served = place.filesystem.as_deref().and_then(served_by_type);
    let applies = |when: &When| match *when {
        When::Deadlock => deadlock,
        When::Held(wanted) => state == Some(wanted),
        When::End(relation, wanted) => {
            let is = end.is_some_and(|end| end.relation == relation && end.task.is_some());
            is && !held && (wanted.is_none() || wanted == state)
        }
        When::Cause(wanted) => rule_for(cause) == wanted,
        When::Fault => stack.is_some_and(is_in_fault),
        When::Server(wanted) => cause == Cause::Server && served == Some(wanted),
    };
    let pid = end.and_then(|end| Some(end.task.as_ref()?.pid?.to_string()));
    let device = place.device.as_ref().and_then(|device| device.name.clone());
    let tid = innermost.task.and_then(|task| Some(task.tid?.to_string()));
    // A path in a container's mount namespace is another file system's here, or nobody's.
    let mount = place.own_point.as_deref().and_then(|point| str::from_utf8(point).ok()).map(quoted);
    let gaps = [("pid", pid), ("tid", tid), ("device", device), ("mount", mount)];
    let mut adviser = Adviser::new(&gaps);
    adviser.add(RULES, usize::MAX, applies);
    adviser.finish()
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        output::advice::check,
        tools::hung::{
            record::StuckPlace,
            sample::{chain, crowd_of},
        },
    };

    fn texts(task: &StuckTask) -> Vec<String> {
        advice(task).into_iter().map(|advice| advice.text).collect()
    }

    fn ids(task: &StuckTask) -> Vec<&'static str> {
        advice(task).into_iter().map(|advice| advice.rule).collect()
    }

    #[test]
    fn rules_are_well_formed() {
        check(RULES);
    }

    #[test]
    fn a_rule_that_needs_what_is_not_known_does_not_apply() {
        let mut task = crowd_of(1).remove(0);
        assert_eq!(texts(&task)[1], "if whoever froze it is gone: fsfreeze -u /srv/frozen");
        task.place.own_point = None;
        assert_eq!(ids(&task), ["who-froze"]);
    }

    #[test]
    fn a_server_that_is_held_is_let_go_on_and_one_that_sleeps_looked_at() {
        let mut task = chain();
        assert!(texts(&task)[0].contains("kill -CONT 400"));
        for (state, expected) in [
            (TaskState::Stopped, "stopped"),
            (TaskState::Frozen, "frozen"),
            (TaskState::Traced, "traced"),
            (TaskState::Sleeping, "fuse-server"),
            (TaskState::Running, "fuse-server"),
        ] {
            task.chain.last_mut().expect("a chain").state = Some(state);
            assert_eq!(ids(&task), [expected]);
        }
    }

    #[test]
    fn a_mount_point_is_one_word_of_the_shell() {
        let mut task = crowd_of(1).remove(0);
        task.place.own_point = Some(b"/srv/it's here".to_vec());
        assert!(texts(&task)[1].ends_with(r"fsfreeze -u '/srv/it'\''s here'"), "{:?}", texts(&task));
    }

    #[test]
    fn a_mount_is_named_as_it_is_seen_here_and_not_in_a_container() {
        let mut task = crowd_of(1).remove(0);
        task.place.mount = Some("/".into());
        assert!(texts(&task)[1].ends_with("fsfreeze -u /srv/frozen"), "{:?}", texts(&task));
    }

    #[test]
    fn a_wait_for_a_page_of_a_mapping_accuses_no_device() {
        let mut task = crowd_of(1).remove(0);
        task.keys.cause = Cause::BlockWait;
        task.stack = Some(vec!["folio_wait_bit_common".into(), "filemap_fault".into()]);
        task.place = StuckPlace::default();
        assert_eq!(ids(&task), ["mapped-page", "io-limit"]);
        task.keys.cause = Cause::Freeze;
        assert_eq!(ids(&task), ["who-froze", "mapped-page"]);
    }

    #[test]
    fn a_child_that_is_stopped_is_let_go_on() {
        let mut task = chain();
        task.chain.last_mut().expect("a chain").relation = Relation::VforkChild;
        assert!(texts(&task)[0].contains("kill -CONT 400"), "{:?}", texts(&task));
    }
}
