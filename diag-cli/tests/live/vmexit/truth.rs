//! What the kernel itself counts.

use std::fs;

use serde_json::Value;

use crate::record::{Record, number};

/// How far a count may be from the kernel's own: two IPIs that arrive as one are one interrupt.
const SHARE: f64 = 0.02;

/// What may come besides while a storm rages, by its own count.
pub(super) const EDGES: u64 = 25;

/// What may be on its way when counting begins or ends: sent and not arrived, arrived and not expired, on each CPU.
const ON_THE_WAY: u64 = 8;

/// So many are enough for the share to decide.
const MANY: u64 = 1000;

/// What the kernel counts of all CPUs since boot: interrupts, and halts.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    /// As records call them.
    interrupts: [(&'static str, u64); 4],
    halts: Option<u64>,
}

/// Counts from before something until after it, and of that alone.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) outer: [Truth; 2],
    pub(super) inner: [Truth; 2],
}

impl Truth {
    /// Now.
    pub(super) fn read() -> Truth {
        let table = fs::read_to_string("/proc/interrupts").expect("proc is mounted");
        let row = |name: &str| {
            let line = table.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
            line.split_whitespace().skip(1).map_while(|word| word.parse::<u64>().ok()).sum()
        };
        let rows = [("timer", "LOC:"), ("reschedule", "RES:"), ("call", "CAL:"), ("tlb", "TLB:")];
        Truth { interrupts: rows.map(|(name, title)| (name, row(title))), halts: halts() }
    }
}

impl Window {
    /// That a session that began and ended between the outer and the inner readings counts what the kernel does: all that
    /// came between the inner readings, and nothing that did not come between the outer ones. So do its own readings of the
    /// kernel's counts. `most` is what the kernel must have counted often, all of it together.
    pub(super) fn compare(&self, summary: &Record, most: &[&str]) {
        let mut many = 0;
        for (at, &(what, _)) in self.outer[0].interrupts.iter().enumerate() {
            let passed = |[from, to]: &[Truth; 2]| to.interrupts[at].1 - from.interrupts[at].1;
            let (inner, outer) = (passed(&self.inner), passed(&self.outer));
            let kernel = number(&summary.0["interrupts"][format!("{what}_count")]);
            assert!(inner <= kernel && kernel <= outer, "{what}: {kernel} is not from {inner} to {outer}");
            let told = match what {
                "timer" if !uses_apic_timer() => continue,
                "timer" => summary.count(&["timer"]),
                "reschedule" => summary.count(&["ipi-reschedule"]),
                "call" => summary.count(&["ipi-call", "tlb-shootdown"]),
                _ => summary.count(&["tlb-shootdown"]) - uncounted_flushes(summary),
            };
            let complain = || format!("{}, {:#}", summary.0["lost"], summary.0["activities"]);
            // What the kernel left out it says.
            assert!(
                is_from(told, inner.saturating_sub(summary.missed()), outer),
                "{what}: {told} is not from {inner} to {outer}: {}",
                complain()
            );
            many += if most.contains(&what) { inner } else { 0 };
        }
        assert!(most.is_empty() || many >= MANY, "{most:?}: {many} are too few to compare");
        self.compare_halts(summary.count(&["hlt"]));
    }

    /// The same of halts; the kernel counts one when it is over.
    pub(super) fn compare_halts(&self, told: u64) {
        let passed = |[from, to]: &[Truth; 2]| Some(to.halts? - from.halts?);
        if let Some((inner, outer)) = passed(&self.inner).zip(passed(&self.outer)) {
            assert!(is_from(told, inner, outer), "halts: {told} is not from {inner} to {outer}");
        }
    }
}

/// Whether a count lies between two others, but for what is on its way and what arrives as one.
fn is_from(told: u64, least: u64, most: u64) -> bool {
    let least = (least as f64 * (1.0 - SHARE)) as u64;
    let most = (most as f64 * (1.0 + SHARE)) as u64;
    least <= told + ON_THE_WAY && told <= most + ON_THE_WAY
}

/// How often CPUs entered idle states that do not poll; none without cpuidle.
fn halts() -> Option<u64> {
    let mut halts = None;
    for cpu in fs::read_dir("/sys/devices/system/cpu").ok()?.flatten() {
        for state in fs::read_dir(cpu.path().join("cpuidle")).into_iter().flatten().flatten() {
            let read = |file: &str| fs::read_to_string(state.path().join(file)).unwrap_or_default();
            if read("name").trim() != "POLL"
                && let Ok(usage) = read("usage").trim().parse::<u64>()
            {
                *halts.get_or_insert(0) += usage;
            }
        }
    }
    halts
}

/// Flushes of the kernel's own addresses and of all: the kernel counts them as calls, but not as shootdowns
/// (arch/x86/mm/tlb.c, 6.18: `irq_tlb_count` is of `flush_tlb_func` alone).
fn uncounted_flushes(summary: &Record) -> u64 {
    const WHOLE: [&str; 2] = ["do_flush_tlb_all", "do_kernel_range_flush"];
    let is_whole = |activity: &&Value| WHOLE.iter().any(|name| activity["name"] == *name);
    summary.activities().iter().filter(is_whole).map(|activity| number(&activity["event_count"])).sum()
}

fn uses_apic_timer() -> bool {
    let device = "/sys/devices/system/clockevents/clockevent0/current_device";
    fs::read_to_string(device).is_ok_and(|device| device.starts_with("lapic"))
}
