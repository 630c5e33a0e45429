//! What a sleep was for, once it ends: who ended it, the request that it was for, and only then its stack.

use aya_ebpf::{Global, helpers::generated::bpf_get_prandom_u32, macros::map, maps::PerCpuArray};
use diag_common::{
    cause::Cause,
    delays::{BEFORE, EVERY, LONG_NS, SampleKey, Thread, phase, table, via, what},
    hist,
    loss::Loss,
};

use super::{
    cells::{self, Count, Counter},
    longest,
    pieces::{RUNNABLE, Tasks, become_runnable},
};
use crate::{
    clock,
    context::DIRTY_THROTTLE,
    loss,
    request::{self, Completion},
    side::Ptr,
    stack, task as tasks,
};

/// Unexplained waits that were too short for a stack each; by place and state.
#[repr(C)]
#[derive(Clone, Copy)]
struct Short {
    /// How many there were since the last one whose stack was taken, and of how many one has it taken.
    passed: u32,
    one_of: u32,
    /// When that was, ns.
    last: u64,
}

#[map]
static SHORT_WAITS: PerCpuArray<Short> = PerCpuArray::with_max_entries(1024, 0);

/// Where stacks are taken more often than this, ns, one of twice as many waits has one; else of half as many.
const OFTEN_NS: u64 = 1_000_000;
/// Where it was not for so long, the next has one.
const SELDOM_NS: u64 = 64_000_000;
/// One of so many has it at least.
const MOST: u32 = 1024;

/// One of so many wake-ups is not counted as the end of its sleep: a fault that the test of the account makes. 0, for none, is what the
/// verifier removes.
#[unsafe(no_mangle)]
pub static FORGET_ONE_OF: Global<u32> = Global::new(0);

#[inline(always)]
fn forgets() -> bool {
    let one_of = FORGET_ONE_OF.load();
    // SAFETY: no preconditions.
    one_of != 0 && unsafe { bpf_get_prandom_u32() } % one_of == 0
}

/// A sleep that ends.
#[derive(Clone, Copy)]
pub struct Ending {
    /// The context of the program that sees it.
    pub program: Ptr,
    /// Whose sleep it is.
    pub task: Ptr,
    /// When it was over, ns.
    pub until: u64,
}

/// `sched_waking(struct task_struct *p)`: runs in the context of the one who ends the sleep.
#[inline(always)]
pub fn waking<S: Tasks>(program: Ptr, task: Ptr) {
    let Some(thread) = S::state(task) else { return };
    if thread.phase != phase::ASLEEP {
        if thread.phase == phase::ON_CPU {
            thread.woken = clock::now();
        }
        return;
    }
    let Some(mut counter) = cells::counter() else { return };
    let now = counter.now;
    if !forgets() {
        woken_at::<S, true>(&mut counter, thread, &Ending { program, task, until: now }, now);
    }
    become_runnable::<S>(&mut counter, thread, task, now);
}

/// Ends the sleep of a thread; from its end until `now` it was runnable. `SEEN` where the current context is the one that ended it.
#[inline(always)]
pub fn woken_at<S: Tasks, const SEEN: bool>(
    counter: &mut Counter,
    thread: &mut Thread,
    ending: &Ending,
    now: u64,
) {
    let Ending { task, until, .. } = *ending;
    let state = what::state(thread.what);
    thread.contexts &= !DIRTY_THROTTLE;
    let whole = until.saturating_sub(thread.began);
    let for_a_lock = SEEN && (state == Cause::MmapLock as u32 || what::is_with(state, what::CONTENDED));
    if for_a_lock && thread.owner != 0 {
        cells::between(counter.parity(), table::LOCK, thread.who, u64::from(thread.owner), whole);
    }
    let via = if for_a_lock { via_of_waker::<S>(thread, until) } else { via::NONE };
    if state < what::UNEXPLAINED {
        let what = what::with_via(thread.what, via);
        if until == now && via == via::NONE {
            cells::leave(counter, thread, now);
        } else {
            cells::revoke(counter, thread);
            cells::charge(counter, thread, what, thread.since, until);
            cells::charge(counter, thread, RUNNABLE, until, now);
        }
        ended::<S>(counter, thread, task, what, whole);
        return;
    }
    let for_a_journal = SEEN
        && (state == what::IOWAIT || state == what::UNEXPLAINED)
        && tasks::writes_journal::<S>(S::current());
    let is_plain = via == via::NONE && state != what::IOWAIT && !for_a_journal;
    if SEEN && is_plain && whole < LONG_NS {
        cells::leave(counter, thread, now);
        short::<S>(counter, thread, ending, whole);
        return;
    }
    cells::revoke(counter, thread);
    if until < now {
        cells::charge(counter, thread, RUNNABLE, until, now);
    }
    if SEEN
        && state == what::IOWAIT
        && let Some(request) = request::completing(now)
    {
        let made = by_request::<S>(counter, thread, ending, &request);
        if made > thread.began {
            // What it waited for before there was a request.
            let what = what::with_state(thread.what, what::UNEXPLAINED);
            let whole = made - thread.began;
            unexplained::<S, SEEN>(counter, thread, &Ending { until: made, ..*ending }, what, whole);
        }
        return;
    }
    if for_a_journal {
        let what = what::with_state(thread.what, Cause::Journal as u32);
        let what = what::with_via(what, via_of_waker::<S>(thread, until));
        cells::charge(counter, thread, what, thread.since, until);
        ended::<S>(counter, thread, task, what, whole);
        return;
    }
    let what = what::with_via(thread.what, via);
    unexplained::<S, SEEN>(counter, thread, ending, what, whole);
}

/// What the current thread, which ends the sleep of `thread`, was itself waiting for; so has `thread` in the end.
#[inline(never)]
fn via_of_waker<S: Tasks>(thread: &mut Thread, until: u64) -> u32 {
    let began = thread.began;
    let via = match S::state(S::current()) {
        Some(waker) => waker.hindrance(began, until),
        None => via::NONE,
    };
    if via != via::NONE {
        thread.hinder(via, began, until);
    }
    via
}

/// Splits a sleep by the request that ended it: at the device, and queued. Returns when the request was made, or when the sleep began
/// where that is later.
#[inline(never)]
fn by_request<S: Tasks>(
    counter: &mut Counter,
    thread: &mut Thread,
    ending: &Ending,
    request: &Completion,
) -> u64 {
    let Ending { task, until, .. } = *ending;
    let began = thread.began;
    let issued = request.issued.max(began).min(until);
    let queued = request.queued.max(began).min(issued);
    if request.issued == 0 {
        let what = what::with_state(thread.what, Cause::BlockWait as u32);
        cells::charge(counter, thread, what, began, until);
        ended::<S>(counter, thread, task, what, until - began);
        return began;
    }
    cells::between(counter.parity(), table::WAITED, thread.who, request.disk(), until - queued);
    let via = if queued + (until - queued) / 2 < issued { via::QUEUE } else { via::DEVICE };
    thread.hinder(via, queued, until);
    let device = what::with_state(thread.what, Cause::Device as u32);
    cells::charge(counter, thread, device, issued, until);
    ended::<S>(counter, thread, task, device, until - issued);
    if queued < issued {
        let what = what::with_state(thread.what, Cause::Queue as u32);
        cells::charge(counter, thread, what, queued, issued);
        ended::<S>(counter, thread, task, what, issued - queued);
    }
    queued
}

/// For how many waits the stack stands that is taken when a task goes to sleep, where it cannot be taken later: of each
/// uninterruptible sleep that nothing explains, and of some others; 0 where none is taken.
#[inline(always)]
pub fn turn(what: u32, interruptible: u32, now: u64) -> u32 {
    if what::state(what) < what::UNEXPLAINED {
        0
    } else if has_stack(what, interruptible) {
        1
    } else {
        next(what, now)
    }
}

/// Whether each such sleep has its stack taken.
#[inline(always)]
fn has_stack(what: u32, interruptible: u32) -> bool {
    interruptible == 0 && what::state(what) != what::IOWAIT
}

/// For how many waits at this place this one stands, if it is its turn to have its stack taken: the first, and then one of so many
/// that a place where threads wait without end costs a stack a millisecond or two. Else 0.
#[inline(always)]
fn next(what: u32, now: u64) -> u32 {
    let at = (what::place(what) ^ what::state(what) << 7) & 1023;
    let Some(short) = SHORT_WAITS.get_ptr_mut(at) else { return 0 };
    // SAFETY: this CPU's element, of programs that run without interrupts.
    let short = unsafe { &mut *short };
    let passed = short.passed + 1;
    let since = now.saturating_sub(short.last);
    if passed < short.one_of && since < SELDOM_NS {
        short.passed = passed;
        return 0;
    }
    let one_of = short.one_of.max(1);
    short.one_of = if since < OFTEN_NS { (2 * one_of).min(MOST) } else { one_of / 2 };
    short.passed = 0;
    short.last = now;
    passed
}

/// Takes the stack of a sleeping task; 0 where there is none.
#[inline(always)]
fn stack_of<S: Tasks>(ending: &Ending) -> u32 {
    // SAFETY: the task sleeps; the verifier knows it by type.
    unsafe { stack::take::<S>(ending.program, ending.task) }
}

/// A wait of less than [`LONG_NS`] of which only the stack tells what it was for. Its time is where it was counted.
#[inline(never)]
fn short<S: Tasks>(counter: &mut Counter, thread: &Thread, ending: &Ending, whole: u64) {
    let what = thread.what;
    cells::wait(counter, thread.who, what, whole);
    let stands_for = if S::STACK_OF_SLEEPER { next(what, ending.until) } else { thread.stands_for };
    if stands_for == 0 {
        return;
    }
    let number = if S::STACK_OF_SLEEPER { stack_of::<S>(ending) } else { thread.stack };
    if number != 0 {
        let what = what::with_bucket(what, hist::bucket(whole));
        let key = SampleKey { who: thread.who, what, stack: number, flags: counter.parity() };
        cells::sample(&key, whole * u64::from(stands_for));
    }
}

/// A revoked piece, or the first part of one, of which only the stack tells what it was for. Where its end was not `SEEN`, none is taken:
/// the functions that are under way then have no room for it on the program's own stack.
#[inline(never)]
fn unexplained<S: Tasks, const SEEN: bool>(
    counter: &mut Counter,
    thread: &mut Thread,
    ending: &Ending,
    what: u32,
    whole: u64,
) {
    let Ending { task, until, .. } = *ending;
    let long = whole >= LONG_NS;
    let stands_for = match S::STACK_OF_SLEEPER {
        false => thread.stands_for,
        true if !SEEN => 0,
        true if long => 1,
        true => next(what, until),
    };
    let number = if !S::STACK_OF_SLEEPER {
        thread.stack
    } else if SEEN && stands_for != 0 {
        stack_of::<S>(ending)
    } else {
        0
    };
    cells::wait(counter, thread.who, what, whole);
    let from = thread.since.max(cells::boundary(counter.parity()));
    let ns = until.saturating_sub(from);
    // Of others no more than samples have one, however long they are.
    let owed = long && (S::STACK_OF_SLEEPER || has_stack(thread.what, thread.interruptible));
    let every = owed && number != 0;
    let mut is_counted = false;
    if number != 0 {
        let mut key = SampleKey {
            who: thread.who,
            what: what::with_bucket(what, hist::bucket(whole)),
            stack: number,
            flags: counter.parity() | if every { EVERY } else { 0 },
        };
        let has_room = cells::sample(&key, if every { ns } else { whole * u64::from(stands_for) });
        is_counted = every && has_room;
        if is_counted && thread.since < from {
            key.flags |= BEFORE;
            cells::sample(&key, cells::before(thread, from));
        }
    } else if owed {
        loss::count(Loss::Stacks);
    }
    if !is_counted {
        cells::spend(counter, thread, what, ns);
    }
    if thread.interruptible == 0 {
        longest::ended::<S>(thread, task, what, whole, number);
    }
}

/// Counts a wait that has ended, or a part of one, whose cause is known.
#[inline(always)]
pub fn ended<S: Tasks>(counter: &mut impl Count, thread: &Thread, task: Ptr, what: u32, ns: u64) {
    cells::wait(counter, thread.who, what, ns);
    if longest::is_lost(what) {
        longest::ended::<S>(thread, task, what, ns, 0);
    }
}
