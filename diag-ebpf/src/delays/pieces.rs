//! The pieces of a thread's time: what ends one and begins the next.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use diag_common::{
    cause::Cause,
    delays::{Thread, phase, place, via, what},
    loss::Loss,
    runs::who as runner,
    state::{DEAD, INTERRUPTIBLE},
};

pub use super::context::on_cpu_state as on_cpu;
use super::{
    cells::{self, Count, Counter},
    culprits, explain, group, holder,
    place::PF_EXITING,
    sleep,
};
use crate::{
    clock,
    fields::{CFS_RQ_RQ, RQ_CLOCK, TASK_CFS_RQ, TASK_LAST_QUEUED, present},
    loss,
    memory::{add_u64, load, store},
    quota, runnable, scope,
    side::{Ptr, Side},
    stack, storage, task as tasks,
};

/// An object that keeps this state.
pub trait Tasks: storage::Tasks<State = Thread> {}

impl<T: storage::Tasks<State = Thread>> Tasks for T {}

/// A thread that could run.
pub const RUNNABLE: u32 = what::time(Cause::Runqueue as u32, place::NONE);

/// How long a task takes at most from being woken on its way to sleep to the switch.
const LOST_WAKEUP_NS: u64 = 1_000_000;

/// The steal clock of this CPU's run queue at its last switch, ns.
#[map]
static STEAL: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The state of a task that nothing is known of yet, for whoever is first to count it: the iterator and the scheduler can come at
/// the same time, and 5.10 has no compare-and-exchange.
#[inline(always)]
pub fn claim<S: Tasks>(task: Ptr) -> Option<&'static mut Thread> {
    if !scope::contains::<S>(task) {
        return None;
    }
    let Some(thread) = S::state_or_create(task) else {
        loss::count(Loss::TaskState);
        return None;
    };
    // SAFETY: an aligned word of a map value.
    unsafe { add_u64(&raw mut thread.claimed, 1) };
    (load(&thread.claimed) == 1).then_some(thread)
}

/// The state of a task that is switched in or out, counted from now on where it was not before.
#[inline(always)]
fn known<S: Tasks>(counter: &mut Counter, task: Ptr, now: u64) -> Option<&'static mut Thread> {
    let Some(thread) = S::state(task) else { return first::<S>(counter, task, now) };
    if thread.phase == phase::UNKNOWN || thread.phase == phase::OUTSIDE {
        return again::<S>(counter, thread, task, now);
    }
    Some(thread)
}

#[inline(never)]
fn first<S: Tasks>(counter: &mut Counter, task: Ptr, now: u64) -> Option<&'static mut Thread> {
    let thread = claim::<S>(task)?;
    group::begin::<S>(counter, thread, task, now, group::IN_SCHEDULER);
    Some(thread)
}

/// A task that has come to the target, or that two claimed at once, so that neither counted it.
#[inline(always)]
fn again<S: Tasks>(
    counter: &mut Counter,
    thread: &'static mut Thread,
    task: Ptr,
    now: u64,
) -> Option<&'static mut Thread> {
    if thread.phase == phase::UNKNOWN && thread.claimed < 2 || !scope::contains::<S>(task) {
        return None;
    }
    thread.phase = phase::UNKNOWN;
    store(&mut thread.claimed, 1);
    store(&mut thread.contexts, 0);
    store(&mut thread.lock, 0);
    group::begin::<S>(counter, thread, task, now, group::IN_SCHEDULER);
    Some(thread)
}

/// `sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)`
#[inline(always)]
pub fn switch<S: Tasks>(program: Ptr, preempt: bool, prev: Ptr, next: Ptr, prev_state: u32) {
    let Some(mut counter) = cells::counter() else { return };
    let stolen = stolen::<S>(prev);
    if tasks::pid::<S>(prev) != 0 {
        let left_as = tasks::state_left::<S>(prev, prev_state);
        let stays = tasks::stays::<S>(prev, preempt, left_as);
        switch_out::<S>(&mut counter, program, prev, if stays { 0 } else { left_as }, stolen);
    }
    if tasks::pid::<S>(next) == 0 {
        culprits::switched(&mut counter, runner::IDLE, stolen);
        return;
    }
    let counted = switch_in::<S>(&mut counter, program, next);
    let next = if counted != 0 { counted } else { group::number_of::<S>(next, group::IN_SCHEDULER) };
    culprits::switched(&mut counter, next, stolen);
}

/// How long the hypervisor had this CPU since its last switch, ns.
#[inline(always)]
fn stolen<S: Side>(prev: Ptr) -> u64 {
    let (steal, _) = tasks::clocks::<S>(prev);
    if steal == 0 {
        return 0;
    }
    let Some(last) = STEAL.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's element.
    unsafe {
        let before = *last;
        *last = steal;
        if before == 0 { 0 } else { steal.saturating_sub(before) }
    }
}

/// A function of its own, as is the other half, for the stack's sake: 512 bytes for all that call each other (kernel/bpf/verifier.c).
#[inline(never)]
fn switch_out<S: Tasks>(counter: &mut Counter, program: Ptr, task: Ptr, sleeping: u32, stolen: u64) {
    let now = counter.now;
    let Some(thread) = known::<S>(counter, task, now) else { return };
    match thread.phase {
        phase::ON_CPU => {
            if stolen != 0 {
                charge_steal(counter, thread, stolen, now);
            }
            cells::leave(counter, thread, now);
        }
        phase::UNKNOWN => {}
        _ => {
            // It ran, and that was not told of.
            loss::count(Loss::MissedRuns);
            cells::leave(counter, thread, now);
        }
    }
    if sleeping & DEAD != 0 {
        group::end(counter, thread, now);
        S::forget(task);
        return;
    }
    // A process is out of the target from the moment on at which its last thread begins to exit, and may be held up there.
    if !scope::contains::<S>(task) && group::flags::<S>(task) & PF_EXITING == 0 {
        group::end(counter, thread, now);
        return;
    }
    group::refresh::<S>(counter, thread, task, now, group::IN_SCHEDULER);
    if sleeping == 0 {
        become_runnable::<S>(counter, thread, task, now);
        return;
    }
    if thread.lock != 0 {
        thread.owner = holder::group_of::<S>(thread.lock, thread.kind, task);
    }
    let what = sleep::begins::<S>(thread, task, sleeping);
    thread.interruptible = sleeping & INTERRUPTIBLE;
    if !S::STACK_OF_SLEEPER {
        thread.stands_for = explain::turn(what, thread.interruptible, now);
        thread.stack = if thread.stands_for != 0 { own_stack::<S>(program, task) } else { 0 };
    }
    store(&mut thread.began, now);
    cells::enter(counter, thread, what, now);
    // The last thing: from now on the one who wakes it, on another CPU, may end the piece.
    store(&mut thread.phase, phase::ASLEEP);
}

/// The stack of the current task, which goes to sleep. A function of its own, for the stack's sake.
#[inline(never)]
fn own_stack<S: Tasks>(program: Ptr, task: Ptr) -> u32 {
    // SAFETY: the task is the current one.
    unsafe { stack::take::<S>(program, task) }
}

/// Of a run that ends, what the hypervisor had.
#[inline(always)]
fn charge_steal(counter: &mut Counter, thread: &Thread, stolen: u64, now: u64) {
    let from = thread.since.max(cells::boundary(counter.parity()));
    let ns = stolen.min(now.saturating_sub(from));
    if counter.offer(thread.who, what::time(Cause::Steal as u32, place::NONE), 0, ns) {
        counter.add(thread.who, thread.what, 0, 0u64.wrapping_sub(ns));
    }
}

/// A thread is runnable from now on.
#[inline(always)]
pub fn become_runnable<S: Tasks>(counter: &mut Counter, thread: &mut Thread, task: Ptr, now: u64) {
    quota::begin_apart::<S>(&mut thread.wait.hold, task);
    store(&mut thread.began, now);
    cells::enter(counter, thread, RUNNABLE, now);
    store(&mut thread.phase, phase::RUNNABLE);
}

/// Returns the thread's group; 0 where it is not counted.
#[inline(never)]
fn switch_in<S: Tasks>(counter: &mut Counter, program: Ptr, task: Ptr) -> u32 {
    let now = counter.now;
    let Some(thread) = known::<S>(counter, task, now) else { return 0 };
    match thread.phase {
        phase::RUNNABLE => end_runnable::<S>(counter, thread, task, now),
        phase::ASLEEP => unwoken::<S>(counter, program, thread, task, now),
        phase::UNKNOWN => {}
        _ => {
            // It left another CPU, and that was not told of.
            loss::count(Loss::MissedRuns);
            cells::leave(counter, thread, now);
        }
    }
    group::refresh::<S>(counter, thread, task, now, group::IN_SCHEDULER);
    let what = on_cpu(thread);
    cells::enter(counter, thread, what, now);
    store(&mut thread.phase, phase::ON_CPU);
    thread.who
}

/// A runnable thread is given a CPU. What comes after a quota's refill is waiting for a CPU like any other.
#[inline(always)]
fn end_runnable<S: Tasks>(counter: &mut Counter, thread: &mut Thread, task: Ptr, now: u64) {
    let waited = now.saturating_sub(thread.since);
    let held = runnable::held::<S>(&thread.wait, thread.since, task, now);
    culprits::waited(counter, thread.who, thread.wait.unsettled(thread.since, held));
    if held == 0 {
        let began = thread.since;
        thread.hinder(via::RUNQUEUE, began, now);
        cells::leave(counter, thread, now);
        explain::ended::<S>(counter, thread, task, RUNNABLE, waited);
        return;
    }
    let refill = thread.since + held;
    const THROTTLED: u32 = what::time(Cause::Throttled as u32, place::NONE);
    cells::revoke(counter, thread);
    cells::charge(counter, thread, THROTTLED, thread.since, refill);
    cells::charge(counter, thread, RUNNABLE, refill, now);
    explain::ended::<S>(counter, thread, task, THROTTLED, held);
    if waited > held {
        explain::ended::<S>(counter, thread, task, RUNNABLE, waited - held);
    }
}

/// A task comes back from a sleep though no wake-up was seen: on its way to sleep it was woken by another CPU before it was switched
/// out, so that it was runnable all the while; or the program was not run.
#[inline(never)]
fn unwoken<S: Tasks>(counter: &mut Counter, program: Ptr, thread: &mut Thread, task: Ptr, now: u64) {
    let woken = if thread.woken + LOST_WAKEUP_NS > thread.since {
        thread.since
    } else {
        loss::count(Loss::MissedRuns);
        now - queued_for::<S>(task).min(now.saturating_sub(thread.since))
    };
    explain::woken_at::<S, false>(counter, thread, &explain::Ending { program, task, until: woken }, now);
    if woken < now {
        explain::ended::<S>(counter, thread, task, RUNNABLE, now - woken);
    }
}

/// How long a task that is switched in has been on a run queue, ns; 0 where the kernel does not tell. `sched_switch` comes before
/// the scheduler takes note of the arrival (`prepare_task_switch`, kernel/sched/core.c, 6.18).
#[inline(never)]
fn queued_for<S: Side>(task: Ptr) -> u64 {
    if !present(&TASK_LAST_QUEUED) {
        return 0;
    }
    // SAFETY: typed pointers: task, cfs_rq, rq.
    unsafe {
        let queued: u64 = S::read(task, TASK_LAST_QUEUED.load());
        let queue: Ptr = S::read(task, TASK_CFS_RQ.load());
        if queued == 0 || queue.is_null() {
            return 0;
        }
        let rq: Ptr = S::read(queue, CFS_RQ_RQ.load());
        if rq.is_null() { 0 } else { S::read::<u64>(rq, RQ_CLOCK.load()).saturating_sub(queued) }
    }
}

/// `sched_wakeup_new(struct task_struct *p)`: a thread is born.
#[inline(always)]
pub fn born<S: Tasks>(task: Ptr) {
    let Some(mut counter) = cells::counter() else { return };
    let now = counter.now;
    if let Some(thread) = known::<S>(&mut counter, task, now)
        && thread.phase == phase::UNKNOWN
    {
        become_runnable::<S>(&mut counter, thread, task, now);
    }
}

/// `sched_process_exec`: the current thread has another name. Programs that count can interrupt this one.
#[inline(always)]
pub fn renamed<S: Tasks>(task: Ptr) {
    let current = S::current();
    if task != current {
        return;
    }
    let Some(thread) = S::state(current) else { return };
    if thread.phase != phase::ON_CPU {
        return;
    }
    let Some(mut counter) = cells::shared() else { return };
    let now = clock::now();
    cells::leave(&mut counter, thread, now);
    group::refresh::<S>(&mut counter, thread, current, now, group::IN_TASK);
    let what = on_cpu(thread);
    cells::enter(&mut counter, thread, what, now);
}
