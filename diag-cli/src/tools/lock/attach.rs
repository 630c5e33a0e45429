//! What `osdiag lock` attaches, and with what settings.

use crate::{
    ebpf::{
        object::{Kernel, Objects, Settings, Value},
        probes::{ProbeSpec, essential, function, helpful},
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
    probes: PROBES,
    fields_read: &["RQ_LOCK", "MUTEX_WAIT_LOCK", "RWSEM_WAIT_LOCK", "RWLOCK_WAIT_LOCK"],
    fields_missed: FIELDS_MISSED,
};

/// The order in which they are attached: what lets go of state before what makes it.
const PROBES: &[ProbeSpec] = &[
    essential("sched_process_fork"),
    essential("sched_process_exit"),
    essential("sched_process_free"),
    helpful(
        CONTENTION,
        "waits for spinlocks and rwlocks are not seen, others by the functions in which tasks wait",
    )
    .replaceable(),
    essential("contention_begin").beside(CONTENTION),
    helpful(
        "sched_switch",
        "a wait for an rwsem is charged to who held it when the wait began, also where others held it for most of it",
    ),
    // What follows is for kernels before 5.19.
    sleeping("__mutex_lock_slowpath", "uninterruptible waits for mutexes are not seen"),
    sleeping("__mutex_lock_interruptible_slowpath", "interruptible waits for mutexes are not seen"),
    sleeping("__mutex_lock_killable_slowpath", "killable waits for mutexes are not seen"),
    sleeping("__ww_mutex_lock_slowpath", WW_MUTEXES),
    sleeping("__ww_mutex_lock_interruptible_slowpath", WW_MUTEXES),
    sleeping("rwsem_down_read_slowpath", "readers' waits for rwsems are not seen"),
    sleeping("rwsem_down_write_slowpath", "writers' waits for rwsems are not seen"),
    sleeping("percpu_down_write", "writers' waits for percpu-rwsems are not seen"),
    sleeping("percpu_rwsem_wait", "readers' waits for percpu-rwsems are not seen"),
    sleeping("rt_mutex_slowlock", "waits for rt_mutexes are not seen"),
    sleeping("__down", SEMAPHORES),
    sleeping("__down_interruptible", SEMAPHORES),
    sleeping("__down_killable", SEMAPHORES),
    sleeping("__down_timeout", SEMAPHORES),
];

const CONTENTION: &str = "contention_end";
const WW_MUTEXES: &str = "waits for ww_mutexes, the locks of graphics buffers, are not all seen";
const SEMAPHORES: &str = "waits for semaphores are not all seen";

/// A function that is called when a lock was not to be had at once, and returns when the wait is over.
const fn sleeping(name: &'static str, effect: &'static str) -> ProbeSpec {
    function(name, CONTENTION, effect)
}

const FIELDS_MISSED: &[FieldMissed] = &[
    FieldMissed {
        name: "rwsem-readers",
        global: "RWSEM_READERS_LEAVE",
        why: "the kernel is older than 6.17, or has no CONFIG_DETECT_HUNG_TASK_BLOCKER",
        effect: "of a rwsem that readers hold, no holder is named",
    },
    FieldMissed {
        name: "interrupt-contexts",
        global: "PREEMPT_COUNT",
        why: "the kernel's types do not list per-CPU variables",
        effect: "a wait for a spinning lock is lost, and counts in lost.lock_waits, where an interrupt waits for another meanwhile",
    },
];

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
