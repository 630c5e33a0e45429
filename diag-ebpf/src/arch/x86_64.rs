//! x86-64.

use diag_common::iolat::{Op, numbers};

use super::{Interrupt, Write};
use crate::{
    fields::{INTERRUPT_BITS, PREEMPT_COUNT, fields, present},
    side::{Ptr, Side, probe},
    task::run_queue,
};

fields! {
    REGS_DI; REGS_SI; REGS_R10; REGS_ORIG_AX; REGS_AX;
    /// Bytes of `struct pt_regs`.
    REGS_SIZE;
    /// `thread_info.status`, which has `TS_COMPAT`.
    TASK_TI_STATUS;
}

/// Bytes of a task's kernel stack (`THREAD_SIZE`, arch/x86/include/asm/page_64_types.h, 5.10 to 6.18, without KASAN).
const THREAD_SIZE: u64 = 16384;

/// `TS_COMPAT` (arch/x86/include/asm/thread_info.h, 6.18).
const TS_COMPAT: u32 = 0x2;

/// What a call's return value is until it has one: `-ENOSYS` (arch/x86/entry/entry_64.S, 6.18).
const NOT_RETURNED: i64 = -38;

/// Flags of `thread_info`: that another task is to run, and that the task has something to do before user mode. Their places
/// changed (arch/x86/include/asm/thread_info.h, 6.17; include/asm-generic/thread_info_tif.h, 6.18), so all bits that
/// any of them ever had. One too many of the former costs nothing but a later count; what the latter stands for is asked.
pub const RESCHEDULE: u64 = 0x38;
pub const RESUME: u64 = 0x07;

/// The user registers on a kernel stack that begins at `stack`: `task_pt_regs` (arch/x86/include/asm/processor.h, 5.10 to
/// 6.8), at its top.
#[inline(always)]
pub fn registers_on(stack: u64) -> Ptr {
    (stack + THREAD_SIZE - u64::from(REGS_SIZE.load())) as Ptr
}

/// The number of the system call that `regs` were saved for; negative where it was none.
///
/// # Safety
/// As for [`Side::read`], as in all that take registers or a task.
#[inline(always)]
pub unsafe fn call_number<S: Side>(regs: Ptr) -> i64 {
    // SAFETY: the caller's.
    unsafe { S::read(regs, REGS_ORIG_AX.load()) }
}

/// Whether that call has come to its end, so that its result is in the registers.
///
/// # Safety
/// The same.
#[inline(always)]
pub unsafe fn has_returned<S: Side>(regs: Ptr) -> bool {
    // SAFETY: the caller's.
    unsafe { S::read::<i64>(regs, REGS_AX.load()) != NOT_RETURNED }
}

/// The call's first argument, where it is a descriptor and the call has not returned.
///
/// # Safety
/// The same.
#[inline(always)]
pub unsafe fn descriptor<S: Side>(regs: Ptr) -> u32 {
    // SAFETY: the caller's.
    unsafe { S::read(regs, REGS_DI.load()) }
}

/// The call's second argument, which the registers keep until the next call.
///
/// # Safety
/// The same.
#[inline(always)]
pub unsafe fn second_argument<S: Side>(regs: Ptr) -> i64 {
    // SAFETY: the caller's.
    unsafe { S::read(regs, REGS_SI.load()) }
}

/// The fourth, likewise.
///
/// # Safety
/// The same.
#[inline(always)]
pub unsafe fn fourth_argument<S: Side>(regs: Ptr) -> i64 {
    // SAFETY: the caller's.
    unsafe { S::read(regs, REGS_R10.load()) }
}

/// Whether a task is in a 32-bit system call, of which another table has the numbers.
///
/// # Safety
/// The same.
#[inline(always)]
pub unsafe fn is_compat<S: Side>(task: Ptr) -> bool {
    // SAFETY: the caller's.
    unsafe { S::read::<u32>(task, TASK_TI_STATUS.load()) & TS_COMPAT != 0 }
}

/// The operation of a system call.
#[inline(always)]
pub fn operation(number: u64) -> Option<Op> {
    numbers::x86_64(number)
}

/// Whether a 32-bit system call is one of the operations.
#[inline(always)]
pub fn is_compat_operation(number: u64) -> bool {
    numbers::is_i386(number)
}

/// This CPU's preempt count, `current` being its task; none where the kernel does not say.
///
/// It is a per-CPU variable, as is the run queue, so on a CPU one is as far from the other as in the kernel's image. To
/// the run queue a task knows the way.
#[inline(always)]
pub fn preempt_count<S: Side>(current: Ptr) -> Option<u32> {
    if !present(&PREEMPT_COUNT) {
        return None;
    }
    let queue = run_queue::<S>(current);
    if queue == 0 {
        return None;
    }
    let away = PREEMPT_COUNT.load() as i32 as i64 as u64;
    // SAFETY: any address will do.
    Some(unsafe { probe(queue.wrapping_add(away) as Ptr, 0) })
}

/// Which bits of it are of hard interrupts and NMIs.
#[inline(always)]
pub fn interrupt_bits() -> u32 {
    INTERRUPT_BITS.load()
}

/// The x2APIC's interrupt command register, and the one by which a CPU interrupts itself (Intel SDM vol. 3, "Local APIC
/// Register Address Map Supported by x2APIC").
const X2APIC_ICR: u32 = 0x830;
const X2APIC_SELF_IPI: u32 = 0x83f;

// Interrupt vectors (arch/x86/include/asm/irq_vectors.h, 5.10 to 7.3).
const RESCHEDULE_VECTOR: u64 = 0xfd;
const CALL_FUNCTION_VECTOR: u64 = 0xfc;
const CALL_FUNCTION_SINGLE_VECTOR: u64 = 0xfb;

/// What a write of this register does.
#[inline(always)]
pub fn write(register: u32) -> Write {
    match register {
        X2APIC_ICR => Write::Command,
        X2APIC_SELF_IPI => Write::ToSelf,
        _ => Write::Plain,
    }
}

/// The interrupt that a command sends; none where it is none of these kinds, such as an NMI (Intel SDM vol. 3, "ICR Operation in
/// x2APIC Mode").
#[inline(always)]
pub fn interrupt(command: u64) -> Option<Interrupt> {
    const FIXED: u64 = 0;
    let (mode, vector) = (command >> 8 & 7, command & 0xff);
    if mode != FIXED {
        None
    } else if vector == CALL_FUNCTION_VECTOR || vector == CALL_FUNCTION_SINGLE_VECTOR {
        Some(Interrupt::Call)
    } else if vector == RESCHEDULE_VECTOR {
        Some(Interrupt::Reschedule)
    } else {
        None
    }
}
