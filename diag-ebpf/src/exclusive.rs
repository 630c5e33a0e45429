//! Keeping the CPU while a program runs.
//!
//! From 6.13 on a task can be preempted inside a program on a system call's tracepoint. The program is then skipped for
//! every other task on that CPU (`prog->active`, kernel/trace/bpf_trace.c, 6.18), and their operations are lost: on a
//! 7.3 kernel with PREEMPT_LAZY one in some thousands.

use aya_ebpf::Global;
use diag_common::calls::{PREEMPT_DISABLE_CALL, PREEMPT_ENABLE_CALL};

/// Whether this kernel preempts programs, and has functions against it; the loader knows.
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
