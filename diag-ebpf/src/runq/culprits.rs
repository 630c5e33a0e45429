//! Who had the CPU while somebody waited for it.

use aya_ebpf::Global;
use diag_common::runq::{
    Cpu, Half, RING, Run,
    account::{Account, proportion},
    who,
};

use super::cells;

/// Not 0 where waits are told apart by CPU, not by who waited.
#[unsafe(no_mangle)]
pub static BY_CPU: Global<u32> = Global::new(0);

/// Remembers a run that has ended; as part of the last one, where they are of one kind.
#[inline(always)]
pub fn remember(cpu: &mut Cpu, run: Run) {
    let last = place(cpu, cpu.ended.wrapping_sub(1));
    if last.who == run.who && last.end == run.start {
        last.end = run.end;
        last.irq_ns += run.irq_ns;
        last.steal_ns += run.steal_ns;
        return;
    }
    *place(cpu, cpu.ended) = run;
    cpu.ended += 1;
}

#[inline(always)]
fn place(cpu: &mut Cpu, number: u64) -> &mut Run {
    // SAFETY: the place is below the ring's length.
    unsafe { cpu.ring.get_unchecked_mut((number & (RING as u64 - 1)) as usize) }
}

/// Gives the time from `from` on, until the last run ended, to those who ran in it: run by run where the ring reaches back
/// so far, else by the CPU's account.
#[inline(never)]
pub fn settle(cpu: &Cpu, account: &Account, half: &mut Half, waiter: u32, from: u64) {
    // SAFETY: the place is below the ring's length. Where the ring is not full yet, this is an empty run.
    let oldest = unsafe { cpu.ring.get_unchecked((cpu.ended & (RING as u64 - 1)) as usize) };
    if oldest.start > from {
        account.since(from, |runner, ns| cells::pair(half, waiter, runner, ns));
    } else {
        by_run(cpu, half, waiter, from);
    }
}

#[inline(always)]
fn by_run(cpu: &Cpu, half: &mut Half, waiter: u32, from: u64) {
    let (mut irq, mut steal) = (0, 0);
    let mut at = cpu.ended;
    for _ in 0..RING {
        at = at.wrapping_sub(1);
        // SAFETY: the place is below the ring's length.
        let run = unsafe { cpu.ring.get_unchecked((at & (RING as u64 - 1)) as usize) };
        let (start, end) = (run.start, run.end);
        if end <= from {
            break;
        }
        // Of another CPU's ring, which goes on meanwhile, a run can be torn.
        let start = start.min(end);
        let mut ns = end - start.max(from);
        if run.irq_ns | run.steal_ns != 0 {
            let (part, whole) = (ns, end - start);
            let irq_here = proportion(part, run.irq_ns, whole);
            let steal_here = proportion(part, run.steal_ns, whole).min(part - irq_here);
            irq += irq_here;
            steal += steal_here;
            ns = part - irq_here - steal_here;
        }
        cells::pair(half, waiter, run.who as u32, ns);
        if start <= from {
            break;
        }
    }
    if irq != 0 {
        cells::pair(half, waiter, who::IRQ, irq);
    }
    if steal != 0 {
        cells::pair(half, waiter, who::STEAL, steal);
    }
}
