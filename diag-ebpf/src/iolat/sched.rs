//! The state machine of a task inside an operation: running, blocked, runnable.

use aya_log_ebpf::debug;
use diag_common::{
    cause::Cause,
    iolat::{CONTENDED, STALLED, VIA_NONE},
    loss::Loss,
    state::{DEAD, INTERRUPTIBLE},
};

use super::{
    begun, block, finish,
    state::{TaskState, Tasks, hint, phase},
    stop,
};
use crate::{
    arch, clock, context,
    fields::{TASK_BIO_LIST, TASK_IN_IOWAIT, TASK_IN_IOWAIT_MASK, TASK_IN_MEMSTALL, TASK_IN_MEMSTALL_MASK},
    loss,
    memory::store,
    quota, request,
    side::{Ptr, Raw},
    stack, task as tasks,
};

/// A wait at least this long gets its stack taken even where the waker explains it: it says what was waited at.
const LONG_WAIT_NS: u64 = 1_000_000;

/// How long a task takes at most from being woken on its way to sleep to the switch.
const LOST_WAKEUP_NS: u64 = 1_000_000;

/// `sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)`
#[inline(always)]
pub fn switch<S: Tasks>(program: Ptr, preempt: bool, prev: Ptr, next: Ptr, prev_state: u32) {
    let left_as = tasks::state_left::<S>(prev, prev_state);
    let stops = left_as != 0 && !preempt && tasks::stopped::<S>(prev, left_as).is_some();
    if let Some(state) = begun::state_of_current::<S>(prev)
        && state.active()
    {
        if state.returning != 0 && (stops || !still_returning(state)) {
            finish::deferred::<S>(state, prev);
        } else {
            // The state lies about a task that is preempted on its way to sleep.
            switch_out::<S>(program, state, prev, if preempt { 0 } else { left_as }, clock::now());
        }
    }
    if stops {
        stop::began::<S>(prev);
    }
    if left_as & DEAD != 0 {
        S::forget(prev);
    }
    let mut returning = 0;
    if let Some(state) = S::state(next) {
        if state.stopped_in != 0 {
            stop::ended(state, clock::now());
        }
        if state.active() {
            let now = clock::now();
            if state.returning != 0 {
                returning = next as u64;
            }
            if state.unexplained != 0 {
                explain_late::<S>(program, state, next);
            }
            if unwoken(state, now) {
                explain_unwoken::<S, true>(program, state, next, now);
            }
            switch_in::<S>(state, next, now);
        } else if state.helper != 0 {
            let now = clock::now();
            state.touched = 0;
            state.stack_waits = 0;
            state.start = now;
            state.begin_running::<S>(next, now);
        }
    }
    if let Some(begun) = begun::here() {
        store(&mut begun.returning, returning);
    }
}

/// Whether a task whose call has returned is still on its way to user mode: an interrupt from there, or another call,
/// would have overwritten the call's number in its registers.
#[inline(always)]
fn still_returning(state: &TaskState) -> bool {
    // SAFETY: any address will do.
    unsafe { arch::call_number::<Raw>(state.regs as Ptr) as u64 == state.number }
}

#[inline(always)]
fn switch_out<S: Tasks>(program: Ptr, state: &mut TaskState, task: Ptr, sleeping: u32, now: u64) {
    state.charge_running::<S>(task, now);
    state.hints = 0;
    state.stack = 0;
    if sleeping == 0 {
        state.phase = phase::RUNNABLE;
        quota::begin_apart::<S>(&mut state.hold, task);
        return;
    }
    if state.helper != 0 && sleeping & INTERRUPTIBLE != 0 {
        // It waits for work: what it did belongs to nobody who comes later.
        state.touched = 0;
        state.phase = phase::RUNNING;
        state.start = 0;
        return;
    }
    let mut hints = 0;
    if tasks::flag::<S>(task, &TASK_IN_IOWAIT, &TASK_IN_IOWAIT_MASK) {
        hints |= hint::IOWAIT;
        // SAFETY: a load from the task.
        if unsafe { S::read::<u64>(task, TASK_BIO_LIST.load()) } != 0 {
            hints |= hint::SUBMITTING;
        }
    }
    if tasks::flag::<S>(task, &TASK_IN_MEMSTALL, &TASK_IN_MEMSTALL_MASK) {
        hints |= hint::MEMSTALL;
    }
    store(&mut state.hints, hints);
    if !S::STACK_OF_SLEEPER
        && state.helper == 0
        && state.context_cause().is_none()
        && (hints != hint::IOWAIT || request::is_any_swap())
    {
        // SAFETY: the task is the current one.
        let stack = unsafe { stack::take::<S>(program, task) };
        store(&mut state.stack, stack);
    }
    // The last thing: from now on the waker, on another CPU, explains the sleep.
    store(&mut state.phase, phase::BLOCKED);
}

/// A task is found back on a CPU: the kernel did not report its switch, and perhaps not its wake-up either.
#[inline(always)]
pub fn switched_in_unseen<S: Tasks>(state: &mut TaskState, task: Ptr, now: u64) {
    if unwoken(state, now) {
        explain_unwoken::<S, false>(core::ptr::null(), state, task, now);
    }
    switch_in::<S>(state, task, now);
}

/// A task is back on a CPU: what it waited for is settled.
#[inline(always)]
pub fn switch_in<S: Tasks>(state: &mut TaskState, task: Ptr, now: u64) {
    let waited = now.saturating_sub(state.mark);
    if state.phase != phase::RUNNING {
        let held = quota::during::<S>(&state.hold, task, waited);
        if held != 0 {
            state.add(Cause::Throttled, held);
        }
        // What comes after the refill is waiting for a CPU like any other.
        if waited != held {
            state.add(Cause::Runqueue, waited - held);
        }
    }
    // The switch was not told of, and with it went the moment in which its stack could be taken.
    if state.unexplained != 0 {
        loss::count(Loss::Stacks);
        state.add(Cause::OtherWait, state.unexplained);
        store(&mut state.unexplained, 0);
    }
    state.begin_running::<S>(task, now);
    state.end = now;
}

/// Whether a task comes back from a sleep of which nobody saw the end. A wake-up on another CPU can come before the
/// switch that it ends: then it was runnable all the while, and so was one that a signal kept from sleeping.
#[inline(always)]
fn unwoken(state: &TaskState, now: u64) -> bool {
    state.phase == phase::BLOCKED
        && state.woken + LOST_WAKEUP_NS <= state.mark
        && now.saturating_sub(state.mark) >= LOST_WAKEUP_NS
}

/// Explains the wait of a task that comes back though nobody was seen to wake it: that program run was missed. All but
/// the waker can still be asked, and its stack where it is yet to run.
#[inline(never)]
fn explain_unwoken<S: Tasks, const YET_TO_RUN: bool>(
    program: Ptr,
    state: &mut TaskState,
    task: Ptr,
    now: u64,
) {
    loss::count(Loss::MissedRuns);
    let since = state.mark;
    let wait = now.saturating_sub(since);
    if let Some(cause) = state.context_cause() {
        state.add(cause, wait);
    } else if waits_for_request(state)
        && let Some(request) = request::during(state.dev, since)
    {
        let rest = block::split(state, &request, since, now, 0);
        state.add(Cause::OtherWait, rest);
    } else {
        let stack = if YET_TO_RUN || !S::STACK_OF_SLEEPER {
            stack_of_wait::<S>(program, state, task, wait)
        } else {
            0
        };
        if stack != 0 {
            state.add_stack_wait(wait, stack, 0);
        } else {
            state.add(Cause::OtherWait, wait);
        }
    }
    state.contexts &= !context::DIRTY_THROTTLE;
    state.phase = phase::RUNNABLE;
    state.mark = now;
}

/// `sched_waking(struct task_struct *p)`: runs in the context of who ended the wait.
#[inline(always)]
pub fn waking<S: Tasks>(program: Ptr, task: Ptr) {
    let Some(state) = S::state(task) else { return };
    if state.stopped_in != 0 {
        stop::ended(state, clock::now());
    }
    if !state.active() {
        return;
    }
    let now = clock::now();
    if state.phase != phase::BLOCKED {
        state.woken = now;
        return;
    }
    let since = state.mark;
    let wait = now.saturating_sub(since);
    explain::<S>(program, state, task, since, now, wait);
    state.contexts &= !context::DIRTY_THROTTLE;
    state.phase = phase::RUNNABLE;
    state.hints = 0;
    quota::begin_apart::<S>(&mut state.hold, task);
    state.mark = now;
}

/// Gives a wait its cause: the context it was in, the waker, and only then its stack.
#[inline(always)]
fn explain<S: Tasks>(program: Ptr, state: &mut TaskState, task: Ptr, since: u64, now: u64, wait: u64) {
    if let Some(cause) = state.context_cause() {
        let via = if state.contexts == 0 { waker_via::<S>(now) } else { VIA_NONE };
        let stack = long_stack::<S>(program, state, task, wait);
        state.add_detailed(cause as u32, wait, via, stack);
        return;
    }
    if state.hints & hint::MEMSTALL == 0 {
        if waits_for_request(state)
            && let Some((request, certain)) = request::waking(state.dev, now)
        {
            let stack = if certain {
                long_stack::<S>(program, state, task, wait)
            } else {
                stack_of_wait::<S>(program, state, task, wait)
            };
            let rest = block::split(state, &request, since, now, stack);
            state.add_detailed(Cause::Device as u32, rest, VIA_NONE, stack);
            return;
        }
        if tasks::writes_journal::<S>(S::current()) {
            let via = journal_via::<S>(now);
            let stack = long_stack::<S>(program, state, task, wait);
            state.add_detailed(Cause::Journal as u32, wait, via, stack);
            return;
        }
        if waits_for_request(state) {
            // Completed in a work item, not in the interrupt: ext4 converts extents, dm decrypts. Or something else was waited for
            // meanwhile: that the stack tells, however long it was.
            if let Some(request) = request::during(state.dev, since) {
                let stack = stack_of_wait::<S>(program, state, task, wait);
                let rest = block::split(state, &request, since, now, stack);
                if rest != 0 {
                    state.add_detailed(Cause::FsWait as u32, rest, VIA_NONE, stack);
                }
                return;
            }
        }
    }
    let stack = stack_of_wait::<S>(program, state, task, wait);
    let stalled = if state.hints & hint::MEMSTALL != 0 { STALLED } else { 0 };
    let contended = if state.lock != 0 { CONTENDED } else { 0 };
    if stack != 0 {
        state.add_stack_wait(wait, stack, stalled | contended);
    } else if S::STACK_OF_SLEEPER {
        store(&mut state.unexplained, wait);
        store(&mut state.unexplained_flags, stalled | contended);
    } else if state.hints & hint::IOWAIT != 0 {
        state.add(Cause::BlockWait, wait);
    } else {
        // Of a helper none is taken (see `switch_out`).
        if state.helper == 0 {
            loss::count(Loss::Stacks);
        }
        state.add(Cause::OtherWait, wait);
    }
}

/// Whether the task sleeps for a request, as far as it says so.
#[inline(always)]
fn waits_for_request(state: &TaskState) -> bool {
    state.hints & (hint::IOWAIT | hint::SUBMITTING) == hint::IOWAIT
}

/// Explains a wait that ended before the task had quite left its CPU: now, before it comes back, it has.
#[inline(never)]
fn explain_late<S: Tasks>(program: Ptr, state: &mut TaskState, task: Ptr) {
    let wait = state.unexplained;
    store(&mut state.unexplained, 0);
    let stack = stack_of_wait::<S>(program, state, task, wait);
    if stack != 0 {
        state.add_stack_wait(wait, stack, state.unexplained_flags);
    } else {
        loss::count(Loss::Stacks);
        state.add(Cause::OtherWait, wait);
    }
}

#[inline(always)]
fn stack_of_wait<S: Tasks>(program: Ptr, state: &mut TaskState, task: Ptr, wait: u64) -> u32 {
    let number = if S::STACK_OF_SLEEPER {
        // SAFETY: the task sleeps; the verifier knows it by type.
        unsafe { stack::take::<S>(program, task) }
    } else {
        state.stack
    };
    if number != 0 && wait > state.longest_ns {
        state.longest_ns = wait;
        state.longest_stack = number;
    }
    number
}

#[inline(always)]
fn long_stack<S: Tasks>(program: Ptr, state: &mut TaskState, task: Ptr, wait: u64) -> u32 {
    if wait >= LONG_WAIT_NS { stack_of_wait::<S>(program, state, task, wait) } else { 0 }
}

/// What the waker, an operation or a helper itself, was waiting for.
#[inline(always)]
fn waker_via<S: Tasks>(now: u64) -> u8 {
    match S::state(S::current()) {
        Some(waker) if waker.active() && waker.returning == 0 => waker.dominant(now),
        _ => VIA_NONE,
    }
}

/// The same for a journal thread, which is followed from the first time that it ends a wait.
#[inline(always)]
fn journal_via<S: Tasks>(now: u64) -> u8 {
    let Some(thread) = S::state_or_create(S::current()) else {
        loss::count(Loss::TaskState);
        return VIA_NONE;
    };
    if thread.helper == 0 {
        thread.helper = 1;
        debug!((), "following thread {}, which others wait for", tasks::pid::<S>(S::current()));
    }
    if thread.active() { thread.dominant(now) } else { VIA_NONE }
}
