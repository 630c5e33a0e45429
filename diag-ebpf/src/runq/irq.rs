//! Time in interrupts, for kernels that keep no clock of it.

use diag_common::runq::Cpu;

use super::cpu;
use crate::{
    clock,
    fields::{RQ_IRQ, present},
    memory::store,
};

/// What interrupts a task. Handlers may come on top of soft interrupts, which then have their time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A device's handler.
    Hard,
    /// Soft interrupts.
    Soft,
}

/// The name of the threads that run soft interrupts for a busy CPU; their time is their own.
const KSOFTIRQD: u64 = u64::from_le_bytes(*b"ksoftirq");

/// `irq_handler_entry`, `softirq_entry`
#[inline(always)]
pub fn begin(level: Level) {
    let Some(cpu) = here() else { return };
    let since = match level {
        Level::Hard if cpu.softirq_since != 0 => return,
        Level::Hard => &mut cpu.irq_since,
        Level::Soft if cpu.comm[0] == KSOFTIRQD => return,
        Level::Soft => &mut cpu.softirq_since,
    };
    store(since, clock::now());
}

/// `irq_handler_exit`, `softirq_exit`
#[inline(always)]
pub fn end(level: Level) {
    let Some(cpu) = here() else { return };
    let since = match level {
        Level::Hard => &mut cpu.irq_since,
        Level::Soft => &mut cpu.softirq_since,
    };
    let began = *since;
    if began != 0 {
        store(since, 0);
        cpu.irq_ns += clock::now().saturating_sub(began);
    }
}

#[inline(always)]
fn here() -> Option<&'static mut Cpu> {
    if present(&RQ_IRQ) {
        return None;
    }
    cpu::numbered(cpu::number())
}
