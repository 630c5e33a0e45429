//! The clock that programs read.

use rustix::time::{ClockId, clock_gettime};

/// What `bpf_ktime_get_ns` gives now: `CLOCK_MONOTONIC`, ns.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
