//! What to look at next: rules as data, by the lock's name and by what its owners were doing; of Linux 6.18 unless said
//! otherwise.

use super::record::Doing;
use crate::output::{
    advice::{Adviser, Rule},
    record::verdict::Advice,
};

/// When a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// To locks of these names.
    Name(&'static [&'static str]),
    /// Where the owners were mostly doing this.
    Doing(Doing),
    /// Where nothing else does.
    Otherwise,
}

/// What an owner was doing, in a sentence.
pub(super) fn phrase(doing: Doing) -> &'static str {
    match doing {
        Doing::Running => "running on a CPU",
        Doing::Runnable => "waiting for a CPU",
        Doing::BlockedIo => "blocked in I/O",
        Doing::Reclaim => "reclaiming memory",
        Doing::Blocked => "asleep",
        Doing::HandedOver => "yet to wake up with it",
    }
}

/// Advice for a lock of this name, whose owners were mostly doing this; `holder` is the thread that held it most.
pub(super) fn advice(name: Option<&str>, doing: Option<Doing>, holder: Option<u32>) -> Vec<Advice> {
    let gaps = [("holder", holder.map(|tid| tid.to_string()))];
    let mut adviser = Adviser::new(&gaps);
    let named = |names: &[&str]| name.is_some_and(|name| names.contains(&name));
    adviser.add(RULES, usize::MAX, |when| matches!(when, When::Name(names) if named(names)));
    adviser.add(RULES, usize::MAX, |when| matches!(when, When::Doing(of) if Some(*of) == doing));
    let chosen = adviser.finish();
    if !chosen.is_empty() {
        return chosen;
    }
    let mut adviser = Adviser::new(&gaps);
    adviser.add(RULES, usize::MAX, |&when| when == When::Otherwise);
    adviser.finish()
}

/// The rules; `{holder}` stands for the thread that held the lock for most of the time.
pub(super) const RULES: &[Rule<When>] = &[
    Rule {
        id: "one-file-many-writers",
        when: When::Name(&["inode i_rwsem"]),
        text: "one file, or one directory, that several tasks write at once: let one of them write, or give each its own; direct overwrites of allocated blocks share the lock",
        source: "fs/ext4/file.c: ext4_dio_write_iter() takes i_rwsem shared for overwrites, ext4_buffered_write_iter() exclusively",
    },
    Rule {
        id: "split-the-write",
        when: When::Name(&["inode i_rwsem"]),
        text: "what the holder does under it: osdiag iolat splits a write's time, and says 'inode-lock' for those who wait",
        source: "docs/tools/iolat.md: filesystem.inode-lock",
    },
    Rule {
        id: "address-space-calls",
        when: When::Name(&["mmap_lock"]),
        text: "which calls change the address space: strace -f -c -e trace=%memory -p PID; allocators that return memory at once (M_TRIM_THRESHOLD of malloc, decay times of jemalloc), thread stacks, madvise",
        source: "mm/mmap.c, mm/madvise.c: mmap, munmap, brk, madvise and mprotect write mmap_lock; mallopt(3)",
    },
    Rule {
        id: "address-space-readers",
        when: When::Name(&["mmap_lock"]),
        text: "what reads it from outside: ps, top and monitoring read /proc/PID/cmdline, smaps or maps under the same lock",
        source: "fs/proc/task_mmu.c, mm/util.c: get_cmdline()",
    },
    Rule {
        id: "shared-pipe",
        when: When::Name(&["pipe mutex"]),
        text: "how many tasks share the pipe: each copies its data under one lock; a socket pair or a pipe for each writer shares less",
        source: "fs/pipe.c: one mutex for both ends, held while data is copied",
    },
    Rule {
        id: "pipe-size",
        when: When::Name(&["pipe mutex"]),
        text: "smaller writes hold it for a shorter time, larger pipes (F_SETPIPE_SZ) let it be taken less often",
        source: "fs/pipe.c; fcntl(2): F_SETPIPE_SZ",
    },
    Rule {
        id: "journal-size",
        when: When::Name(&["jbd2 j_checkpoint_mutex", "jbd2 j_state_lock", "jbd2 list lock"]),
        text: "the journal is full or commits slowly: its size (dumpe2fs -h), and how often fsync is called",
        source: "fs/jbd2/checkpoint.c: __jbd2_log_wait_for_space()",
    },
    Rule {
        id: "journal-waits",
        when: When::Name(&["jbd2 j_checkpoint_mutex", "jbd2 j_state_lock", "jbd2 list lock"]),
        text: "osdiag iolat says how long file operations wait for the journal, and for what it waits",
        source: "docs/tools/iolat.md: filesystem.journal",
    },
    Rule {
        id: "many-wake-ups",
        when: When::Name(&["run queue"]),
        text: "who waits for CPUs, and who has them: osdiag runq; many short wake-ups across CPUs show as this lock",
        source: "kernel/sched/core.c: ttwu_queue() takes the lock of the woken task's CPU",
    },
    Rule {
        id: "cgroup-changes",
        when: When::Name(&["cgroup_mutex", "cgroup_threadgroup_rwsem", "css_set_lock"]),
        text: "what creates, removes or fills cgroups: container starts and stops, and managers that move tasks",
        source: "kernel/cgroup/cgroup.c: cgroup_mkdir(), cgroup_rmdir(), cgroup_attach_task()",
    },
    Rule {
        id: "network-configuration",
        when: When::Name(&["rtnl_mutex"]),
        text: "what configures the network: ip monitor shows it; network plug-ins and monitoring that list interfaces in a loop",
        source: "net/core/rtnetlink.c: rtnetlink_rcv_msg()",
    },
    Rule {
        id: "program-locks",
        when: When::Name(&["futex hash bucket"]),
        text: "locks of the program itself: perf record -e syscalls:sys_enter_futex -g shows which",
        source: "kernel/futex/core.c: futex_hash(); futex(2)",
    },
    Rule {
        id: "memory-traffic",
        when: When::Name(&["zone lock", "lru_lock", "slab node list"]),
        text: "how memory comes and goes: vmstat 1 (free, si, so), and allocation rates in /proc/vmstat (pgalloc_*, pgscan_*)",
        source: "mm/page_alloc.c, mm/vmscan.c; include/linux/vm_event_item.h",
    },
    Rule {
        id: "process-churn",
        when: When::Name(&["tasklist_lock", "siglock"]),
        text: "how many processes and threads begin and end: perf stat -e sched:sched_process_fork,sched:sched_process_exit -a sleep 5",
        source: "kernel/fork.c: copy_process(), kernel/exit.c: release_task()",
    },
    Rule {
        id: "frozen-file-system",
        when: When::Name(&["super block freeze"]),
        text: "what froze the file system: fsfreeze, snapshots, backup programs",
        source: "fs/super.c: freeze_super()",
    },
    Rule {
        id: "sync-and-umount",
        when: When::Name(&["s_umount"]),
        text: "sync, mount and umount of that file system, and who calls them",
        source: "fs/super.c, fs/sync.c",
    },
    Rule {
        id: "holder-waits-for-disk",
        when: When::Doing(Doing::BlockedIo),
        text: "the holder waits for a disk: iostat -x 1 (r_await, w_await, aqu-sz), or osdiag iolat for its operations",
        source: "iostat(1)",
    },
    Rule {
        id: "holder-makes-memory",
        when: When::Doing(Doing::Reclaim),
        text: "the holder makes memory: memory limits of its cgroup (memory.max, memory.high), and free memory of the machine",
        source: "Documentation/admin-guide/cgroup-v2.rst: memory.max, memory.high",
    },
    Rule {
        id: "holder-has-no-cpu",
        when: When::Doing(Doing::Runnable),
        text: "the holder has no CPU: its cgroup's quota (cpu.stat, throttled_usec), its priority, and osdiag runq",
        source: "Documentation/admin-guide/cgroup-v2.rst: cpu.stat",
    },
    Rule {
        id: "holder-works",
        when: When::Doing(Doing::Running),
        text: "the holder works all the while: perf record -g -t {holder} shows at what",
        source: "perf-record(1): -t",
    },
    Rule {
        id: "holder-sleeps",
        when: When::Doing(Doing::Blocked),
        text: "the holder's own stack says what it waits for in turn: cat /proc/{holder}/stack",
        source: "proc(5): /proc/PID/stack",
    },
    Rule {
        id: "holder-wakes-up",
        when: When::Doing(Doing::HandedOver),
        text: "the lock is handed from one waiter to the next, and is idle until that one runs: how long woken tasks wait for a CPU (osdiag runq), and how many tasks take it",
        source: "kernel/locking/mutex.c: __mutex_handoff(), kernel/locking/rwsem.c: rwsem_mark_wake()",
    },
    Rule {
        id: "lock-callers",
        when: When::Otherwise,
        text: "the callers above: which system call takes the lock, and how often",
        source: "contract of osdiag.lock/1: locks[].callers",
    },
    Rule {
        id: "spin-stacks",
        when: When::Otherwise,
        text: "--spin takes the stacks of all waits for spinning locks",
        source: "osdiag lock --help: --spin",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{output::advice::check, tools::lock::names};

    #[test]
    fn rules_are_words_and_for_names_that_exist() {
        check(RULES);
        for rule in RULES {
            if let When::Name(of) = rule.when {
                for name in of {
                    assert!(names::RULES.iter().any(|rule| rule.name == *name), "{name}");
                }
            }
        }
    }

    #[test]
    fn there_is_always_some() {
        for doing in [None, Some(Doing::Running), Some(Doing::Blocked), Some(Doing::BlockedIo)] {
            for holder in [None, Some(7)] {
                let advice = advice(None, doing, holder);
                assert!(!advice.is_empty() && advice.iter().all(|advice| !advice.text.contains('{')));
            }
        }
        let advice = advice(Some("inode i_rwsem"), Some(Doing::Running), Some(415));
        assert_eq!(advice[0].rule, "one-file-many-writers");
        assert!(advice[2].text.contains("-t 415"), "{advice:?}");
    }
}
