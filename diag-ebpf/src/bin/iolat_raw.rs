//! `osdiag iolat` on raw tracepoints, with a hash by thread.
#![no_std]
#![no_main]

use aya_ebpf::{
    macros::{map, raw_tracepoint},
    maps::{Array, HashMap},
    programs::RawTracePointContext,
};
use diag_ebpf::{
    iolat::state::{TaskState, Tasks},
    iolat_programs,
    side::{Object, Raw},
    storage,
};

/// Preallocated: memory cannot be had in the scheduler. Entries go when their thread exits.
#[map]
static TASKS: HashMap<u32, TaskState> = HashMap::with_max_entries(16384, 0);

/// One element, always zero: a `TaskState` to begin with.
#[map]
static ZERO: Array<TaskState> = Array::with_max_entries(1, 0);

struct Iolat;

impl Object for Iolat {
    type Kind = Raw;
}

impl Tasks for Iolat {
    #[inline(always)]
    fn state(task: Ptr) -> Option<&'static mut TaskState> {
        storage::hashed(&TASKS, task)
    }

    #[inline(always)]
    fn state_or_create(task: Ptr) -> Option<&'static mut TaskState> {
        storage::hashed_or_create(&TASKS, &ZERO, task)
    }

    #[inline(always)]
    fn forget(task: Ptr) {
        let _ = TASKS.remove(storage::pid(task));
    }
}

iolat_programs!(raw_tracepoint, RawTracePointContext, Iolat);
