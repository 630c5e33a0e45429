//! What `osdiag hung` loads and attaches, and with what settings.

use std::time::Duration;

use crate::{
    ebpf::{
        object::{Objects, Settings, Value},
        probes::{ProbeSpec, essential, helpful, iterator},
    },
    session::{FieldMissed, KernelSide},
};

/// The kernel side.
pub(super) const KERNEL_SIDE: KernelSide = KernelSide {
    objects: Objects {
        btf: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/hung")),
        raw: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/hung-raw")),
    },
    probes: PROBES,
    fields_read: &[],
    fields_missed: FIELDS_MISSED,
};

/// The iterator.
pub(super) const ITERATOR: &str = "sleepers";

const NO_OWNER: &str = "who holds the lock that a task waits for is not told";

const PROBES: &[ProbeSpec] = &[
    iterator(ITERATOR),
    essential("sched_process_fork"),
    essential("sched_process_exit"),
    helpful("sched_process_hang", "complaints of the kernel's own watchdog are taken from its log alone"),
    helpful("contention_begin", NO_OWNER).unless("TASK_BLOCKER"),
    helpful("contention_end", NO_OWNER).unless("TASK_BLOCKER"),
];

const FIELDS_MISSED: &[FieldMissed] = &[FieldMissed {
    name: "last-arrival",
    global: "TASK_LAST_ARRIVAL",
    why: "the kernel has neither CONFIG_SCHEDSTATS nor CONFIG_TASK_DELAY_ACCT",
    effect: "a sleep looks shorter by what its CPU has since lost to interrupts and to the hypervisor",
}];

/// In `unavailable` where the kernel's log cannot be read.
pub(super) const KERNEL_LOG: &str = "kernel-log";

/// In `unavailable` where what tasks have open cannot be read.
pub(super) const OPEN_FILES: &str = "open-files";

/// What can turn out not to be available only while it works.
pub(super) const FOUND_UNAVAILABLE: &[&str] = &[KERNEL_LOG, OPEN_FILES];

/// The threshold, which decides of whom a stack is taken.
pub(super) fn settings(threshold: Duration) -> Settings {
    let threshold = u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX);
    Settings { globals: vec![("STUCK_NS", Value::U64(threshold))], entries: Vec::new() }
}
