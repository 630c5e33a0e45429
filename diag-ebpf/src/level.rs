//! At which level a CPU is at work: in a task, a softirq, a hard interrupt or an NMI, each of which interrupts those before it.

use crate::{
    fields::{INTERRUPT_BITS, PREEMPT_COUNT, present},
    side::{Ptr, Side, probe},
    task::run_queue,
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

/// This CPU's preempt count, `current` being its task; none where the kernel does not say.
///
/// It is a per-CPU variable, as is the run queue, so on a CPU one is as far from the other as in the kernel's image. To
/// the run queue a task knows the way.
#[inline(always)]
pub fn count<S: Side>(current: Ptr) -> Option<u32> {
    if !present(&PREEMPT_COUNT) {
        return None;
    }
    let queue = run_queue::<S>(current);
    if queue == 0 {
        return None;
    }
    let away = PREEMPT_COUNT.load() as i32 as i64 as u64;
    // SAFETY: any address will do.
    Some(unsafe { probe(queue.wrapping_add(away) as Ptr, 0) })
}

/// At which level this CPU is at work, `current` being its task. That of a task, where the kernel does not say.
#[inline(always)]
pub fn of<S: Side>(current: Ptr) -> u32 {
    let Some(count) = count::<S>(current) else { return TASK };
    // The lowest four of the bits are of hard interrupts, those above of NMIs (include/linux/preempt.h, 5.10 to 7.3).
    let bits = INTERRUPT_BITS.load();
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
