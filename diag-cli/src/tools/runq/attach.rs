//! What `osdiag runq` attaches, and with what settings.

use anyhow::Result;

use super::args::{Args, By};
use crate::{
    ebpf::{
        object::{Objects, Settings, Value},
        probes::{ProbeSpec, essential, helpful},
        who,
    },
    kernel::cpus,
    session::{FieldMissed, KernelSide},
};

/// The kernel side.
pub(super) const KERNEL_SIDE: KernelSide = KernelSide {
    objects: Objects {
        btf: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/runq")),
        raw: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/runq-raw")),
    },
    probes: PROBES,
    fields_read: &[],
    fields_missed: FIELDS_MISSED,
};

const NO_IRQ: &str =
    "time in interrupts counts as the interrupted task's, unless the kernel keeps a clock of it";

const PROBES: &[ProbeSpec] = &[
    essential("sched_process_fork"),
    essential("sched_process_exit"),
    helpful("irq_handler_entry", NO_IRQ),
    helpful("irq_handler_exit", NO_IRQ),
    helpful("softirq_entry", NO_IRQ),
    helpful("softirq_exit", NO_IRQ),
    helpful(
        "sched_migrate_task",
        "a task that changes CPUs while it waits is said to have waited for those on the last one throughout",
    ),
    essential("sched_switch"),
    essential("sched_wakeup_new"),
    helpful(
        "sched_waking",
        "a wait begins when the task is on a run queue: what an idle CPU needs to take up a wake-up is not in it",
    ),
    essential("sched_wakeup"),
];

const FIELDS_MISSED: &[FieldMissed] = &[
    FieldMissed {
        name: "steal-time",
        global: "RQ_STEAL",
        why: "the kernel has no CONFIG_PARAVIRT",
        effect: "time that the hypervisor takes counts as the running task's",
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
];

/// Map sizes for this machine, and what is to be told apart.
pub(super) fn settings(args: &Args) -> Result<Settings> {
    let cpus = cpus::numbers()?;
    Ok(Settings {
        globals: vec![
            ("BY_THREAD", Value::U32(u32::from(args.by == By::Thread))),
            ("BY_CPU", Value::U32(u32::from(args.by == By::Cpu))),
        ],
        entries: vec![("CPUS", cpus), ("ENDED", cpus), ("HALVES", 2 * cpus), who::room()?],
    })
}
