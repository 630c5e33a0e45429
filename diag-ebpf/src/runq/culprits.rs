//! Who had the CPU while somebody waited for it.

use aya_ebpf::Global;
use diag_common::runq::{Cpu, Half, RING, RING_BITS, Run, who};

use super::cells;

/// Not 0 where waits are told apart by CPU, not by who waited.
#[unsafe(no_mangle)]
pub static BY_CPU: Global<u32> = Global::new(0);

/// Remembers a run that has ended.
#[inline(always)]
pub fn remember(cpu: &mut Cpu, run: Run) {
    // SAFETY: the place is below the ring's length.
    let place = unsafe { cpu.ring.get_unchecked_mut((cpu.ended & (RING as u64 - 1)) as usize) };
    *place = run;
    cpu.ended += 1;
}

/// Gives the time from `from` on, until the last run ended, to those who ran in it. What lies further back than the ring
/// reaches is nobody's.
#[inline(never)]
pub fn settle(cpu: &Cpu, half: &mut Half, waiter: u32, from: u64) {
    let mut at = cpu.ended;
    for _ in 0..RING {
        at = at.wrapping_sub(1);
        // SAFETY: the place is below the ring's length.
        let run = unsafe { cpu.ring.get_unchecked((at & ((1 << RING_BITS) - 1)) as usize) };
        let start = run.start.max(from);
        if run.end <= start {
            break;
        }
        credit(half, waiter, run, run.end - start);
        if run.start <= from {
            break;
        }
    }
}

/// Gives `ns` of a run to the runner, to interrupts and to the hypervisor, each as much as it had of the run.
#[inline(always)]
fn credit(half: &mut Half, waiter: u32, run: &Run, ns: u64) {
    let mut own = ns;
    if run.irq_ns | run.steal_ns != 0 {
        own = shared(half, waiter, run, ns);
    }
    if own != 0 {
        cells::pair(half, waiter, run.who, own);
    }
}

/// Gives interrupts and the hypervisor their parts of `ns`; returns what is left.
#[inline(never)]
fn shared(half: &mut Half, waiter: u32, run: &Run, ns: u64) -> u64 {
    let whole = run.end - run.start;
    let irq = part(ns, run.irq_ns, whole);
    if irq != 0 {
        cells::pair(half, waiter, who::IRQ, irq);
    }
    let steal = part(ns, run.steal_ns, whole).min(ns - irq);
    if steal != 0 {
        cells::pair(half, waiter, who::STEAL, steal);
    }
    ns - irq - steal
}

/// `ns / whole` of `part`, which is at most `ns`.
#[inline(always)]
fn part(ns: u64, part: u32, whole: u64) -> u64 {
    let part = u64::from(part);
    if ns >= whole {
        return part.min(ns);
    }
    // Both are below 2^40 (18 minutes) and lose 8 bits, so the product fits.
    (((ns >> 8) * part) / ((whole >> 8) | 1)).min(ns)
}
