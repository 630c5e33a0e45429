//! The clock of all times in the maps.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

/// Now, ns of the monotonic clock, which stands still while the machine sleeps.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}
