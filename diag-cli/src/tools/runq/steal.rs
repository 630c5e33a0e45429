//! Time that the hypervisor took from each CPU, by the kernel's own account.

use std::collections::HashMap;

use procfs::{CurrentSI as _, KernelStats};

use super::group::CpuCount;

/// The accounts as they were when last looked at, ns.
pub(super) struct StealClock(HashMap<u32, u64>);

impl StealClock {
    /// As they are now.
    pub(super) fn now() -> StealClock {
        StealClock(read())
    }

    /// Writes what has been added since into `cpus`.
    pub(super) fn advance(&mut self, cpus: &mut dyn Iterator<Item = (u32, &mut CpuCount)>) {
        let now = read();
        for (number, cpu) in cpus {
            let both = now.get(&number).zip(self.0.get(&number));
            cpu.steal_ns = both.map(|(now, before)| now.saturating_sub(*before));
        }
        self.0 = now;
    }
}

/// By CPU; nothing where the kernel does not say.
fn read() -> HashMap<u32, u64> {
    let Ok(statistics) = KernelStats::current() else { return HashMap::new() };
    let tick_ns = 1_000_000_000 / procfs::ticks_per_second().max(1);
    // A CPU that is offline has no line, and procfs keeps no numbers: then nobody can tell whose they are.
    let numbers = aya::util::online_cpus().unwrap_or_default();
    if numbers.len() != statistics.cpu_time.len() {
        return HashMap::new();
    }
    let accounts = statistics.cpu_time.iter().map(|cpu| cpu.steal.map(|ticks| ticks * tick_ns));
    numbers.into_iter().zip(accounts).filter_map(|(number, ns)| Some((number, ns?))).collect()
}
