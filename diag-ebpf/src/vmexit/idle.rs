//! How often CPUs are idle, and how long.

use aya_ebpf::{Global, macros::map, maps::PerCpuArray};
use diag_common::{
    hist,
    vmexit::{IDLE_STATES, Idle, NOT_IDLE},
};

use super::cells;
use crate::{clock, epoch, memory::at_most};

/// Idle states in which a CPU does not halt but polls, a bit each; the loader knows.
#[unsafe(no_mangle)]
pub static POLLING_STATES: Global<u32> = Global::new(0);

const LAST_STATE: i32 = IDLE_STATES as i32 - 1;

/// One for each half.
#[map]
static VMEXIT_IDLE: PerCpuArray<Idle> = PerCpuArray::with_max_entries(2, 0);

/// `cpu_idle`
#[inline(always)]
pub fn idle(state: u64) {
    let Some(cpu) = cells::cpu() else { return };
    let state = state as u32;
    if state == NOT_IDLE {
        let since = cpu.idle_since;
        cpu.idle_since = 0;
        if since != 0 {
            lasted(clock::now() - since);
        }
        return;
    }
    let Some(half) = half() else { return };
    // SAFETY: bounded, as the verifier sees and the compiler does not.
    unsafe { *half.entered.get_unchecked_mut(at_most::<LAST_STATE>(state as u64)) += 1 };
    if POLLING_STATES.load() >> (state & 31) & 1 == 0 {
        cpu.idle_since = clock::now();
    }
}

#[inline(always)]
fn half() -> Option<&'static mut Idle> {
    // SAFETY: a per-CPU value, which the idle loop alone writes.
    unsafe { VMEXIT_IDLE.get_ptr_mut(epoch::parity()?)?.as_mut() }
}

#[inline(always)]
fn lasted(ns: u64) {
    let Some(half) = half() else { return };
    if !ns > half.min_inverted {
        half.min_inverted = !ns;
    }
    if ns > half.max_ns {
        half.max_ns = ns;
    }
    // SAFETY: the same.
    let bin = unsafe { half.bins.get_unchecked_mut(at_most::<{ hist::LAST }>(hist::bucket(ns) as u64)) };
    bin.count += 1;
    bin.sum_ns += ns;
}
