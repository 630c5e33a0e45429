//! From runnable to running: what begins a wait, moves it, and ends it.

use diag_common::{
    hist,
    loss::Loss,
    runq::{Cpu, Half, who},
    runs::Ended,
    state::DEAD,
};

use super::{
    cells, cpu,
    culprits::BY_CPU,
    identity,
    state::{TaskState, Tasks},
};
use crate::{
    clock, epoch,
    fields::{RQ_IRQ, present},
    loss,
    memory::{at_most, store},
    quota, runnable, runs, scope,
    side::{Ptr, Side},
    task as tasks,
};

/// `sched_waking(struct task_struct *p)`: somebody wakes a task. On which queue it comes, and when, is another matter: for
/// an idle CPU it is put on a list, and queued by that CPU once it is awake, which is when `sched_wakeup` comes
/// (kernel/sched/core.c, ttwu_queue_wakelist, 6.18).
#[inline(always)]
pub fn waking<S: Tasks>(task: Ptr) {
    if !scope::contains::<S>(task) {
        return;
    }
    let Some(state) = S::state_or_create(task) else {
        loss::count(Loss::TaskState);
        return;
    };
    if state.since == 0 {
        state.waking = clock::now();
        store(&mut state.runs, tasks::switches::<S>(task));
    }
}

/// `sched_wakeup(struct task_struct *p)`, `sched_wakeup_new(struct task_struct *p)`
#[inline(always)]
pub fn woken<S: Tasks>(task: Ptr) {
    // The wake-up of a task that has a CPU only keeps it from falling asleep. One that sleeps has left its CPU for good
    // before it is queued again.
    if !scope::contains::<S>(task) || tasks::on_cpu::<S>(task) {
        return;
    }
    let Some(state) = S::state_or_create(task) else {
        loss::count(Loss::TaskState);
        return;
    };
    if state.since != 0 && state.half_asleep != 0 && state.runs == tasks::switches::<S>(task) {
        return;
    }
    let now = clock::now();
    // A task that has run since was woken another time, and that was not told of.
    let waking = if state.runs == tasks::switches::<S>(task) { state.waking } else { 0 };
    let since = if waking != 0 { waking.min(now) } else { now };
    begin::<S>(state, task, since, false);
    state.wake_ns = now - since;
}

/// Whether a task that seems to wait has run meanwhile; then it waits no more, and the wait is lost. In `sched_switch` the
/// switch is counted already (kernel/sched/core.c, __schedule, 6.18): a wait in which the count of switches changes is
/// none, since the kernel did not tell of the switch that ended it.
#[inline(always)]
fn has_run<S: Side>(state: &mut TaskState, task: Ptr) -> bool {
    if state.runs == tasks::switches::<S>(task) {
        return false;
    }
    lose::<S>(state, task);
    loss::count(Loss::MissedRuns);
    true
}

/// Gives up a wait of whose end the kernel did not tell. What a quota had of it is known from the queue's account.
#[inline(never)]
fn lose<S: Side>(state: &mut TaskState, task: Ptr) {
    let wait = clock::now().saturating_sub(state.since);
    let held = quota::during_by_account::<S>(&state.wait.hold, task, wait);
    state.since = 0;
    if held != 0
        && let Some(epoch) = epoch::number()
        && let Some(half) = cpu::half(cpu::number(), epoch & 1)
    {
        half.throttled_ns += held;
        cells::throttled(identity::of_waiter::<S>(state, task, epoch), held);
    }
}

#[inline(always)]
fn begin<S: Tasks>(state: &mut TaskState, task: Ptr, now: u64, half_asleep: bool) {
    state.since = now;
    store(&mut state.waking, 0);
    store(&mut state.wake_ns, 0);
    store(&mut state.runs, tasks::switches::<S>(task));
    store(&mut state.half_asleep, u32::from(half_asleep));
    quota::begin::<S>(&mut state.wait.hold, task);
}

/// `sched_migrate_task(struct task_struct *p, int dest_cpu)`: what a task waited for so far is settled with the CPU that
/// it waited for.
#[inline(always)]
pub fn migrated<S: Tasks>(task: Ptr) {
    let Some(state) = S::state(task) else { return };
    // A task that sleeps is given its CPU before it is woken, and does not wait yet.
    if state.since != 0 && !has_run::<S>(state, task) {
        leave::<S>(state, task);
    }
}

#[inline(never)]
fn leave<S: Tasks>(state: &mut TaskState, task: Ptr) {
    let now = clock::now();
    let old = tasks::cpu::<S>(task);
    let (Some(cpu), Some(half)) = (cpu::numbered(old), cpu::half_now(cpu::number())) else { return };
    let from = runnable::moved::<S>(&mut state.wait, state.since, task, now);
    let Some(epoch) = epoch::number() else { return };
    let waiter = identity::of_waiter::<S>(state, task, epoch);
    // The histogram of a CPU has the waits that end on it.
    if BY_CPU.load() == 0
        && let Some(ended) = cpu::ended(old)
    {
        runs::settle_until(half, &cpu.running, ended, waiter, from, now);
    }
}

/// `sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)`
#[inline(always)]
pub fn switch<S: Tasks>(preempt: bool, prev: Ptr, next: Ptr, prev_state: u32) {
    let now = clock::now();
    let number = cpu::number();
    let Some(epoch) = epoch::number() else { return };
    let parity = epoch & 1;
    let Some(cpu) = cpu::numbered(number) else { return };
    let Some(half) = cpu::half(number, parity) else { return };
    let Some(ended) = cpu::ended(number) else { return };
    if !identity::is_current::<S>(cpu, prev) {
        mistaken::<S>(cpu, prev);
    }
    let left_as = tasks::state_left::<S>(prev, prev_state);
    if cpu.running.who != u64::from(who::IDLE) {
        if tasks::stays::<S>(prev, preempt, left_as) {
            stay::<S>(prev, now, preempt && left_as != 0);
        } else if left_as & DEAD != 0 {
            S::forget(prev);
        }
    }
    let (steal, irq) = tasks::clocks::<S>(prev);
    half.switches += 1;
    if cpu.running.start == 0 {
        // The first switch that is seen here: who leaves has run since before the session began, and in the epoch before,
        // if there was one. Of interrupts and steal until now nothing is known.
        let earlier = cpu::began(parity ^ 1);
        cpu.running.start = if earlier != 0 { earlier } else { cpu::began(parity) };
        store(&mut cpu.steal, steal);
        store(&mut cpu.irq_ns, if present(&RQ_IRQ) { irq } else { 0 });
    }
    if cpu.running.start != 0 {
        end_run(cpu, ended, half, now, parity, steal, irq);
    }
    let from = cpu.running.start;
    let split = cpu.irq_ns != 0 || steal != cpu.steal;
    let before = cpu.running.who as u32;

    cpu.task = next as u64;
    store(&mut cpu.running.start, now);
    store(&mut cpu.steal, steal);
    // Where the kernel keeps a clock of interrupts, this is what it shows; else nothing yet.
    store(&mut cpu.irq_ns, if present(&RQ_IRQ) { irq } else { 0 });
    if tasks::pid::<S>(next) == 0 {
        cpu.running.who = u64::from(who::IDLE);
        cpu.target = 0;
        copy_identity(cpu, tasks::comm::<S>(next), tasks::css::<S>(next));
        return;
    }
    let Some(state) = S::state_or_create(next) else {
        loss::count(Loss::TaskState);
        cpu.running.who = u64::from(who::UNKNOWN);
        cpu.target = 0;
        copy_identity(cpu, tasks::comm::<S>(next), tasks::css::<S>(next));
        return;
    };
    identity::refresh::<S>(state, next, epoch);
    cpu.running.who = u64::from(state.who);
    cpu.target = u64::from(scope::contains::<S>(next));
    copy_identity(cpu, state.comm, state.css);
    if state.since == 0 || has_run::<S>(state, next) {
        return;
    }
    let held = runnable::held::<S>(&state.wait, state.since, next, now);
    let delay = now.saturating_sub(state.since).saturating_sub(held);
    if held != 0 {
        half.throttled_ns += held;
        cells::throttled(state.who, held);
    }
    count(half, state.who, delay);
    let waiter = state.who;
    if state.wake_ns != 0 {
        cells::pair(half, waiter, who::WAKE, state.wake_ns.min(delay));
    }
    let since = state.wait.unsettled(state.since, held);
    state.since = 0;
    if since >= now {
        return;
    }
    if since >= from && !split && from != 0 {
        cells::pair(half, waiter, before, now - since);
    } else {
        runs::settle(half, ended, waiter, since);
    }
}

#[inline(always)]
fn copy_identity(cpu: &mut Cpu, comm: [u64; 2], css: u64) {
    store(&mut cpu.comm[0], comm[0]);
    store(&mut cpu.comm[1], comm[1]);
    store(&mut cpu.css, css);
}

/// A CPU ran somebody else than it was told: its task has taken another name or cgroup, or a switch was not told of.
#[inline(never)]
fn mistaken<S: Tasks>(cpu: &mut Cpu, prev: Ptr) {
    if cpu.task != prev as u64 {
        if cpu.task != 0 {
            loss::count(Loss::MissedRuns);
        }
        // It runs, so it does not wait.
        if let Some(state) = S::state(prev)
            && state.since != 0
        {
            lose::<S>(state, prev);
        }
        cpu.target = u64::from(scope::contains::<S>(prev));
    }
    cpu.task = prev as u64;
    cpu.running.who = u64::from(identity::number::<S>(prev));
}

/// A task is switched out and stays runnable.
#[inline(always)]
fn stay<S: Tasks>(prev: Ptr, now: u64, half_asleep: bool) {
    if !scope::contains::<S>(prev) {
        return;
    }
    let Some(state) = S::state_or_create(prev) else {
        loss::count(Loss::TaskState);
        return;
    };
    begin::<S>(state, prev, now, half_asleep);
}

/// Counts the run that ends, and remembers it. The part of it before the epoch began is kept apart.
#[inline(always)]
fn end_run(cpu: &mut Cpu, ended: &mut Ended, half: &mut Half, now: u64, parity: u32, steal: u64, irq: u64) {
    let began = cpu::began(parity);
    let mut start = cpu.running.start;
    if start < began {
        let earlier = start.max(cpu::began(parity ^ 1));
        half.before_who = cpu.running.who | cpu.target << 32;
        half.before_ns = began.saturating_sub(earlier);
        start = began;
    }
    let ns = now.saturating_sub(start);
    if cpu.running.who == u64::from(who::IDLE) {
        half.idle_ns += ns;
    } else {
        half.busy_ns += ns;
        if cpu.target != 0 {
            cells::run(half, cpu.running.who as u32, ns);
        }
    }
    if present(&RQ_IRQ) {
        cpu.irq_ns = irq.saturating_sub(cpu.irq_ns);
    }
    half.irq_ns += cpu.irq_ns;
    runs::end(ended, &cpu.running, now, cpu.irq_ns, steal.saturating_sub(cpu.steal));
}

/// Counts a wait that has ended.
#[inline(always)]
fn count(half: &mut Half, who: u32, delay: u64) {
    let bucket = hist::bucket(delay);
    half.waits += 1;
    half.delay_ns += delay;
    half.min_inverted = half.min_inverted.max(!delay);
    half.max_ns = half.max_ns.max(delay);
    // SAFETY: the index is within the bins.
    let bin = unsafe { half.bins.get_unchecked_mut(at_most::<{ hist::LAST }>(u64::from(bucket))) };
    *bin += 1;
    if BY_CPU.load() == 0 {
        cells::delay(half, who, bucket, delay);
    }
}
