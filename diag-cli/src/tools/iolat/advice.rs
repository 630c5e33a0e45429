//! What each cause is called in a sentence, and what to look at next where it dominates. Data, in the order of
//! [`Cause`]; each piece of advice stands below its source, of Linux 6.18 unless said otherwise.

use diag_common::cause::Cause;

/// Lines of advice in a verdict at most.
const MOST: usize = 4;

/// What a task does in the time of a cause: `… % of that is {}`.
pub(crate) fn phrase(cause: Cause) -> &'static str {
    match cause {
        Cause::Reclaim => "direct reclaim: the task itself had to free memory",
        Cause::MemcgReclaim => "reclaim in its memory cgroup, which is at its limit",
        Cause::Compaction => "memory compaction",
        Cause::DirtyThrottle => "dirty throttling (balance_dirty_pages)",
        Cause::SwapIn => "reading pages back from swap",
        Cause::Refault => "reading back pages that had just been evicted (thrashing)",
        Cause::MemcgThrottle => "throttling because its cgroup is above memory.high",
        Cause::InodeLock => "waiting for the file's lock (i_rwsem)",
        Cause::Journal => "waiting for the journal",
        Cause::Freeze => "waiting for the file system, which is frozen",
        Cause::FsLock => "waiting for a lock of the file system",
        Cause::FsWait => "waiting for the file system",
        Cause::Device => "waiting for the device",
        Cause::Queue => "waiting in the queue before the device",
        Cause::BlockThrottle => "being held back by an I/O limit of this guest",
        Cause::BlockWait => "waiting in the block layer",
        Cause::Run => "running on the CPU",
        Cause::Runqueue => "waiting for a free CPU (run queue)",
        Cause::Throttled => "being held by its CPU quota (cpu.max)",
        Cause::Irq => "being interrupted",
        Cause::Steal => "steal: the hypervisor ran something else on the CPU",
        Cause::OtherLock => "waiting for a lock outside the file system",
        Cause::OtherWait => "a wait that nothing explains",
    }
}

/// What held somebody up: `which was itself held up by {}`.
pub(crate) fn noun(cause: Cause) -> &'static str {
    match cause {
        Cause::Reclaim => "direct reclaim",
        Cause::MemcgReclaim => "memory-cgroup reclaim",
        Cause::Compaction => "compaction",
        Cause::DirtyThrottle => "dirty throttling",
        Cause::SwapIn => "swap",
        Cause::Refault => "thrashing",
        Cause::MemcgThrottle => "memory.high",
        Cause::InodeLock => "an inode lock",
        Cause::Journal => "the journal",
        Cause::Freeze => "a frozen file system",
        Cause::FsLock => "a file-system lock",
        Cause::FsWait => "the file system",
        Cause::Device => "the device",
        Cause::Queue => "the queue before the device",
        Cause::BlockThrottle => "an I/O limit",
        Cause::BlockWait => "the block layer",
        Cause::Run => "work on the CPU",
        Cause::Runqueue => "the run queue",
        Cause::Throttled => "a CPU quota",
        Cause::Irq => "interrupts",
        Cause::Steal => "the hypervisor",
        Cause::OtherLock => "a lock",
        Cause::OtherWait => "an unexplained wait",
    }
}

/// What to look at next when `cause`, reached through `via`, dominates on `device`: first what fits the pair, then
/// what fits the root, then the cause.
pub(crate) fn advice(cause: Cause, via: Option<Cause>, device: &str) -> Vec<String> {
    let of = |cause, via| {
        RULES.iter().filter(move |rule| rule.cause == cause && rule.via == via).map(|rule| rule.text)
    };
    let pair = via.into_iter().flat_map(|via| of(cause, Some(via)));
    let root = via.into_iter().flat_map(|via| of(via, None).take(2));
    let mut texts: Vec<String> = Vec::new();
    for text in pair.chain(root).chain(of(cause, None)) {
        let text = text.replace("{device}", device);
        if !texts.contains(&text) && texts.len() < MOST {
            texts.push(text);
        }
    }
    texts
}

/// Something worth looking at.
struct Rule {
    cause: Cause,
    /// Only where the cause was itself held up by this.
    via: Option<Cause>,
    /// One line; `{device}` stands for the device's name.
    text: &'static str,
}

const fn on(cause: Cause, text: &'static str) -> Rule {
    Rule { cause, via: None, text }
}

const fn through(cause: Cause, via: Cause, text: &'static str) -> Rule {
    Rule { cause, via: Some(via), text }
}

const RULES: &[Rule] = &[
    // mm/vmscan.c: pageout() counts NR_VMSCAN_WRITE for what reclaim itself writes.
    through(
        Cause::Reclaim,
        Cause::Device,
        "reclaim itself waited for the disk: is it swapping (vmstat 1: so) or writing dirty pages (nr_vmscan_write in /proc/vmstat)?",
    ),
    // Documentation/accounting/psi.rst; include/linux/vm_event_item.h (ALLOCSTALL, PGSCAN_DIRECT).
    on(
        Cause::Reclaim,
        "how short memory is: /proc/pressure/memory, MemAvailable in /proc/meminfo, allocstall_* and pgscan_direct in /proc/vmstat",
    ),
    // Documentation/admin-guide/sysctl/vm.rst: watermark_scale_factor.
    on(
        Cause::Reclaim,
        "a higher vm.watermark_scale_factor wakes kswapd earlier, so that tasks need not free memory themselves",
    ),
    // Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
    on(
        Cause::MemcgReclaim,
        "the limit: memory.current against memory.high and memory.max, and memory.events (v1: memory.usage_in_bytes, memory.failcnt)",
    ),
    // Documentation/admin-guide/cgroup-v2.rst, memory.stat.
    on(
        Cause::MemcgReclaim,
        "what fills the cgroup: anon, file and file_dirty in its memory.stat; much file_dirty means that it waits for writeback",
    ),
    // Documentation/admin-guide/mm/transhuge.rst: defrag.
    on(
        Cause::Compaction,
        "who wants large pages at once: /sys/kernel/mm/transparent_hugepage/defrag; 'defer+madvise' leaves it to kcompactd",
    ),
    // Documentation/filesystems/proc.rst: buddyinfo; include/linux/vm_event_item.h (COMPACTSTALL).
    on(
        Cause::Compaction,
        "how fragmented memory is: /proc/buddyinfo, and compact_stall in /proc/vmstat over time",
    ),
    // Documentation/admin-guide/sysctl/vm.rst: dirty_*; mm/page-writeback.c.
    on(
        Cause::DirtyThrottle,
        "how much waits to be written: Dirty and Writeback in /proc/meminfo against vm.dirty_ratio or vm.dirty_bytes",
    ),
    // iostat(1) of sysstat 12.
    on(
        Cause::DirtyThrottle,
        "how fast the disk takes it: iostat -x {device} 1 (wkB/s, w_await); writers are slowed down to that rate",
    ),
    // Documentation/admin-guide/sysctl/vm.rst: dirty_background_bytes.
    on(
        Cause::DirtyThrottle,
        "a lower vm.dirty_background_bytes starts writeback earlier, which makes stalls shorter and more even",
    ),
    // Documentation/admin-guide/cgroup-v2.rst, "Writeback".
    on(
        Cause::DirtyThrottle,
        "in a memory cgroup the ratio is of the cgroup's own memory: file_dirty and file_writeback in its memory.stat",
    ),
    // vmstat(8), Documentation/filesystems/proc.rst: VmSwap.
    on(
        Cause::SwapIn,
        "who is swapped out: vmstat 1 (si, so), and VmSwap in /proc/PID/status; in a cgroup memory.swap.current",
    ),
    // Documentation/admin-guide/sysctl/vm.rst: swappiness.
    on(
        Cause::SwapIn,
        "whether memory is short or the kernel swaps early: MemAvailable in /proc/meminfo, vm.swappiness",
    ),
    // mm/workingset.c; Documentation/admin-guide/cgroup-v2.rst, memory.stat.
    on(
        Cause::Refault,
        "the working set does not fit: workingset_refault_file in /proc/vmstat or the cgroup's memory.stat, over time",
    ),
    // Documentation/accounting/psi.rst.
    on(Cause::Refault, "what that costs altogether: /proc/pressure/memory, or memory.pressure of the cgroup"),
    // Documentation/admin-guide/cgroup-v2.rst, memory.high; mm/memcontrol.c: mem_cgroup_handle_over_high().
    on(
        Cause::MemcgThrottle,
        "memory.current against memory.high, and 'high' in memory.events; parents' limits count as well",
    ),
    // fs/ext4/file.c: ext4_dio_write_checks(); fs/xfs/xfs_file.c: xfs_file_dio_write_aligned().
    on(
        Cause::InodeLock,
        "who else writes to the file: ext4 and xfs let writers in one by one, but for direct writes within the file's size",
    ),
    // fs/xfs/xfs_file.c: xfs_file_buffered_read().
    on(
        Cause::InodeLock,
        "on xfs buffered reads wait for a writer of the same file as well; smaller writes let them in sooner",
    ),
    // fs/jbd2/journal.c: jbd2_seq_info_show().
    on(Cause::Journal, "ext4: cat /proc/fs/jbd2/*/info shows how long commits take, and which step of them"),
    // Documentation/filesystems/ext4/journal.rst; xfs_info(8).
    on(
        Cause::Journal,
        "who calls fsync: every commit is shared by all writers of the file system; on xfs, the size of the log (xfs_info)",
    ),
    // fsfreeze(8); qemu-ga(8).
    on(
        Cause::Freeze,
        "who froze it: a snapshot or backup, by fsfreeze, LVM or the guest agent (journalctl -u qemu-guest-agent)",
    ),
    // fsfreeze(8).
    on(Cause::Freeze, "if whoever froze it is gone: fsfreeze -u MOUNTPOINT"),
    // contract of osdiag.iolat/1: slowest[].stack.
    on(
        Cause::FsLock,
        "where it waits: 'stack' under 'slowest' in --json; the lock's owner is usually in the same file system",
    ),
    // contract of osdiag.iolat/1: slowest[].stack.
    on(Cause::FsWait, "where it waits: 'stack' under 'slowest' in --json"),
    // iostat(1) of sysstat 12.
    on(
        Cause::Device,
        "iostat -x {device} 1: a high r_await or w_await at a small aqu-sz is slowness below the guest, in the storage or its host",
    ),
    // Documentation/ABI/stable/sysfs-block: stat; the limits are the provider's.
    on(
        Cause::Device,
        "whether the volume is at its limit: r/s + w/s and rkB/s + wkB/s there against the IOPS and throughput it was given",
    ),
    // Documentation/ABI/stable/sysfs-block: queue/io_timeout.
    on(Cause::Device, "whether it fails: dmesg -T | grep -iE '{device}|timeout|reset|I/O error'"),
    // iostat(1) of sysstat 12; Documentation/ABI/stable/sysfs-block: queue/nr_requests, queue/scheduler.
    on(
        Cause::Queue,
        "who fills the queue: iostat -x {device} 1 (aqu-sz), and the other operations above; queue/nr_requests is its depth",
    ),
    // Documentation/block/switching-sched.rst.
    on(
        Cause::Queue,
        "which scheduler orders it: cat /sys/class/block/{device}/queue/scheduler (of the whole disk); mq-deadline and bfq may favour others",
    ),
    // Documentation/admin-guide/cgroup-v2.rst, "IO"; cgroup-v1/blkio-controller.rst.
    on(
        Cause::BlockThrottle,
        "limits of the cgroup and its parents: io.max, io.latency, io.weight with io.cost.qos (v1: blkio.throttle.*)",
    ),
    // Documentation/ABI/stable/sysfs-block: queue/wbt_lat_usec.
    on(
        Cause::BlockThrottle,
        "writeback throttling: queue/wbt_lat_usec of the whole disk in /sys/block; 0 switches it off",
    ),
    // iostat(1) of sysstat 12.
    on(Cause::BlockWait, "iostat -x {device} 1, and 'stack' under 'slowest' in --json"),
    // perf-record(1).
    on(
        Cause::Run,
        "what it computes: perf record -g -p PID; large calls copy memory, and encryption or compression runs here",
    ),
    // Documentation/accounting/psi.rst; vmstat(8).
    on(
        Cause::Runqueue,
        "how many want to run: vmstat 1 (r) against the CPUs, /proc/pressure/cpu; who runs: pidstat -u 1",
    ),
    // Documentation/admin-guide/cgroup-v2.rst, cpu.weight.
    on(
        Cause::Runqueue,
        "whether the task may run where CPUs are free: taskset -p PID, cpuset.cpus and cpu.weight of its cgroup",
    ),
    // Documentation/scheduler/sched-bwc.rst.
    on(
        Cause::Throttled,
        "nr_throttled and throttled_usec in the cgroup's cpu.stat; a larger cpu.max, or fewer threads, ends it (v1: cpu.cfs_quota_us)",
    ),
    // Documentation/filesystems/proc.rst: interrupts, softirqs; Documentation/core-api/irq/irq-affinity.rst.
    on(
        Cause::Irq,
        "which interrupts: mpstat -I ALL -P ALL 1, /proc/softirqs; /proc/irq/*/smp_affinity_list moves them to other CPUs",
    ),
    // Documentation/filesystems/proc.rst: stat, "steal".
    on(
        Cause::Steal,
        "st in vmstat 1: the host has too few CPUs for its guests, or this one has used up its credits; only the host can tell",
    ),
    // contract of osdiag.iolat/1: slowest[].stack.
    on(Cause::OtherLock, "where it waits: 'stack' under 'slowest' in --json"),
    // contract of osdiag.iolat/1: slowest[].stack.
    on(
        Cause::OtherWait,
        "where it waits: 'stack' under 'slowest' in --json; a place that osdiag should know is worth a report",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_advice_in_single_short_lines() {
        for &cause in Cause::ALL {
            let texts = advice(cause, None, "vda");
            assert!(!texts.is_empty(), "{cause:?}");
            for text in texts {
                assert!(text.len() <= 140 && !text.contains(['\n', '{']), "{text}");
            }
        }
    }

    #[test]
    fn the_root_comes_before_the_cause() {
        let texts = advice(Cause::Journal, Some(Cause::Device), "vda");
        assert!(texts[0].starts_with("iostat -x vda 1"), "{texts:?}");
        assert!(texts.iter().any(|text| text.contains("jbd2")), "{texts:?}");
        assert!(texts.len() <= MOST);
    }

    #[test]
    fn what_fits_the_pair_comes_first() {
        let texts = advice(Cause::Reclaim, Some(Cause::Device), "vda");
        assert!(texts[0].starts_with("reclaim itself waited for the disk"), "{texts:?}");
    }
}
