//! At which level a CPU is at work: in a task, a softirq, a hard interrupt or an NMI, each of which interrupts those before it.

use crate::{
    arch,
    side::{Ptr, Side},
};

/// `SOFTIRQ_OFFSET`: set while softirqs are served, as opposed to held off, which counts in twos
/// (include/linux/preempt.h, 5.10 to 7.3).
const SERVING_SOFTIRQ: u32 = 0x100;

/// A task is at work, and not interrupted.
pub const TASK: u32 = 0;
// The other levels.
const SOFTIRQ: u32 = 1;
const HARDIRQ: u32 = 2;
const NMI: u32 = 3;

/// At which level this CPU is at work, `current` being its task. That of a task, where the kernel does not say.
#[inline(always)]
pub fn of<S: Side>(current: Ptr) -> u32 {
    let Some(count) = arch::preempt_count::<S>(current) else { return TASK };
    // The lowest four of the bits are of hard interrupts, those above of NMIs (include/linux/preempt.h, 5.10 to 7.3).
    let bits = arch::interrupt_bits();
    let hardirqs = 15 * (bits & bits.wrapping_neg());
    let interrupts = count & bits;
    if interrupts > hardirqs {
        NMI
    } else if interrupts != 0 {
        HARDIRQ
    } else if count & SERVING_SOFTIRQ != 0 {
        SOFTIRQ
    } else {
        TASK
    }
}
