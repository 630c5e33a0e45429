//! Which group had the CPU that a thread waited for.

use aya_ebpf::{macros::map, maps::Array};
use diag_common::{
    delays::{Cpu, Thread, phase},
    runs::{Run, who},
};

use super::{
    cells::{self, Counter},
    pieces::Tasks,
};
use crate::{fields::TASK_CPU, memory::store, runs, side::Ptr};

/// By CPU. An array that all can read, since a thread that changes queues waited for those that ran where it was. Sized by the loader.
#[map]
static RUNNERS: Array<Cpu> = Array::with_max_entries(1, 0);

#[inline(always)]
fn cpu(number: u32) -> Option<&'static mut Cpu> {
    // SAFETY: written on the CPU itself alone, with its run queue locked.
    unsafe { RUNNERS.get_ptr_mut(number)?.as_mut() }
}

/// A CPU goes from one run to the next one, of the group `next`; of the one that ends the hypervisor had `stolen`. Where the thread that
/// runs now had waited, it waited for those that ran meanwhile.
#[inline(never)]
pub fn switched(counter: &mut Counter, next: u32, stolen: u64) {
    let now = counter.now;
    let Some(cpu) = cpu(counter.cpu) else { return };
    let (before, start, waiter, since) = (cpu.who, cpu.start, cpu.waiter as u32, cpu.waited_since);
    // What threads of one group run in turn is one run.
    let goes_on = start != 0 && before == u64::from(next) && stolen == 0;
    if !goes_on {
        if start != 0 {
            let steal_ns = stolen.min(now.saturating_sub(start));
            let run = Run { start, end: now, who: before, irq_ns: 0, steal_ns };
            cpu.account.add(&run);
            runs::remember(&mut cpu.runs, run);
        }
        store(&mut cpu.who, u64::from(next));
        store(&mut cpu.start, now);
    }
    store(&mut cpu.waiter, 0);
    if waiter == 0 || start == 0 {
        return;
    }
    if stolen == 0 && (goes_on || since >= start) {
        had(counter, waiter, before as u32, now.saturating_sub(since.max(start)));
    }
    if since < start || stolen != 0 {
        settle(counter, cpu, waiter, since);
    }
}

/// A thread of the group `waiter` has waited for this CPU since then, and is about to have it.
#[inline(always)]
pub fn waited(counter: &Counter, waiter: u32, since: u64) {
    if let Some(cpu) = cpu(counter.cpu) {
        store(&mut cpu.waiter, u64::from(waiter));
        store(&mut cpu.waited_since, since);
    }
}

/// Counts time that `runner` had; that of no group is what is missing.
#[inline(always)]
fn had(counter: &mut Counter, waiter: u32, runner: u32, ns: u64) {
    if runner >= who::FIRST {
        counter.pair(waiter, runner, ns);
    }
}

/// Gives the time from `from` on, until the last run on `cpu` ended, to those who ran in it.
#[inline(never)]
fn settle(counter: &mut Counter, cpu: &Cpu, waiter: u32, from: u64) {
    runs::settle(&cpu.runs, &cpu.account, from, &mut |runner, ns| had(counter, waiter, runner, ns));
}

/// `sched_migrate_task(struct task_struct *p, int dest_cpu)`: what a thread waited for so far is settled with the CPU that it waited
/// for. One that sleeps is given its CPU before it is queued.
#[inline(always)]
pub fn migrated<S: Tasks>(task: Ptr) {
    let Some(thread) = S::state(task) else { return };
    if thread.phase == phase::RUNNABLE {
        leave::<S>(thread, task);
    }
}

#[inline(never)]
fn leave<S: Tasks>(thread: &mut Thread, task: Ptr) {
    let Some(mut counter) = cells::counter() else { return };
    let now = counter.now;
    // SAFETY: a load from a task.
    let Some(cpu) = cpu(unsafe { S::read(task, TASK_CPU.load()) }) else { return };
    let from = thread.since.max(thread.settled);
    store(&mut thread.settled, now);
    if cpu.start == 0 || from >= now {
        return;
    }
    let begun = cpu.start.max(from);
    if begun < now {
        had(&mut counter, thread.who, cpu.who as u32, now - begun);
    }
    if from < cpu.start {
        settle(&mut counter, cpu, thread.who, from);
    }
}
