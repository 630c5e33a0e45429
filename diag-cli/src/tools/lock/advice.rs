//! What to look at next. Data: by the lock's name, and by what its owners were doing; of Linux 6.18 unless said otherwise.

use super::record::Doing;

/// Lines of advice in a verdict at most.
const MOST: usize = 4;

/// What an owner was doing, in a sentence.
pub(super) fn phrase(doing: Doing) -> &'static str {
    match doing {
        Doing::Running => "running on a CPU",
        Doing::Runnable => "waiting for a CPU",
        Doing::BlockedIo => "blocked in I/O",
        Doing::Reclaim => "reclaiming memory",
        Doing::Blocked => "asleep",
    }
}

/// Advice for a lock of this name, whose owners were mostly doing this.
pub(super) fn advice(name: &str, doing: Option<Doing>) -> Vec<String> {
    let of_lock = BY_NAME.iter().filter(|(names, _)| names.contains(&name)).flat_map(|(_, texts)| *texts);
    let of_owner = BY_DOING.iter().filter(|(of, _)| Some(*of) == doing).flat_map(|(_, texts)| *texts);
    let chosen: Vec<String> = of_lock.chain(of_owner).take(MOST).map(|&text| text.to_owned()).collect();
    if chosen.is_empty() { ALWAYS.iter().map(|&text| text.to_owned()).collect() } else { chosen }
}

/// For locks of these names.
const BY_NAME: &[(&[&str], &[&str])] = &[
    // fs/ext4/file.c: buffered writes, appends and unaligned direct writes hold i_rwsem alone; direct overwrites share it.
    (
        &["inode i_rwsem"],
        &[
            "one file, or one directory, that several tasks write at once: let one of them write, or give each its own; direct overwrites of allocated blocks share the lock",
            "what the holder does under it: osdiag iolat splits a write's time, and says 'inode-lock' for those who wait",
        ],
    ),
    // mm/mmap.c, arch/x86/mm/fault.c: page faults take the lock of a VMA (6.4), or mmap_lock to read; mmap and others write.
    (
        &["mmap_lock"],
        &[
            "which calls change the address space: strace -f -c -e trace=%memory -p PID; allocators that return memory at once (M_TRIM_THRESHOLD of malloc, decay times of jemalloc), thread stacks, madvise",
            "whoever reads it from outside: ps, top and agents read /proc/PID/cmdline, smaps or maps under the same lock",
        ],
    ),
    // fs/pipe.c: one mutex for both ends, held while data is copied.
    (
        &["pipe mutex"],
        &[
            "how many tasks share the pipe: each copies its data under one lock; a socket pair or a pipe for each writer shares less",
            "smaller writes hold it for a shorter time, larger pipes (F_SETPIPE_SZ) let it be taken less often",
        ],
    ),
    // fs/jbd2/checkpoint.c
    (
        &["jbd2 j_checkpoint_mutex", "jbd2 j_state_lock", "jbd2 list lock"],
        &[
            "the journal is full or commits slowly: its size (dumpe2fs -h), and how often fsync is called",
            "osdiag iolat says how long file operations wait for the journal, and for what it waits",
        ],
    ),
    (
        &["run queue"],
        &[
            "who waits for CPUs, and who has them: osdiag runq; many short wake-ups across CPUs show as this lock",
        ],
    ),
    // kernel/cgroup/cgroup.c
    (
        &["cgroup_mutex", "cgroup_threadgroup_rwsem", "css_set_lock"],
        &["what creates, removes or fills cgroups: container starts and stops, and agents that move tasks"],
    ),
    (
        &["rtnl_mutex"],
        &[
            "what configures the network: ip monitor shows it; network plug-ins and agents that list interfaces in a loop",
        ],
    ),
    (
        &["futex hash bucket"],
        &["locks of the program itself: perf record -e syscalls:sys_enter_futex -g shows which"],
    ),
    (
        &["zone lock", "lru_lock", "slab node list"],
        &[
            "how memory comes and goes: vmstat 1 (free, si, so), and allocation rates in /proc/vmstat (pgalloc_*, pgscan_*)",
        ],
    ),
    (
        &["tasklist_lock", "siglock"],
        &[
            "how many processes and threads begin and end: perf stat -e sched:sched_process_fork,sched:sched_process_exit -a sleep 5",
        ],
    ),
    (&["super block freeze"], &["who froze the file system: fsfreeze, snapshots, backup agents"]),
    (&["s_umount"], &["sync, mount and umount of that file system, and who calls them"]),
];

/// Where the owners were mostly doing this.
const BY_DOING: &[(Doing, &[&str])] = &[
    (
        Doing::BlockedIo,
        &[
            "the holder waits for a disk: iostat -x 1 (r_await, w_await, aqu-sz), or osdiag iolat for its operations",
        ],
    ),
    (
        Doing::Reclaim,
        &[
            "the holder makes memory: memory limits of its cgroup (memory.max, memory.high), and free memory of the machine",
        ],
    ),
    (
        Doing::Runnable,
        &[
            "the holder has no CPU: its cgroup's quota (cpu.stat, throttled_usec), its priority, and osdiag runq",
        ],
    ),
    (Doing::Running, &["the holder works all the while: perf record -g -p PID shows at what"]),
    (Doing::Blocked, &["the holder's own stack says what it waits for in turn"]),
];

/// Where nothing else is known.
const ALWAYS: &[&str] = &[
    "the callers above: which system call takes the lock, and how often",
    "--spin takes the stacks of all waits for spinning locks",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::lock::names::RULES;

    #[test]
    fn advice_is_for_names_that_exist() {
        for name in BY_NAME.iter().flat_map(|(names, _)| *names) {
            assert!(RULES.iter().any(|rule| rule.name == *name), "{name}");
        }
    }

    #[test]
    fn there_is_always_some() {
        for doing in [None, Some(Doing::Running), Some(Doing::Blocked), Some(Doing::BlockedIo)] {
            assert!(!advice("unknown", doing).is_empty());
            assert!(advice("inode i_rwsem", doing).len() <= MOST);
        }
    }
}
