//! What the kernel itself counts.

use std::fs;

use super::{SHARE, SLACK};
use crate::record::{Record, within};

/// What the kernel counts of all CPUs: interrupts, and halts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truth {
    timer: u64,
    reschedule: u64,
    call: u64,
    tlb: u64,
    halts: Option<u64>,
}

impl Truth {
    /// Now, since boot.
    pub(super) fn read() -> Truth {
        let table = fs::read_to_string("/proc/interrupts").expect("proc is mounted");
        let row = |name: &str| {
            let line = table.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
            line.split_whitespace().skip(1).map_while(|word| word.parse::<u64>().ok()).sum()
        };
        Truth {
            timer: row("LOC:"),
            reschedule: row("RES:"),
            call: row("CAL:"),
            tlb: row("TLB:"),
            halts: halts(),
        }
    }

    /// From then to now.
    pub(super) fn since(self, before: Truth) -> Truth {
        Truth {
            timer: self.timer - before.timer,
            reschedule: self.reschedule - before.reschedule,
            call: self.call - before.call,
            tlb: self.tlb - before.tlb,
            halts: self.halts.zip(before.halts).map(|(now, then)| now - then),
        }
    }

    /// That a summary counts the same.
    pub(super) fn assert_same(self, summary: &Record) {
        let same = |what: &str, told: u64, truth: u64| {
            let apart = told.abs_diff(truth);
            let near = apart <= SLACK || within(SHARE, told, truth);
            assert!(near, "{what}: {told}, and the kernel counts {truth}; {self:?}");
        };
        if uses_apic_timer() {
            same("timer", summary.count(&["timer"]), self.timer);
        }
        same("reschedule", summary.count(&["ipi-reschedule"]), self.reschedule);
        same("call", summary.count(&["ipi-call", "tlb-shootdown"]), self.call);
        same("tlb", summary.count(&["tlb-shootdown"]), self.tlb);
        if let Some(halts) = self.halts {
            same("hlt", summary.count(&["hlt"]), halts);
        }
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

fn uses_apic_timer() -> bool {
    let device = "/sys/devices/system/clockevents/clockevent0/current_device";
    fs::read_to_string(device).is_ok_and(|device| device.starts_with("lapic"))
}
