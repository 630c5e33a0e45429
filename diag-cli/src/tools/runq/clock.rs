//! What the kernel itself says of each CPU's time, in clock ticks: steal, and idle time.

use std::collections::HashMap;

use procfs::{CurrentSI as _, KernelStats};

/// A CPU's accounts, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticks {
    /// Time that the hypervisor took; none where the kernel does not say.
    pub(super) steal_ns: Option<u64>,
    /// Time that it was idle.
    pub(super) idle_ns: u64,
}

/// The accounts as they were when last looked at.
pub(super) struct TickClock(HashMap<u32, Ticks>);

impl TickClock {
    /// As they are now.
    pub(super) fn now() -> TickClock {
        TickClock(read())
    }

    /// What has been added since, of each CPU that was online.
    pub(super) fn advance(&mut self) -> HashMap<u32, Ticks> {
        let now = read();
        let since = |(number, now): (&u32, &Ticks)| {
            let before = self.0.get(number)?;
            let steal = now.steal_ns.zip(before.steal_ns);
            let ticks = Ticks {
                steal_ns: steal.map(|(now, before)| now.saturating_sub(before)),
                idle_ns: now.idle_ns.saturating_sub(before.idle_ns),
            };
            Some((*number, ticks))
        };
        let elapsed = now.iter().filter_map(since).collect();
        self.0 = now;
        elapsed
    }
}

/// By CPU; nothing where the kernel does not say.
fn read() -> HashMap<u32, Ticks> {
    let Ok(statistics) = KernelStats::current() else { return HashMap::new() };
    let tick_ns = 1_000_000_000 / procfs::ticks_per_second().max(1);
    // A CPU that is offline has no line, and procfs keeps no numbers: then nobody can tell whose they are.
    let numbers = aya::util::online_cpus().unwrap_or_default();
    if numbers.len() != statistics.cpu_time.len() {
        return HashMap::new();
    }
    let accounts = statistics.cpu_time.iter().map(|cpu| Ticks {
        steal_ns: cpu.steal.map(|ticks| ticks * tick_ns),
        idle_ns: (cpu.idle + cpu.iowait.unwrap_or(0)) * tick_ns,
    });
    numbers.into_iter().zip(accounts).collect()
}
