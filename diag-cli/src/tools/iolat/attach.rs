//! What `osdiag iolat` attaches, and with what settings.

use anyhow::{Context as _, Result};
use aya::{Ebpf, maps::Queue};
use diag_common::iolat::MAX_GROUPS;

use crate::{
    ebpf::{
        clock,
        object::{Objects, Settings, Value},
        probes::{ProbeSpec, essential, helpful},
    },
    kernel::cpus,
    session::{FieldMissed, KernelSide},
};

/// The kernel side.
pub(super) const KERNEL_SIDE: KernelSide = KernelSide {
    objects: Objects {
        btf: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/iolat")),
        raw: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/iolat-raw")),
    },
    probes: PROBES,
    fields_read: &[],
    fields_missed: FIELDS_MISSED,
};

const NO_RECLAIM: &str = "time in reclaim counts as cpu.run and block, not as memory.reclaim";
const NO_MEMCG_RECLAIM: &str =
    "time in memory-cgroup reclaim counts as cpu.run and block, not as memory.memcg-reclaim";
const NO_COMPACTION: &str = "time in compaction counts as cpu.run, not as memory.compaction";

/// The order in which they are attached: what explains an operation before what begins one.
const PROBES: &[ProbeSpec] = &[
    essential("sched_switch"),
    essential("sched_waking"),
    essential("sched_process_fork"),
    essential("sched_process_exit"),
    helpful(
        "block_rq_issue",
        "a request's time in the guest's queue counts as block.device where the kernel does not stamp it",
    ),
    helpful("block_rq_complete", "waits for requests are block.wait, not block.device and block.queue"),
    helpful("contention_begin", "lock waits are told by their stacks alone"),
    helpful("contention_end", "a lock wait may count what the operation does after it"),
    helpful("mm_vmscan_direct_reclaim_begin", NO_RECLAIM),
    helpful("mm_vmscan_direct_reclaim_end", NO_RECLAIM),
    helpful("mm_vmscan_node_reclaim_begin", NO_RECLAIM),
    helpful("mm_vmscan_node_reclaim_end", NO_RECLAIM),
    helpful("mm_vmscan_memcg_reclaim_begin", NO_MEMCG_RECLAIM),
    helpful("mm_vmscan_memcg_reclaim_end", NO_MEMCG_RECLAIM),
    helpful("mm_compaction_begin", NO_COMPACTION),
    helpful("mm_compaction_end", NO_COMPACTION),
    helpful("balance_dirty_pages", "dirty throttling is told by its stack alone"),
    essential("sys_exit"),
    essential("sys_enter"),
];

const FIELDS_MISSED: &[FieldMissed] = &[
    FieldMissed {
        name: "steal-time",
        global: "RQ_STEAL",
        why: "the kernel has no CONFIG_PARAVIRT",
        effect: "time that the hypervisor takes counts as cpu.run",
    },
    FieldMissed {
        name: "irq-time",
        global: "RQ_IRQ",
        why: "the kernel has no CONFIG_IRQ_TIME_ACCOUNTING",
        effect: "time in interrupts counts as cpu.run",
    },
    FieldMissed {
        name: "cpu-quota",
        global: "CFS_RQ_THROTTLE_COUNT",
        why: "the kernel has no CONFIG_CFS_BANDWIDTH",
        effect: "it has no CPU quotas either",
    },
    FieldMissed {
        name: "memory-stalls",
        global: "TASK_IN_MEMSTALL",
        why: "the kernel has no CONFIG_PSI",
        effect: "waits for refaulted pages count as block",
    },
];

/// Requests under way of which it is kept when they were issued. Each CPU takes 128 free elements of an LRU for itself, and
/// where none are left it evicts live ones (kernel/bpf/bpf_lru_list.c, 5.10 to 6.16).
fn requests(cpus: usize) -> u32 {
    (256 * cpus as u32).max(8192)
}

/// A tick with `CONFIG_HZ=100`.
const LONGEST_TICK_NS: u32 = 10_000_000;

/// Map sizes and constants for this machine.
pub(super) fn settings() -> Result<Settings> {
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
    let entries = vec![("OPERATION_HALVES", 2 * cpus::numbers()?), ("ISSUED", requests(cpus))];
    let tick_ns = clock::tick_ns().unwrap_or(LONGEST_TICK_NS);
    Ok(Settings { globals: vec![("TICK_NS", Value::U32(tick_ns))], entries })
}

/// Fills the queue of numbers that no group has.
pub(super) fn free_numbers(ebpf: &mut Ebpf) -> Result<()> {
    let map = ebpf.map_mut("FREE_NUMBERS").context("the object has no map FREE_NUMBERS")?;
    let mut free = Queue::<_, u32>::try_from(map)?;
    for number in 0..MAX_GROUPS {
        free.push(number, 0)?;
    }
    Ok(())
}
