//! What `osdiag delays` loads and attaches, and with what settings.

use anyhow::{Context as _, Result};
use diag_common::delays::{GroupBy, Thread};

use super::args::By;
use crate::{
    ebpf::{
        cells,
        object::{Objects, Settings, Value},
        probes::{ProbeSpec, essential, helpful, iterator},
        who,
    },
    kernel::cpus,
    session::{FieldMissed, KernelSide},
    target::{Hierarchies, Hierarchy, Roots},
};

/// The kernel side.
pub(super) const KERNEL_SIDE: KernelSide = KernelSide {
    objects: Objects {
        btf: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/delays")),
        raw: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/delays-raw")),
    },
    probes: PROBES,
    fields_read: &[],
    fields_missed: FIELDS_MISSED,
};

/// The iterator that counts the threads that are there.
pub(super) const THREADS: &str = "threads";
/// The iterator over waits that go on.
pub(super) const OPEN_WAITS: &str = "open_waits";

const NO_RECLAIM: &str = "time in direct reclaim is cpu.run, block.device or other.wait";
const NO_LOCKS: &str = "locks are told by stacks alone, and time on a CPU in a lock's slow path is cpu.run";

const PROBES: &[ProbeSpec] = &[
    iterator(THREADS),
    iterator(OPEN_WAITS),
    essential("sched_process_fork"),
    essential("sched_process_exit"),
    helpful(
        "sched_process_exec",
        "a process that executes another program keeps its name until it is next switched",
    ),
    helpful(
        "block_rq_issue",
        "time at the device is not told from time in the queue on devices without statistics",
    ),
    helpful("block_rq_complete", "waits for I/O are block.wait"),
    helpful("mm_vmscan_direct_reclaim_begin", NO_RECLAIM),
    helpful("mm_vmscan_direct_reclaim_end", NO_RECLAIM),
    helpful("mm_vmscan_node_reclaim_begin", "time in node reclaim counts as other time"),
    helpful("mm_vmscan_node_reclaim_end", "time in node reclaim counts as other time"),
    helpful("mm_vmscan_memcg_reclaim_begin", NO_RECLAIM),
    helpful("mm_vmscan_memcg_reclaim_end", NO_RECLAIM),
    helpful("mm_compaction_begin", "time in compaction counts as other time"),
    helpful("mm_compaction_end", "time in compaction counts as other time"),
    helpful("balance_dirty_pages", "dirty throttling is told by stacks alone"),
    helpful("contention_begin", NO_LOCKS),
    helpful("contention_end", NO_LOCKS),
    helpful(
        "sched_migrate_task",
        "a thread that goes to another CPU while it waits for one waited for those that ran where it arrived",
    ),
    essential("sched_waking"),
    essential("sched_wakeup_new"),
    essential("sched_switch"),
];

const FIELDS_MISSED: &[FieldMissed] = &[
    FieldMissed {
        name: "steal-time",
        global: "RQ_STEAL",
        why: "the kernel has no CONFIG_PARAVIRT",
        effect: "time that the hypervisor takes counts as cpu.run",
    },
    FieldMissed {
        name: "cpu-quota",
        global: "CFS_RQ_THROTTLE_COUNT",
        why: "the kernel has no CONFIG_CFS_BANDWIDTH",
        effect: "it has no CPU quotas either",
    },
    FieldMissed {
        name: "cpu-quota-clock",
        global: "CFS_RQ_THROTTLED_TIME",
        why: "the kernel is older than 6.6, or has no CONFIG_CFS_BANDWIDTH",
        effect: "a wait that begins under a CPU quota counts as throttled throughout, one that comes under it later not at all",
    },
    FieldMissed {
        name: "memory-stalls",
        global: "TASK_IN_MEMSTALL",
        why: "the kernel has no CONFIG_PSI",
        effect: "a page that is read back because it was evicted too soon is block.device",
    },
];

/// Where threads have their state in a hash: at least for so many, and at most in so many bytes.
const LEAST_THREADS: usize = 16_384;
const MOST_BYTES: usize = 64 << 20;

/// Map sizes for this machine, and what is told apart.
pub(super) fn settings(by: By) -> Result<Settings> {
    let threads = who::threads().context("cannot tell how many threads there are")?;
    let room = (2 * threads).max(LEAST_THREADS).min(MOST_BYTES / size_of::<Thread>());
    // Where tasks are named by another hierarchy as well, a cgroup of v2 alone is none of the groups.
    let unified =
        |all: &Hierarchies, controller| all.of_controller(controller).is_some_and(Hierarchy::is_unified);
    let owned =
        Hierarchies::read(&Roots::default()).is_ok_and(|all| unified(&all, "blkio") && unified(&all, "cpu"));
    let by = group_by(by);
    let numbers = who::room()?;
    let each = matches!(by, GroupBy::Process | GroupBy::Thread);
    let starts = if each { numbers.1 } else { 1 };
    let cells = if each { Some(cells::room_for_threads()?) } else { None };
    let entries = [
        ("ACCOUNT_HALVES", 2 * cpus::numbers()?),
        ("RUNNERS", cpus::numbers()?),
        ("STARTS", starts),
        ("TASKS", u32::try_from(room)?),
        numbers,
    ];
    Ok(Settings {
        globals: vec![
            ("GROUP_BY", Value::U32(by as u32)),
            ("OWNED", Value::U32(u32::from(owned && by == GroupBy::Cgroup))),
        ],
        entries: entries.into_iter().chain(cells).collect(),
    })
}

/// What the kernel side is told of it.
pub(super) fn group_by(by: By) -> GroupBy {
    match by {
        By::Container | By::Cgroup => GroupBy::Cgroup,
        By::Comm => GroupBy::Comm,
        By::Process => GroupBy::Process,
        By::Thread => GroupBy::Thread,
    }
}
