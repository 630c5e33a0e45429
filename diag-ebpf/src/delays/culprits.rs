//! Which group had the CPU that a thread waited for.

use aya_ebpf::{macros::map, maps::Array};
use diag_common::{
    delays::{Cpu, Thread, phase},
    loss::Loss,
    runs::who,
};

use super::{
    cells::{self, Count as _, Counter},
    pieces::Tasks,
};
use crate::{
    loss,
    memory::store,
    runnable,
    runs::{self, Count as _},
    side::Ptr,
    task as tasks,
};

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
    let (before, start) = (cpu.running.who, cpu.running.start);
    let (waiter, since) = (cpu.waiter as u32, cpu.waited_since);
    // What threads of one group run in turn is one run.
    let goes_on = start != 0 && before == u64::from(next) && stolen == 0;
    if !goes_on {
        if start != 0 {
            runs::end(&mut cpu.ended, &cpu.running, now, 0, stolen);
        }
        store(&mut cpu.running.who, u64::from(next));
        store(&mut cpu.running.start, now);
    }
    store(&mut cpu.waiter, 0);
    if waiter == 0 || start == 0 || !has_room(counter) {
        return;
    }
    if stolen == 0 && (goes_on || since >= start) {
        counter.had(waiter, before as u32, now.saturating_sub(since.max(start)));
    }
    if since < start || stolen != 0 {
        runs::settle(counter, &cpu.ended, waiter, since);
    }
}

/// Whether there is room for whom a wait was for; where there is none, that is counted. Once for a wait, and not for each run in it: to
/// the verifier each run is another turn of a loop.
#[inline(always)]
fn has_room(counter: &Counter) -> bool {
    let has_room = !counter.is_full();
    if !has_room {
        loss::count(Loss::Cells);
    }
    has_room
}

/// A thread of the group `waiter` has waited for this CPU since then, and is about to have it.
#[inline(always)]
pub fn waited(counter: &Counter, waiter: u32, since: u64) {
    if let Some(cpu) = cpu(counter.cpu) {
        store(&mut cpu.waiter, u64::from(waiter));
        store(&mut cpu.waited_since, since);
    }
}

impl runs::Count for Counter {
    /// Time that no group had is what is missing.
    #[inline(always)]
    fn had(&mut self, waiter: u32, runner: u32, ns: u64) {
        if runner >= who::FIRST {
            self.pair(waiter, runner, ns);
        }
    }
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
    let Some(cpu) = cpu(tasks::cpu::<S>(task)) else { return };
    let from = runnable::moved::<S>(&mut thread.wait, thread.since, task, now);
    if !has_room(&counter) {
        return;
    }
    runs::settle_until(&mut counter, &cpu.running, &cpu.ended, thread.who, from, now);
}
