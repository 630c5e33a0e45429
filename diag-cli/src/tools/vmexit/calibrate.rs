//! What an exit costs on this machine: CPUID exits always under VT-x (Intel SDM vol. 3, "Instructions That Cause VM
//! Exits Unconditionally"), and KVM intercepts it under AMD-V (init_vmcb, arch/x86/kvm/svm/svm.c, 6.12).

use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use schemars::JsonSchema;
use serde::Serialize;

use crate::arch::{cycles, cycles_of, exit};

/// How long to measure at most.
const LONGEST: Duration = Duration::from_millis(12);
/// The shortest time by which the TSC is compared with the clock.
const SHORTEST: Duration = Duration::from_millis(4);
/// Samples that are enough.
const ENOUGH: usize = 2048;
/// Samples between two looks at whether the thread was preempted.
const BATCH: usize = 16;
/// Below this many cycles CPUID did not leave the guest: without a hypervisor it takes 100 to 200.
const NO_EXIT: u64 = 400;

/// How the cost of an exit was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Method {
    /// The time of the instruction CPUID, less that of reading the clock.
    Cpuid,
}

/// What one exit costs, measured when the session begins: an estimate for exits of other kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ExitCost {
    /// How it was measured.
    pub(crate) method: Method,
    /// The cheapest, ns.
    pub(crate) min_ns: u64,
    /// The median, ns: what estimates are made with.
    pub(crate) p50_ns: u64,
    /// The value that 99 % do not exceed, ns.
    pub(crate) p99_ns: u64,
    /// Exits that were measured.
    pub(crate) sample_count: u64,
    /// Exits that were left out, since the thread was preempted meanwhile.
    pub(crate) discarded_count: u64,
}

/// Measures on one CPU, for some milliseconds. None where CPUID does not exit.
pub(super) fn exit_cost() -> Option<ExitCost> {
    std::thread::Builder::new().name("calibrate".to_owned()).spawn(measure).ok()?.join().ok()?
}

fn measure() -> Option<ExitCost> {
    let mut here = CpuSet::new();
    here.set(rustix::thread::sched_getcpu());
    sched_setaffinity(None, &here).ok()?;
    let (start, began) = (Instant::now(), cycles());
    let (mut exits, mut empty, mut discarded) = (Vec::with_capacity(ENOUGH), u64::MAX, 0);
    while exits.len() < ENOUGH && start.elapsed() < LONGEST {
        let before = switches();
        let batch: [(u64, u64); BATCH] = std::array::from_fn(|_| (cycles_of(|| {}), cycles_of(exit)));
        if switches() == before {
            exits.extend(batch.iter().map(|&(_, exit)| exit));
            empty = batch.iter().fold(empty, |least, &(empty, _)| least.min(empty));
        } else {
            discarded += BATCH as u64;
        }
    }
    while start.elapsed() < SHORTEST {
        std::hint::spin_loop();
    }
    let ns_per_cycle = start.elapsed().as_nanos() as f64 / cycles().wrapping_sub(began) as f64;
    summary(exits, empty, ns_per_cycle, discarded)
}

fn summary(mut exits: Vec<u64>, empty: u64, ns_per_cycle: f64, discarded_count: u64) -> Option<ExitCost> {
    exits.sort_unstable();
    let quantile = |q: f64| exits.get(((exits.len().max(1) - 1) as f64 * q).round() as usize).copied();
    let cost = |q| quantile(q).map(|cycles| cycles.saturating_sub(empty));
    if cost(0.5)? < NO_EXIT {
        return None;
    }
    let ns = |q| cost(q).map(|cycles| (cycles as f64 * ns_per_cycle).round() as u64);
    Some(ExitCost {
        method: Method::Cpuid,
        min_ns: ns(0.0)?,
        p50_ns: ns(0.5)?,
        p99_ns: ns(0.99)?,
        sample_count: exits.len() as u64,
        discarded_count,
    })
}

/// How often this thread was switched out.
fn switches() -> i64 {
    // SAFETY: rusage is integers alone, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the struct is valid for writes.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_nivcsw + usage.ru_nvcsw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_an_exit_is_without_that_of_measuring() {
        let exits = (0..1000).map(|n| 5_000 + n).collect();
        let cost = summary(exits, 50, 0.5, 16).unwrap();
        assert_eq!((cost.min_ns, cost.p50_ns, cost.p99_ns), (2475, 2725, 2970));
        assert_eq!((cost.sample_count, cost.discarded_count, cost.method), (1000, 16, Method::Cpuid));
    }

    #[test]
    fn what_does_not_exit_has_no_cost() {
        assert_eq!(summary(vec![150; 100], 30, 0.4, 0), None);
        assert_eq!(summary(vec![], u64::MAX, 0.4, 1), None);
    }

    #[test]
    fn it_is_quick() {
        let start = Instant::now();
        exit_cost();
        // Generous: the thread may have to wait for a CPU.
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
