//! What the kernel itself counts.

use std::fs;

use serde_json::Value;

use crate::record::{Record, number, within};

/// How far a count may be from the kernel's own.
const SHARE: f64 = 0.02;

/// What may come besides between the two moments at which `/proc/interrupts` is read and the two at which counting begins
/// and ends: they are some 100 µs apart, and a busy machine may have something else run there for some milliseconds.
pub(super) const EDGES: u64 = 25;

/// So many are enough for the share to decide, and not the edges.
const MANY: u64 = 50 * EDGES;

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
    /// That a session that began and ended between the outer and the inner readings counts what the kernel does: its own
    /// readings of the kernel's counts lie between ours, and what it counted is the same as those. `most` is what the
    /// kernel must have counted often, all of it together. An error says what is not the same.
    pub(super) fn compare(&self, summary: &Record, most: &[&str]) -> Result<(), String> {
        let same =
            |holds: bool, complaint: &dyn Fn() -> String| if holds { Ok(()) } else { Err(complaint()) };
        for (at, &(what, _)) in self.outer[0].interrupts.iter().enumerate() {
            let passed = |[from, to]: &[Truth; 2]| to.interrupts[at].1 - from.interrupts[at].1;
            let kernel = number(&summary.0["interrupts"][format!("{what}_count")]);
            let (inner, outer) = (passed(&self.inner), passed(&self.outer));
            same(inner <= kernel && kernel <= outer, &|| {
                format!("{what}: {kernel} is not from {inner} to {outer}")
            })?;
            let told = match what {
                "timer" if !uses_apic_timer() => continue,
                "timer" => summary.count(&["timer"]),
                "reschedule" => summary.count(&["ipi-reschedule"]),
                "call" => summary.count(&["ipi-call", "tlb-shootdown"]),
                _ => summary.count(&["tlb-shootdown"]) - uncounted_flushes(summary),
            };
            let near = told.abs_diff(kernel) <= EDGES || within(SHARE, told, kernel);
            same(near, &|| {
                format!("{what}: {told}, and the kernel counts {kernel}: {:#}", summary.0["activities"])
            })?;
        }
        let many: u64 =
            most.iter().map(|what| number(&summary.0["interrupts"][format!("{what}_count")])).sum();
        same(most.is_empty() || many >= MANY, &|| format!("{most:?}: {many} are too few to compare"))?;
        let passed = |[from, to]: &[Truth; 2]| Some(to.halts? - from.halts?);
        if let Some((inner, outer)) = passed(&self.inner).zip(passed(&self.outer)) {
            // The kernel counts a halt when it is over.
            let told = summary.count(&["hlt"]) as f64;
            let (least, most) = (inner as f64 * (1.0 - SHARE), outer as f64 * (1.0 + SHARE));
            let edges = EDGES as f64;
            same(least - edges <= told && told <= most + edges, &|| {
                format!("hlt: {told} is not from {inner} to {outer}")
            })?;
        }
        Ok(())
    }
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
