//! Inter-processor interrupts: who sends them, and what for.
//!
//! The kernel queues a function for another CPU (`csd_queue_cpu`), announces an IPI where it needs one
//! (`ipi_send_cpu`, `ipi_send_cpumask`), and sends it: with an x2APIC by writing an MSR, once for each CPU or cluster;
//! else through memory or a hypercall, which nothing tells. So an IPI counts when the register is written, and one that
//! was announced without that counts when the CPU announces its next. All of it happens without a task switch between
//! (kernel/smp.c, kernel/sched/core.c, 6.18), and an interrupt that comes between keeps its own.

use aya_ebpf::Global;
use diag_common::vmexit::{BY_ICR, Kind, NOT_BY_MSR, Sending, TLB_FLUSH, WAKE_UP};

use super::{cells, who};
use crate::{
    arch::{self, Interrupt},
    fields::{CSD_FLAGS, CSD_FUNCTION, present},
    level,
    side::{Ptr, Side},
};

/// `TLB_REMOTE_SEND_IPI` of this kernel; the loader knows.
#[unsafe(no_mangle)]
pub static TLB_REMOTE_SEND_IPI: Global<u32> = Global::new(u32::MAX);

/// `generic_smp_call_function_single_interrupt`, which an IPI is announced with that makes another CPU call what is
/// queued for it; 0 where the loader does not know.
#[unsafe(no_mangle)]
pub static CALL_QUEUED: Global<u64> = Global::new(0);

// The type of a queued call (include/linux/smp_types.h, 6.4 to 7.3).
const CSD_TYPE: u32 = 0xf0;
const CSD_TYPE_TTWU: u32 = 0x30;

/// `csd_queue_cpu`: a function is to be called on another CPU. The tracepoint names it, but the verifier has no type for
/// a pointer to a function; so it is read from what is queued, as the kernel does (kernel/smp.c,
/// __smp_call_single_queue, 6.18).
#[inline(always)]
pub fn queued<S: Side>(csd: Ptr) {
    if !present(&CSD_FLAGS) || !present(&CSD_FUNCTION) {
        return;
    }
    // SAFETY: a typed pointer.
    let (flags, function): (u32, u64) =
        unsafe { (S::read(csd, CSD_FLAGS.load()), S::read(csd, CSD_FUNCTION.load())) };
    remember::<S>(if flags & CSD_TYPE == CSD_TYPE_TTWU { WAKE_UP } else { function });
}

#[inline(always)]
fn remember<S: Side>(function: u64) {
    if let Some(sending) = cells::sending(level::of::<S>(S::current())) {
        sending.function = function;
    }
}

/// `tlb_flush`, for kernels before 6.4, which do not tell functions: of a shootdown the sender says so first, and then
/// flushes its own.
#[inline(always)]
pub fn flush<S: Side>(reason: u64) {
    let function = if reason as u32 == TLB_REMOTE_SEND_IPI.load() { TLB_FLUSH } else { 0 };
    remember::<S>(function);
}

/// `ipi_send_cpu` and `ipi_send_cpumask`: an IPI is about to be sent. Without a callback it is about the run queue
/// (kernel/sched/core.c and kernel/smp.c, 6.18); with one of its own it is for that (kernel/irq_work.c).
#[inline(always)]
pub fn announced<S: Side>(callback: u64) {
    let level = level::of::<S>(S::current());
    let Some(sending) = cells::sending(level) else { return };
    settle(sending);
    let Some(who) = who::current::<S>(level) else { return };
    let (kind, function) = if callback == 0 {
        (Kind::IpiReschedule, 0)
    } else if CALL_QUEUED.load() == 0 || callback == CALL_QUEUED.load() {
        (Kind::IpiCall, sending.function)
    } else {
        (Kind::IpiCall, callback)
    };
    sending.announced = cells::key(kind, function, &who, NOT_BY_MSR);
    sending.is_announced = 1;
}

/// Counts an IPI that was announced, and did not come by a register.
#[inline(always)]
fn settle(sending: &mut Sending) {
    if sending.is_announced != 0 {
        sending.is_announced = 0;
        cells::count(sending.announced);
    }
}

/// A write of the self-IPI register, which counts as that.
#[inline(always)]
pub fn to_self(level: u32) {
    if let Some(sending) = cells::sending(level) {
        sending.is_announced = 0;
    }
}

/// A write of the interrupt command register. What is no IPI of the kinds above, such as an NMI, is a write of a register and no
/// more.
#[inline(always)]
pub fn command<S: Side>(register: u32, command: u64) {
    let level = level::of::<S>(S::current());
    let Some(sending) = cells::sending(level) else { return };
    let (kind, detail) = match arch::interrupt(command) {
        Some(Interrupt::Call) => (Kind::IpiCall, sending.function),
        Some(Interrupt::Reschedule) => (Kind::IpiReschedule, 0),
        None => (Kind::MsrWrite, register as u64),
    };
    if kind as u8 != Kind::MsrWrite as u8 {
        sending.is_announced = 0;
    }
    if let Some(who) = who::current::<S>(level) {
        cells::count(cells::key(kind, detail, &who, BY_ICR));
    }
}
