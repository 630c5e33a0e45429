//! What `osdiag lock` attaches, and with what settings.

use crate::{
    ebpf::{
        object::{Kernel, Objects, Settings, Value},
        probes::{ProbeSpec, essential},
    },
    session::{FieldMissed, KernelSide},
};

use super::Args;

/// The kernel side.
pub(super) const KERNEL_SIDE: KernelSide = KernelSide {
    objects: Objects {
        btf: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lock")),
        raw: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lock-raw")),
    },
    first: "contention_end",
    probes: PROBES,
    fields_missed: FIELDS_MISSED,
};

/// The order in which they are attached: what lets go of state before what makes it.
const PROBES: &[ProbeSpec] = &[
    essential("sched_process_fork"),
    essential("sched_process_exit"),
    essential("sched_process_free"),
    essential("contention_end"),
    essential("contention_begin"),
];

const FIELDS_MISSED: &[FieldMissed] = &[FieldMissed {
    global: "TASK_BLOCKER",
    why: "the kernel is older than 6.15, or has no CONFIG_DETECT_HUNG_TASK_BLOCKER",
    effect: "of a rwsem that readers hold, no holder is named",
}];

/// Globals of the tool's own.
pub(super) fn settings(args: &Args, kernel: &Kernel) -> Settings {
    let has = |function| kernel.types.function_id(function).is_some();
    let threads_by_id = has("bpf_task_from_pid") && has("bpf_task_release");
    Settings {
        globals: vec![
            ("THREADS_BY_ID", Value::U32(u32::from(threads_by_id))),
            ("SPIN_STACKS", Value::U32(u32::from(args.spin))),
        ],
        entries: Vec::new(),
    }
}
