//! Interrupts of the local timer, and who armed what expires in them.

use aya_ebpf::{Global, macros::map, maps::LruHashMap};
use diag_common::{
    scope::Scope,
    vmexit::{Armed, Kind, MAX_TIMERS, NOT_BY_MSR, ON_IDLE, TIMER_DUE, TIMER_DUE_ON_IDLE},
};

use super::{
    cells,
    who::{self, Doer, INTERRUPT, UNSEEN},
};
use crate::{
    fields::{HRTIMER_FUNCTION, SLEEPER_TASK, present},
    level,
    scope::{self, SCOPE},
    side::{Ptr, Raw, Side, probe},
};

/// The function of the scheduler's tick, `tick_nohz_handler` or `tick_sched_timer`; 0 where the loader does not know.
#[unsafe(no_mangle)]
pub static TIMER_TICK: Global<u64> = Global::new(0);
/// `hrtimer_wakeup`, the function of timers that a sleeping task is waiting for; 0 where the loader does not know.
#[unsafe(no_mangle)]
pub static TIMER_WAKEUP: Global<u64> = Global::new(0);

/// Who armed a timer, by its address: for those that do not tell themselves.
#[map]
static VMEXIT_ARMED: LruHashMap<u64, Armed> = LruHashMap::with_max_entries(MAX_TIMERS, 0);

/// Whether an interrupt of so-and-so counts: in the whole system every one does.
#[inline(always)]
fn is_system() -> bool {
    SCOPE.load() == Scope::System as u32
}

#[inline(always)]
fn function<S: Side>(timer: Ptr) -> u64 {
    if !present(&HRTIMER_FUNCTION) {
        return 0;
    }
    // SAFETY: a typed pointer.
    unsafe { S::read(timer, HRTIMER_FUNCTION.load()) }
}

/// `hrtimer_start`. A timer that is started in an interrupt starts itself again, as periodic ones do: it stays with
/// whoever armed it.
#[inline(always)]
pub fn started<S: Side>(timer: Ptr) {
    let function = function::<S>(timer);
    if function == 0 || function == TIMER_TICK.load() || function == TIMER_WAKEUP.load() {
        return;
    }
    let address = timer as u64;
    let current = S::current();
    let interrupted = level::of::<S>(current) != level::TASK;
    if interrupted && VMEXIT_ARMED.get_ptr(address).is_some() {
        return;
    }
    let (doer, in_target) = if interrupted {
        (INTERRUPT, is_system())
    } else if scope::contains::<S>(current) {
        (who::task::<S>(current), true)
    } else {
        (UNSEEN, false)
    };
    let armed = Armed { who: doer.who, context: doer.context as u32, in_target: in_target as u32 };
    // Least recently used ones make room.
    let _ = VMEXIT_ARMED.insert(address, armed, 0);
}

/// `local_timer_entry`
#[inline(always)]
pub fn interrupt<S: Side>() {
    let Some(cpu) = cells::cpu() else { return };
    let before = cpu.timer_due;
    cpu.timer_due = if who::is_idle::<S>(S::current()) { TIMER_DUE_ON_IDLE } else { TIMER_DUE };
    if before != 0 && is_system() {
        let on_idle = if before == TIMER_DUE_ON_IDLE { ON_IDLE } else { 0 };
        let who = Doer { context: INTERRUPT.context | on_idle, ..INTERRUPT };
        cells::count(cells::key(Kind::Timer, 0, &who, NOT_BY_MSR));
    }
}

/// `hrtimer_expire_entry`: the first timer that expires after an interrupt is the one that the interrupt came for.
#[inline(always)]
pub fn expired<S: Side>(timer: Ptr) {
    let Some(cpu) = cells::cpu() else { return };
    if cpu.timer_due == 0 {
        return;
    }
    cpu.timer_due = 0;
    let function = function::<S>(timer);
    let who = if function != 0 && function == TIMER_TICK.load() {
        interrupted_task::<S>()
    } else if function != 0 && function == TIMER_WAKEUP.load() && present(&SLEEPER_TASK) {
        sleeper(timer)
    } else {
        armer(timer as u64)
    };
    if let Some(who) = who {
        let who = who.interrupting::<S>(S::current());
        cells::count(cells::key(Kind::Timer, function, &who, NOT_BY_MSR));
    }
}

/// The tick is of the task that runs.
#[inline(always)]
fn interrupted_task<S: Side>() -> Option<Doer> {
    let current = S::current();
    scope::contains::<S>(current).then(|| who::task::<S>(current))
}

/// The task that sleeps until the timer expires (`struct hrtimer_sleeper`, of which the timer is the first member,
/// include/linux/hrtimer.h, 6.18). It has no type here that the verifier would know.
#[inline(never)]
fn sleeper(timer: Ptr) -> Option<Doer> {
    // SAFETY: any address will do.
    let task: Ptr = unsafe { probe(timer, SLEEPER_TASK.load()) };
    if task.is_null() {
        return is_system().then_some(UNSEEN);
    }
    scope::contains::<Raw>(task).then(|| who::task::<Raw>(task))
}

#[inline(always)]
fn armer(timer: u64) -> Option<Doer> {
    let Some(armed) = VMEXIT_ARMED.get_ptr(timer) else { return is_system().then_some(UNSEEN) };
    // SAFETY: an entry that is taken for another timer meanwhile names a wrong doer once.
    let armed = unsafe { *armed };
    (armed.in_target != 0).then_some(Doer { who: armed.who, context: armed.context as u8 })
}
