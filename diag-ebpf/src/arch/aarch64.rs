//! arm64.

use aya_ebpf::Global;
use diag_common::iolat::{Op, numbers};

use super::{Interrupt, Write};
use crate::{
    fields::{PREEMPT_COUNT, TASK_TI_FLAGS, fields, present},
    side::{Ptr, Side},
};

fields! {
    /// `pt_regs.regs`, of eight bytes each.
    REGS_X0; REGS_ORIG_X0; REGS_SYSCALLNO;
    /// Bytes of `struct pt_regs`.
    REGS_SIZE;
}

/// Bytes of a task's kernel stack (`THREAD_SIZE`, arch/arm64/include/asm/memory.h, 5.10 to 6.18, without KASAN): 16 KiB, and
/// at least a page; the loader knows.
#[unsafe(no_mangle)]
pub static STACK_SIZE: Global<u32> = Global::new(16384);

/// `TIF_32BIT` (arch/arm64/include/asm/thread_info.h, 6.18).
const TIF_32BIT: u64 = 1 << 22;

/// Flags of `thread_info`: that another task is to run, and that the task has something to do before user mode
/// (arch/arm64/include/asm/thread_info.h, 5.10 to 6.18; include/asm-generic/thread_info_tif.h, 6.18): all bits that any of
/// them ever had, as on x86.
pub const RESCHEDULE: u64 = 0x1a;
pub const RESUME: u64 = 0x47;

/// The user registers on a kernel stack that begins at `stack`: `task_pt_regs` (arch/arm64/include/asm/processor.h, 5.10 to
/// 6.18), at its top.
#[inline(always)]
pub fn registers_on(stack: u64) -> Ptr {
    (stack + u64::from(STACK_SIZE.load()) - u64::from(REGS_SIZE.load())) as Ptr
}

/// The number of the system call that `regs` were saved for; negative where it was none: every entry from user mode sets it
/// (arch/arm64/kernel/entry.S, 6.18).
///
/// # Safety
/// As for [`Side::read`], as in all that take registers or a task.
#[inline(always)]
pub unsafe fn call_number<S: Side>(regs: Ptr) -> i64 {
    // SAFETY: the caller's.
    i64::from(unsafe { S::read::<i32>(regs, REGS_SYSCALLNO.load()) })
}

/// Whether that call has come to its end, so that its result is where the first argument was (invoke_syscall,
/// arch/arm64/kernel/syscall.c, 6.18). Not known where both are the same.
///
/// # Safety
/// The same.
#[inline(always)]
pub unsafe fn has_returned<S: Side>(regs: Ptr) -> bool {
    // SAFETY: the caller's.
    unsafe { S::read::<u64>(regs, REGS_X0.load()) != S::read::<u64>(regs, REGS_ORIG_X0.load()) }
}

/// The call's first argument, where it is a descriptor and the call has not returned.
///
/// # Safety
/// The same.
#[inline(always)]
pub unsafe fn descriptor<S: Side>(regs: Ptr) -> u32 {
    // SAFETY: the caller's.
    unsafe { S::read(regs, REGS_X0.load()) }
}

/// The call's second argument, which the registers keep until the next call.
///
/// # Safety
/// The same.
#[inline(always)]
pub unsafe fn second_argument<S: Side>(regs: Ptr) -> i64 {
    // SAFETY: the caller's.
    unsafe { S::read(regs, REGS_X0.load() + 8) }
}

/// The fourth, likewise.
///
/// # Safety
/// The same.
#[inline(always)]
pub unsafe fn fourth_argument<S: Side>(regs: Ptr) -> i64 {
    // SAFETY: the caller's.
    unsafe { S::read(regs, REGS_X0.load() + 3 * 8) }
}

/// Whether a task is in a 32-bit system call, of which another table has the numbers.
///
/// # Safety
/// The same.
#[inline(always)]
pub unsafe fn is_compat<S: Side>(task: Ptr) -> bool {
    // SAFETY: the caller's.
    unsafe { S::read::<u64>(task, TASK_TI_FLAGS.load()) & TIF_32BIT != 0 }
}

/// The operation of a system call.
#[inline(always)]
pub fn operation(number: u64) -> Option<Op> {
    numbers::aarch64(number)
}

/// Whether a 32-bit system call is one of the operations.
#[inline(always)]
pub fn is_compat_operation(number: u64) -> bool {
    numbers::is_arm(number)
}

/// This CPU's preempt count, which its task keeps; none where the kernel does not say.
#[inline(always)]
pub fn preempt_count<S: Side>(current: Ptr) -> Option<u32> {
    if !present(&PREEMPT_COUNT) {
        return None;
    }
    // SAFETY: a load from the task.
    Some(unsafe { S::read(current, PREEMPT_COUNT.load()) })
}

/// Which bits of it are of hard interrupts and NMIs (include/linux/preempt.h, 5.10 to 6.18).
#[inline(always)]
pub fn interrupt_bits() -> u32 {
    0x00ff_0000
}

/// What a write of this register does: no tracepoint reports one.
#[inline(always)]
pub fn write(_register: u32) -> Write {
    Write::Plain
}

/// The interrupt that a command sends: there are no such commands.
#[inline(always)]
pub fn interrupt(_command: u64) -> Option<Interrupt> {
    None
}
