//! Counts, and what each CPU has to remember.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use diag_common::{
    loss::Loss,
    vmexit::{CellKey, Cpu, Kind, LEVELS, MAX_CELLS, Sending},
};

use super::who::Doer;
use crate::{epoch, loss, memory::add_u64};

/// A hash that all CPUs share: threads are many, CPUs may be. Its entries are preallocated, since memory cannot be had
/// in an interrupt.
#[map]
static VMEXIT_CELLS: HashMap<CellKey, u64> = HashMap::with_max_entries(MAX_CELLS, 0);

#[map]
static VMEXIT_CPU: PerCpuArray<Cpu> = PerCpuArray::with_max_entries(1, 0);

/// One for each level.
#[map]
static VMEXIT_SENDING: PerCpuArray<Sending> = PerCpuArray::with_max_entries(LEVELS, 0);

/// What is kept of this CPU.
#[inline(always)]
pub fn cpu() -> Option<&'static mut Cpu> {
    // SAFETY: a per-CPU value, which timer interrupts and the idle loop write, each a part of its own.
    unsafe { VMEXIT_CPU.get_ptr_mut(0)?.as_mut() }
}

/// What is kept of the IPIs that this CPU sends at a level.
#[inline(always)]
pub fn sending(level: u32) -> Option<&'static mut Sending> {
    // SAFETY: a per-CPU value, and nothing interrupts what is at its own level.
    unsafe { VMEXIT_SENDING.get_ptr_mut(level)?.as_mut() }
}

/// The key of a count, but for its half.
#[inline(always)]
pub fn key(kind: Kind, detail: u64, doer: &Doer, via: u8) -> CellKey {
    CellKey {
        detail,
        comm: doer.who.comm,
        cgroup: doer.who.cgroup,
        tgid: doer.who.tgid,
        kind: kind as u8,
        parity: 0,
        context: doer.context,
        via,
    }
}

/// Counts one.
#[inline(always)]
pub fn count(key: CellKey) {
    let Some(parity) = epoch::parity() else { return };
    let key = CellKey { parity: parity as u8, ..key };
    if let Some(cell) = VMEXIT_CELLS.get_ptr_mut(key) {
        // SAFETY: an aligned map value.
        unsafe { add_u64(cell, 1) };
        return;
    }
    first(&key);
}

/// Counts the first of its kind.
#[inline(never)]
fn first(key: &CellKey) {
    if VMEXIT_CELLS.insert(key, 1, BPF_NOEXIST as u64).is_ok() {
        return;
    }
    match VMEXIT_CELLS.get_ptr_mut(key) {
        // Another CPU was faster.
        // SAFETY: an aligned map value.
        Some(cell) => unsafe { add_u64(cell, 1) },
        None => loss::count(Loss::Cells),
    }
}
