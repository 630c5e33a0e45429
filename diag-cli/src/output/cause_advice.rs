//! What to look at next where a cause dominates: rules as data, of Linux 6.18 unless said otherwise.

use diag_common::cause::Cause;

use super::advice::{Adviser, Rule};

/// Rules of the root that come before those of the cause itself.
const OF_ROOT: usize = 2;

/// When a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct When {
    cause: Cause,
    /// Only where the cause was itself held up by this.
    via: Option<Cause>,
}

const fn on(cause: Cause) -> When {
    When { cause, via: None }
}

const fn through(cause: Cause, via: Cause) -> When {
    When { cause, via: Some(via) }
}

/// Adds what to look at next when `cause`, reached through `via`, dominates: first what fits the pair, then what fits the
/// root, then the cause. Gaps are `device`, its name, and `list`, that of the record's list of single cases with stacks.
pub(crate) fn add(adviser: &mut Adviser<'_>, cause: Cause, via: Option<Cause>) {
    if let Some(via) = via {
        adviser.add(RULES, usize::MAX, |&when| when == through(cause, via));
        adviser.add(RULES, OF_ROOT, |&when| when == on(via));
    }
    adviser.add(RULES, usize::MAX, |&when| when == on(cause));
}

/// The rules.
pub(crate) const RULES: &[Rule<When>] = &[
    Rule {
        id: "reclaim-of-the-disk",
        when: through(Cause::Reclaim, Cause::Device),
        text: "reclaim itself waited for the disk: is it swapping (vmstat 1: so) or writing dirty pages (nr_vmscan_write in /proc/vmstat)?",
        source: "mm/vmscan.c: pageout() counts NR_VMSCAN_WRITE for what reclaim itself writes",
    },
    Rule {
        id: "memory-shortage",
        when: on(Cause::Reclaim),
        text: "how short memory is: /proc/pressure/memory, MemAvailable in /proc/meminfo, allocstall_* and pgscan_direct in /proc/vmstat",
        source: "Documentation/accounting/psi.rst; include/linux/vm_event_item.h (ALLOCSTALL, PGSCAN_DIRECT)",
    },
    Rule {
        id: "watermark-scale",
        when: on(Cause::Reclaim),
        text: "a higher vm.watermark_scale_factor wakes kswapd earlier, so that tasks need not free memory themselves",
        source: "Documentation/admin-guide/sysctl/vm.rst: watermark_scale_factor",
    },
    Rule {
        id: "memcg-limit",
        when: on(Cause::MemcgReclaim),
        text: "the limit: memory.current against memory.high and memory.max, and memory.events (v1: memory.usage_in_bytes, memory.failcnt)",
        source: "Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst",
    },
    Rule {
        id: "memcg-contents",
        when: on(Cause::MemcgReclaim),
        text: "what fills the cgroup: anon, file and file_dirty in its memory.stat; much file_dirty means that it waits for writeback",
        source: "Documentation/admin-guide/cgroup-v2.rst, memory.stat",
    },
    Rule {
        id: "thp-defrag",
        when: on(Cause::Compaction),
        text: "who wants large pages at once: /sys/kernel/mm/transparent_hugepage/defrag; 'defer+madvise' leaves it to kcompactd",
        source: "Documentation/admin-guide/mm/transhuge.rst: defrag",
    },
    Rule {
        id: "fragmentation",
        when: on(Cause::Compaction),
        text: "how fragmented memory is: /proc/buddyinfo, and compact_stall in /proc/vmstat over time",
        source: "Documentation/filesystems/proc.rst: buddyinfo; include/linux/vm_event_item.h (COMPACTSTALL)",
    },
    Rule {
        id: "dirty-amount",
        when: on(Cause::DirtyThrottle),
        text: "how much waits to be written: Dirty and Writeback in /proc/meminfo against vm.dirty_ratio or vm.dirty_bytes",
        source: "Documentation/admin-guide/sysctl/vm.rst: dirty_*; mm/page-writeback.c",
    },
    Rule {
        id: "disk-write-rate",
        when: on(Cause::DirtyThrottle),
        text: "how fast the disk takes it: iostat -x {device} 1 (wkB/s, w_await); writers are slowed down to that rate",
        source: "iostat(1) of sysstat 12",
    },
    Rule {
        id: "dirty-background",
        when: on(Cause::DirtyThrottle),
        text: "a lower vm.dirty_background_bytes starts writeback earlier, which makes stalls shorter and more even",
        source: "Documentation/admin-guide/sysctl/vm.rst: dirty_background_bytes",
    },
    Rule {
        id: "memcg-dirty",
        when: on(Cause::DirtyThrottle),
        text: "in a memory cgroup the ratio is of the cgroup's own memory: file_dirty and file_writeback in its memory.stat",
        source: "Documentation/admin-guide/cgroup-v2.rst, 'Writeback'",
    },
    Rule {
        id: "swapped-out",
        when: on(Cause::SwapIn),
        text: "who is swapped out: vmstat 1 (si, so), and VmSwap in /proc/PID/status; in a cgroup memory.swap.current",
        source: "vmstat(8), Documentation/filesystems/proc.rst: VmSwap",
    },
    Rule {
        id: "swappiness",
        when: on(Cause::SwapIn),
        text: "whether memory is short or the kernel swaps early: MemAvailable in /proc/meminfo, vm.swappiness",
        source: "Documentation/admin-guide/sysctl/vm.rst: swappiness",
    },
    Rule {
        id: "working-set",
        when: on(Cause::Refault),
        text: "the working set does not fit: workingset_refault_file in /proc/vmstat or the cgroup's memory.stat, over time",
        source: "mm/workingset.c; Documentation/admin-guide/cgroup-v2.rst, memory.stat",
    },
    Rule {
        id: "memory-pressure",
        when: on(Cause::Refault),
        text: "what that costs altogether: /proc/pressure/memory, or memory.pressure of the cgroup",
        source: "Documentation/accounting/psi.rst",
    },
    Rule {
        id: "memory-high",
        when: on(Cause::MemcgThrottle),
        text: "memory.current against memory.high, and 'high' in memory.events; parents' limits count as well",
        source: "Documentation/admin-guide/cgroup-v2.rst, memory.high; mm/memcontrol.c: mem_cgroup_handle_over_high()",
    },
    Rule {
        id: "inode-writers",
        when: on(Cause::InodeLock),
        text: "who else writes to the file: ext4 and xfs let writers in one by one, but for direct writes within the file's size",
        source: "fs/ext4/file.c: ext4_dio_write_checks(); fs/xfs/xfs_file.c: xfs_file_dio_write_aligned()",
    },
    Rule {
        id: "xfs-buffered-reads",
        when: on(Cause::InodeLock),
        text: "on xfs buffered reads wait for a writer of the same file as well; smaller writes let them in sooner",
        source: "fs/xfs/xfs_file.c: xfs_file_buffered_read()",
    },
    Rule {
        id: "jbd2-info",
        when: on(Cause::Journal),
        text: "ext4: cat /proc/fs/jbd2/*/info shows how long commits take, and which step of them",
        source: "fs/jbd2/journal.c: jbd2_seq_info_show()",
    },
    Rule {
        id: "fsync-callers",
        when: on(Cause::Journal),
        text: "who calls fsync: every commit is shared by all writers of the file system; on xfs, the size of the log (xfs_info)",
        source: "Documentation/filesystems/ext4/journal.rst; xfs_info(8)",
    },
    Rule {
        id: "freeze-owner",
        when: on(Cause::Freeze),
        text: "who froze it: a snapshot or backup, by fsfreeze, LVM or the guest agent (journalctl -u qemu-guest-agent)",
        source: "fsfreeze(8); qemu-ga(8)",
    },
    Rule {
        id: "thaw",
        when: on(Cause::Freeze),
        text: "if whoever froze it is gone: fsfreeze -u MOUNTPOINT",
        source: "fsfreeze(8)",
    },
    Rule {
        id: "filesystem-lock-stack",
        when: on(Cause::FsLock),
        text: "where it waits: 'stack' under '{list}' in --json; the lock's owner is usually in the same file system",
        source: "osdiag schema: stack",
    },
    Rule {
        id: "filesystem-wait-stack",
        when: on(Cause::FsWait),
        text: "where it waits: 'stack' under '{list}' in --json",
        source: "osdiag schema: stack",
    },
    Rule {
        id: "device-latency",
        when: on(Cause::Device),
        text: "iostat -x {device} 1: a high r_await or w_await at a small aqu-sz is slowness below the guest, in the storage or its host",
        source: "iostat(1) of sysstat 12",
    },
    Rule {
        id: "volume-limit",
        when: on(Cause::Device),
        text: "whether the volume is at its limit: r/s + w/s and rkB/s + wkB/s there against the IOPS and throughput it was given",
        source: "Documentation/ABI/stable/sysfs-block: stat; the limits are the provider's",
    },
    Rule {
        id: "device-failing",
        when: on(Cause::Device),
        text: "whether it fails: dmesg -T | grep -iE '{device}|timeout|reset|I/O error'",
        source: "Documentation/ABI/stable/sysfs-block: queue/io_timeout",
    },
    Rule {
        id: "queue-depth",
        when: on(Cause::Queue),
        text: "who fills the queue: iostat -x {device} 1 (aqu-sz), and the other operations above; queue/nr_requests is its depth",
        source: "iostat(1) of sysstat 12; Documentation/ABI/stable/sysfs-block: queue/nr_requests, queue/scheduler",
    },
    Rule {
        id: "io-scheduler",
        when: on(Cause::Queue),
        text: "which scheduler orders it: cat /sys/class/block/{device}/queue/scheduler (of the whole disk); mq-deadline and bfq may favour others",
        source: "Documentation/block/switching-sched.rst",
    },
    Rule {
        id: "cgroup-io-limits",
        when: on(Cause::BlockThrottle),
        text: "limits of the cgroup and its parents: io.max, io.latency, io.weight with io.cost.qos (v1: blkio.throttle.*)",
        source: "Documentation/admin-guide/cgroup-v2.rst, 'IO'; cgroup-v1/blkio-controller.rst",
    },
    Rule {
        id: "writeback-throttling",
        when: on(Cause::BlockThrottle),
        text: "writeback throttling: queue/wbt_lat_usec of the whole disk in /sys/block; 0 switches it off",
        source: "Documentation/ABI/stable/sysfs-block: queue/wbt_lat_usec",
    },
    Rule {
        id: "block-layer-stack",
        when: on(Cause::BlockWait),
        text: "iostat -x {device} 1, and 'stack' under '{list}' in --json",
        source: "iostat(1) of sysstat 12",
    },
    Rule {
        id: "cpu-profile",
        when: on(Cause::Run),
        text: "what it computes: perf record -g -p PID; large calls copy memory, and encryption or compression runs here",
        source: "perf-record(1)",
    },
    Rule {
        id: "runnable-tasks",
        when: on(Cause::Runqueue),
        text: "how many want to run: vmstat 1 (r) against the CPUs, /proc/pressure/cpu; who runs: pidstat -u 1",
        source: "Documentation/accounting/psi.rst; vmstat(8)",
    },
    Rule {
        id: "cpu-affinity",
        when: on(Cause::Runqueue),
        text: "whether the task may run where CPUs are free: taskset -p PID, cpuset.cpus and cpu.weight of its cgroup",
        source: "Documentation/admin-guide/cgroup-v2.rst, cpu.weight",
    },
    Rule {
        id: "cpu-quota",
        when: on(Cause::Throttled),
        text: "nr_throttled and throttled_usec in the cgroup's cpu.stat; a larger cpu.max, or fewer threads, ends it (v1: cpu.cfs_quota_us)",
        source: "Documentation/scheduler/sched-bwc.rst",
    },
    Rule {
        id: "interrupt-sources",
        when: on(Cause::Irq),
        text: "which interrupts: mpstat -I ALL -P ALL 1, /proc/softirqs; /proc/irq/*/smp_affinity_list moves them to other CPUs",
        source: "Documentation/filesystems/proc.rst: interrupts, softirqs; Documentation/core-api/irq/irq-affinity.rst",
    },
    Rule {
        id: "steal-time",
        when: on(Cause::Steal),
        text: "st in vmstat 1: the host has too few CPUs for its guests, or this one has used up its credits; only the host can tell",
        source: "Documentation/filesystems/proc.rst: stat, 'steal'",
    },
    Rule {
        id: "lock-stack",
        when: on(Cause::KernelLock),
        text: "where it waits: 'stack' under '{list}' in --json",
        source: "osdiag schema: stack",
    },
    Rule {
        id: "oom-kills",
        when: on(Cause::Oom),
        text: "who was killed, and for which cgroup: dmesg -T | grep -i 'out of memory', oom_kill in memory.events; what is left is short",
        source: "Documentation/admin-guide/cgroup-v2.rst, memory.events; mm/oom_kill.c",
    },
    Rule {
        id: "filesystem-server",
        when: on(Cause::Server),
        text: "whether the server answers: nfsiostat 1 and dmesg -T for NFS, /proc/fs/cifs/Stats for CIFS, the process behind the mount for FUSE",
        source: "nfsiostat(8); Documentation/filesystems/fuse.rst",
    },
    Rule {
        id: "uring-workers",
        when: on(Cause::UringWorker),
        text: "how many workers its rings may have: IORING_REGISTER_IOWQ_MAX_WORKERS, and RLIMIT_NPROC; requests that block go to them",
        source: "io_uring_register(2)",
    },
    Rule {
        id: "uring-links",
        when: on(Cause::UringLink),
        text: "whether its requests need their order: one with IOSQE_IO_LINK or IOSQE_IO_DRAIN waits for those before it",
        source: "io_uring_enter(2)",
    },
    Rule {
        id: "uring-completion",
        when: on(Cause::UringTaskwork),
        text: "the owner of the ring was busy elsewhere: it sees completions only when it enters the kernel (IORING_SETUP_DEFER_TASKRUN)",
        source: "io_uring_setup(2)",
    },
    Rule {
        id: "host-memory",
        when: on(Cause::HostMemory),
        text: "the host has swapped out memory of this guest: nothing in the guest helps; show it to the provider",
        source: "Documentation/virt/kvm/x86/msr.rst: MSR_KVM_ASYNC_PF_EN",
    },
    Rule {
        id: "mmap-lock",
        when: on(Cause::MmapLock),
        text: "one thread of the process maps, unmaps or faults while others wait: fewer mmap, munmap, mprotect and madvise calls, larger arenas of the allocator",
        source: "include/linux/mmap_lock.h; mmap(2), madvise(2)",
    },
    Rule {
        id: "unknown-wait-stack",
        when: on(Cause::OtherWait),
        text: "where it waits: 'stack' under '{list}' in --json; a place that osdiag should know is worth a report",
        source: "osdiag schema: stack",
    },
];

#[cfg(test)]
mod tests {
    use diag_common::cause::Class;

    use super::*;
    use crate::output::advice::check;

    #[test]
    fn every_cause_that_can_be_a_verdict_has_advice() {
        check(RULES);
        for &cause in Cause::ALL.iter().filter(|cause| cause.class() == Class::Lost) {
            let gaps = [("device", None), ("list", Some("longest".to_owned()))];
            let mut adviser = Adviser::new(&gaps);
            add(&mut adviser, cause, None);
            let advice = adviser.finish();
            // What needs the device's name is left out where that is not known.
            assert!(!advice.is_empty() || cause == Cause::Queue || cause == Cause::BlockWait, "{cause:?}");
            assert!(advice.iter().all(|advice| !advice.text.contains('{')), "{advice:?}");
        }
    }
}
