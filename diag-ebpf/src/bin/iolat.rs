//! `osdiag iolat` on `tp_btf` hooks, with task storage.
#![no_std]
#![no_main]

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use diag_ebpf::{
    iolat::state::{TaskState, Tasks},
    iolat_programs,
    side::{Btf, Object},
    storage::TaskStorage,
};

#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
static TASKS: TaskStorage<TaskState> = TaskStorage::new();

struct Iolat;

impl Object for Iolat {
    type Kind = Btf;
}

impl Tasks for Iolat {
    #[inline(always)]
    fn state(task: Ptr) -> Option<&'static mut TaskState> {
        TASKS.get(task)
    }

    #[inline(always)]
    fn state_or_create(task: Ptr) -> Option<&'static mut TaskState> {
        TASKS.get_or_create(task)
    }

    #[inline(always)]
    fn forget(_task: Ptr) {}
}

iolat_programs!(btf_tracepoint, BtfTracePointContext, Iolat);
