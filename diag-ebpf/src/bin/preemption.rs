//! Whether the kernel disables preemption around programs: run for a moment before a tool's object is loaded.
#![no_std]
#![no_main]

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use diag_common::preemption::{OTHER, SYSTEM_CALL};
use diag_ebpf::{object_footer, preemption::note};

#[raw_tracepoint]
pub fn sys_enter(_context: RawTracePointContext) -> i32 {
    note(SYSTEM_CALL);
    0
}

/// In `do_wait()`, before it takes any lock (kernel/exit.c, 5.10 to 7.3).
#[raw_tracepoint]
pub fn sched_process_wait(_context: RawTracePointContext) -> i32 {
    note(OTHER);
    0
}

object_footer!();
