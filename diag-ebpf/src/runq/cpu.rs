//! What each CPU does, and what it counts.

use aya_ebpf::{helpers::generated::bpf_get_smp_processor_id, macros::map, maps::Array};
use diag_common::{
    runq::{Cpu, Half},
    runs::Ended,
};

use crate::epoch;

/// By CPU. An array that all can read, since a task that changes queues is settled with those that ran where it was.
/// Sized by the loader.
#[map]
static CPUS: Array<Cpu> = Array::with_max_entries(1, 0);

/// By CPU and parity. Sized by the loader.
#[map]
static HALVES: Array<Half> = Array::with_max_entries(2, 0);

/// By CPU: who ran. Sized by the loader.
#[map]
static ENDED: Array<Ended> = Array::with_max_entries(1, 0);

/// When the epoch of each parity began, ns; the user side writes it before it turns the epoch.
#[map]
static BEGAN: Array<u64> = Array::with_max_entries(2, 0);

/// The number of this CPU.
#[inline(always)]
pub fn number() -> u32 {
    // SAFETY: no preconditions.
    unsafe { bpf_get_smp_processor_id() }
}

/// A CPU by its number.
#[inline(always)]
pub fn numbered(number: u32) -> Option<&'static mut Cpu> {
    // SAFETY: written on the CPU itself alone, with its run queue locked.
    unsafe { CPUS.get_ptr_mut(number)?.as_mut() }
}

/// The runs on a CPU that have ended.
#[inline(always)]
pub fn ended(number: u32) -> Option<&'static mut Ended> {
    // SAFETY: as above.
    unsafe { ENDED.get_ptr_mut(number)?.as_mut() }
}

/// What a CPU counts, in the half of this parity.
#[inline(always)]
pub fn half(number: u32, parity: u32) -> Option<&'static mut Half> {
    // SAFETY: written on the CPU itself alone, in programs that run without interrupts.
    unsafe { HALVES.get_ptr_mut(number << 1 | parity)?.as_mut() }
}

/// The half that this CPU counts in now.
#[inline(always)]
pub fn half_now(number: u32) -> Option<&'static mut Half> {
    half(number, epoch::parity()?)
}

/// When the epoch of this parity began, ns.
#[inline(always)]
pub fn began(parity: u32) -> u64 {
    BEGAN.get(parity).copied().unwrap_or(0)
}
