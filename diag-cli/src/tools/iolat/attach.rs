//! What `osdiag iolat` attaches, and with what settings.

use anyhow::Result;
use aya::maps::Queue;
use diag_common::iolat::Slot;

use super::collect::Collector;
use crate::{
    ebpf::{
        log::{self, KernelLog},
        object::{Kernel, Object, Objects, Settings, Value},
        preemption,
        probes::{self, Attached, ProbeSpec, essential, helpful},
        scope::Followed,
    },
    kernel::fields::ABSENT,
    output::record::Unavailable,
};

const OBJECTS: Objects = Objects {
    btf: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/iolat")),
    raw: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/iolat-raw")),
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

/// Memory that the histograms may take on all CPUs together, bytes.
const SLOT_MEMORY: usize = 64 << 20;
const MIN_SLOTS: usize = 4;
const MAX_SLOTS: usize = 64;

/// How many groups of operations can be told apart on a machine with so many possible CPUs.
fn slots(cpus: usize) -> u32 {
    let each = 2 * size_of::<Slot>() * cpus.max(1);
    (SLOT_MEMORY / each).clamp(MIN_SLOTS, MAX_SLOTS) as u32
}

/// The object in the kernel, not attached yet.
pub(crate) struct Loaded {
    pub(crate) tracing: Tracing,
    /// The tracepoints that this kernel has.
    pub(crate) existing: Vec<&'static str>,
    pub(crate) followed: Followed,
}

/// What a session traces with.
pub(crate) struct Tracing {
    pub(crate) object: Object,
    pub(crate) collector: Collector,
    /// The kernel side's own log, where it is wanted.
    pub(crate) log: Option<KernelLog>,
}

/// Loads the object for `globals`, and fills its maps. `wanted` slow operations are kept of each interval; `verbose` lets
/// the kernel side keep a log.
pub(crate) fn load(
    kernel: Kernel,
    mut globals: Vec<(&'static str, Value)>,
    wanted: u32,
    verbose: bool,
) -> Result<Loaded> {
    let hold = preemption::preempts_programs() && kernel.types.function_id("bpf_preempt_disable").is_some();
    globals.push(log::level(verbose));
    globals.push(("HOLD_CPU", Value::U32(u32::from(hold))));
    let slots = slots(aya::util::nr_cpus().map_err(|(_, error)| error)?);
    let entries = vec![("SLOT_NUMBERS", slots), ("FREE_SLOTS", slots), ("SLOTS", 2 * slots)];
    let existing = probes::existing(&kernel, PROBES)?;
    let mut object = OBJECTS.load(kernel, &Settings { globals, entries }, "sched_waking")?;
    if let Some(map) = object.ebpf.map_mut("FREE_SLOTS") {
        let mut free = Queue::<_, u32>::try_from(map)?;
        for slot in 0..slots {
            free.push(slot, 0)?;
        }
    }
    let followed = Followed::of(&mut object.ebpf)?;
    let collector = Collector::new(&mut object.ebpf, wanted)?;
    let log = if verbose { Some(KernelLog::of(&mut object.ebpf)?) } else { None };
    Ok(Loaded { tracing: Tracing { object, collector, log }, existing, followed })
}

/// Attaches the probes, and says what the answer lacks on this kernel.
pub(crate) fn attach(object: &mut Object, existing: &[&str]) -> Result<Attached> {
    let mut attached = probes::attach(object, existing, PROBES)?;
    for &(global, why, effect) in FIELDS_MISSED {
        if object.fields.iter().any(|field| field.global == global && field.value == ABSENT) {
            attached.unavailable.push(Unavailable {
                name: global.to_ascii_lowercase(),
                why: why.to_owned(),
                effect: effect.to_owned(),
            });
        }
    }
    Ok(attached)
}

/// Optional fields: the global, why a kernel lacks it, and what the answer lacks then.
const FIELDS_MISSED: &[(&str, &str, &str)] = &[
    ("RQ_STEAL", "the kernel has no CONFIG_PARAVIRT", "time that the hypervisor takes counts as cpu.run"),
    ("RQ_IRQ", "the kernel has no CONFIG_IRQ_TIME_ACCOUNTING", "time in interrupts counts as cpu.run"),
    ("CFS_RQ_THROTTLE_COUNT", "the kernel has no CONFIG_CFS_BANDWIDTH", "it has no CPU quotas either"),
    ("TASK_IN_MEMSTALL", "the kernel has no CONFIG_PSI", "waits for refaulted pages count as block"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_machine_gets_fewer_groups() {
        assert_eq!(slots(2), MAX_SLOTS as u32);
        assert_eq!(slots(1024), MIN_SLOTS as u32);
    }
}
