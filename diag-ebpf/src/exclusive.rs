//! Keeping the CPU while a program runs.
//!
//! 7.x calls programs on tracepoints without disabling preemption. While a task is preempted inside a program, the program is
//! skipped for every other task on that CPU (`prog->active`, kernel/trace/bpf_trace.c, 6.18), and their operations are lost:
//! on a 7.3 kernel with PREEMPT_LAZY one in some thousands.

use aya_ebpf::Global;
use diag_common::calls::{PREEMPT_DISABLE_CALL, PREEMPT_ENABLE_CALL};

/// Whether this kernel can preempt programs, and has functions against it; the loader has tried.
#[unsafe(no_mangle)]
pub static HOLD_CPU: Global<u32> = Global::new(0);

/// Runs `program` without being preempted, where the kernel allows it.
#[inline(always)]
pub fn run(program: impl FnOnce()) {
    if HOLD_CPU.load() != 0 {
        call::<PREEMPT_DISABLE_CALL>();
    }
    program();
    if HOLD_CPU.load() != 0 {
        call::<PREEMPT_ENABLE_CALL>();
    }
}

#[inline(always)]
fn call<const FUNCTION: i32>() {
    // SAFETY: `void bpf_preempt_disable(void)` and its counterpart, in pairs.
    unsafe {
        core::arch::asm!(
            "call {function}",
            function = const FUNCTION,
            lateout("r0") _,
            lateout("r1") _,
            lateout("r2") _,
            lateout("r3") _,
            lateout("r4") _,
            lateout("r5") _,
            options(nostack),
        );
    }
}
