//! Who had a CPU while somebody waited for it.

use diag_common::runs::{Ended, RING, Ring, Run, Running, account::proportion, who};

/// Counts who had a CPU while somebody waited for it.
pub trait Count {
    /// `waiter` waited for `ns` while `runner` had the CPU.
    fn had(&mut self, waiter: u32, runner: u32, ns: u64);
}

/// A run ends now; of it `irq_ns` were in interrupts, and `steal_ns` the hypervisor's.
#[inline(always)]
pub fn end(ended: &mut Ended, running: &Running, now: u64, irq_ns: u64, steal_ns: u64) {
    let whole = now.saturating_sub(running.start);
    let irq_ns = irq_ns.min(whole);
    let steal_ns = steal_ns.min(whole - irq_ns);
    let run = Run { start: running.start, end: now, who: running.who, irq_ns, steal_ns };
    ended.account.add(&run);
    remember(&mut ended.ring, run);
}

/// Remembers a run that has ended; as part of the last one, where they are of one kind.
#[inline(always)]
fn remember(ring: &mut Ring, run: Run) {
    let last = place(ring, ring.ended.wrapping_sub(1));
    if last.who == run.who && last.end == run.start {
        last.end = run.end;
        last.irq_ns += run.irq_ns;
        last.steal_ns += run.steal_ns;
        return;
    }
    *place(ring, ring.ended) = run;
    ring.ended += 1;
}

#[inline(always)]
fn place(ring: &mut Ring, number: u64) -> &mut Run {
    // SAFETY: the place is below the ring's length.
    unsafe { ring.runs.get_unchecked_mut((number & (RING as u64 - 1)) as usize) }
}

/// Gives the time from `from` on, until the last run ended, to those who ran in it: run by run where the ring reaches back
/// so far, else by the CPU's account.
#[inline(never)]
pub fn settle<C: Count>(counter: &mut C, ended: &Ended, waiter: u32, from: u64) {
    let ring = &ended.ring;
    let had = &mut |runner, ns| counter.had(waiter, runner, ns);
    // SAFETY: the place is below the ring's length. Where the ring is not full yet, this is an empty run.
    let oldest = unsafe { ring.runs.get_unchecked((ring.ended & (RING as u64 - 1)) as usize) };
    if oldest.start > from {
        ended.account.since(from, had);
    } else {
        by_run(ring, from, had);
    }
}

/// The same until now, on a CPU that another one may be at work on: `running` is the run that goes on there.
#[inline(always)]
pub fn settle_until<C: Count>(
    counter: &mut C,
    running: &Running,
    ended: &Ended,
    waiter: u32,
    from: u64,
    now: u64,
) {
    if running.start == 0 || from >= now {
        return;
    }
    let begun = running.start.max(from);
    if begun < now {
        counter.had(waiter, running.who as u32, now - begun);
    }
    if from < running.start {
        settle(counter, ended, waiter, from);
    }
}

#[inline(always)]
fn by_run(ring: &Ring, from: u64, had: &mut impl FnMut(u32, u64)) {
    let (mut irq, mut steal) = (0, 0);
    let mut at = ring.ended;
    for _ in 0..RING {
        at = at.wrapping_sub(1);
        // SAFETY: the place is below the ring's length.
        let run = unsafe { ring.runs.get_unchecked((at & (RING as u64 - 1)) as usize) };
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
        had(run.who as u32, ns);
        if start <= from {
            break;
        }
    }
    if irq != 0 {
        had(who::IRQ, irq);
    }
    if steal != 0 {
        had(who::STEAL, steal);
    }
}
