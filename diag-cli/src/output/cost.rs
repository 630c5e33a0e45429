//! What the tool itself costs, so that nobody has to take its word for being cheap.

use rustix::time::{ClockId, clock_gettime};
use schemars::JsonSchema;
use serde::Serialize;

/// What the tool itself cost in the time that a record tells of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct SelfCost {
    /// Time that its kernel side ran, ns, over all CPUs; null where the kernel does not measure it.
    pub(crate) run_ns: Option<u64>,
    /// How often its kernel side ran; null likewise.
    pub(crate) events: Option<u64>,
    /// CPU time of its user side, ns.
    pub(crate) cpu_ns: u64,
    /// Resident memory of its user side at the end, bytes; null where `/proc` cannot be read.
    pub(crate) rss_bytes: Option<u64>,
    /// Memory of its maps, programs and state of threads in the kernel, bytes; null where `/proc` cannot be read.
    pub(crate) kernel_bytes: Option<u64>,
}

/// CPU time of this process so far, ns, all threads.
pub(crate) fn cpu_ns() -> u64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec.unsigned_abs() * 1_000_000_000 + spent.tv_nsec.unsigned_abs()
}

/// Resident memory of this process now, bytes; none where `/proc` cannot be read.
pub(crate) fn rss_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_cost_something() {
        assert!(rss_bytes().unwrap() > 100 << 10);
        let before = cpu_ns();
        let busy = std::time::Instant::now();
        while busy.elapsed().as_millis() < 5 {}
        assert!(cpu_ns() > before);
    }
}
