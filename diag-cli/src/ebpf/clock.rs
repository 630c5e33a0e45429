//! The clock that programs read.

use rustix::time::{ClockId, clock_getres, clock_gettime};

/// What `bpf_ktime_get_ns` gives now: `CLOCK_MONOTONIC`, ns.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// How long a tick is, ns: the coarse clocks go on at each (kernel/time/posix-timers.c, 6.18).
pub(crate) fn tick_ns() -> Option<u32> {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    u32::try_from(tick.tv_nsec).ok().filter(|&ns| ns > 0 && tick.tv_sec == 0)
}
