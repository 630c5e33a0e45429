//! Counters for everything that can be lost.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use diag_common::loss::Loss;

#[map]
static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(Loss::ALL.len() as u32, 0);

/// Counts one loss.
#[inline(always)]
pub fn count(loss: Loss) {
    if let Some(counter) = LOSSES.get_ptr_mut(loss as u32) {
        // SAFETY: a per-CPU counter; a nested program on the same CPU may cost one count.
        unsafe { *counter += 1 };
    }
}
