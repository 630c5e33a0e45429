//! Who holds a lock that a task waits for, and what it is doing.

use diag_common::{
    contention::{Kind, owner},
    lock::{Wait, doing},
    state::WAKING,
};

use super::state::{Tasks, cpu};
use crate::{
    fields::{
        RWSEM_FIRST, RWSEM_WAITER_LIST, RWSEM_WAITER_TASK, TASK_BLOCKER, TASK_FLAGS, TASK_IN_IOWAIT,
        TASK_IN_IOWAIT_MASK, TASK_STATE, TYPE_TASK, present,
    },
    holder::{self, Holder},
    memory::store,
    side::{Ptr, Raw, Side},
    stack, task as tasks,
    who::{self, As},
};

/// `PF_MEMALLOC` (include/linux/sched.h, 6.18): the task makes memory.
const MEMALLOC: u32 = 0x800;

/// How often a CPU takes the stack of an owner at most. It costs some 2 µs, so that is 0.2 % of a CPU's time.
const STACK_PERIOD_NS: u64 = 1_000_000;

/// The lane of [`who::number`] in which owners are looked at.
const LANE: u32 = 0;

/// Notes in `wait` who owns the lock. `own` is what the waiter has added to the count of an rwsem.
#[inline(always)]
pub fn find<S: Tasks>(wait: &mut Wait, kind: Kind, own: u64, now: u64) {
    let (task, handed) = match holder::of(wait.lock, kind as u32, own) {
        Holder::Task(task) => (task, false),
        Holder::Handed(task) => (task, true),
        Holder::Readers(task) => {
            store(&mut wait.doing, doing::READERS);
            (task, false)
        }
        Holder::Free if kind == Kind::RwsemRead || kind == Kind::RwsemWrite => {
            let first = first_in_queue(wait.lock);
            (if first == S::current() as u64 { 0 } else { first }, true)
        }
        Holder::Free | Holder::Unknown => return,
    };
    if task == 0 {
        return;
    }
    if present(&TYPE_TASK) {
        let task = S::cast(task as Ptr, TYPE_TASK.load());
        describe::<S, S>(wait, task, handed, now);
    } else {
        describe::<S, Raw>(wait, task as Ptr, handed, now);
    }
}

/// The task that is first in an rwsem's queue; 0 where there is none. A free rwsem is on its way to that task: a writer there
/// was woken when the lock was let go of, and takes it when it runs, unless a task that spins is faster (`rwsem_mark_wake`,
/// `rwsem_try_write_lock`, kernel/locking/rwsem.c, 5.10 to 7.3).
#[inline(always)]
fn first_in_queue(lock: u64) -> u64 {
    if !present(&RWSEM_FIRST) || !present(&RWSEM_WAITER_LIST) || !present(&RWSEM_WAITER_TASK) {
        return 0;
    }
    let head = lock + RWSEM_FIRST.load() as u64;
    // SAFETY: any addresses will do.
    unsafe {
        let first: u64 = Raw::read(head as Ptr, 0);
        // An empty list is its own first element.
        if first == 0 || first == head {
            return 0;
        }
        let waiter = first - RWSEM_WAITER_LIST.load() as u64;
        let task = Raw::read(waiter as Ptr, RWSEM_WAITER_TASK.load());
        // A waiter is on the stack of its task, so it was one only if it is still the first.
        if Raw::read::<u64>(head as Ptr, 0) == first { task } else { 0 }
    }
}

/// `R` reads the owner: nothing keeps it from going away meanwhile.
#[inline(always)]
fn describe<S: Side, R: Side>(wait: &mut Wait, task: Ptr, handed: bool, now: u64) {
    let holder = who::of::<R>(task, As::Thread);
    if holder.tid == 0 || holder.tgid == 0 {
        return;
    }
    let what =
        if handed || in_queue::<R>(task, wait.lock) { doing::HANDED_OVER } else { what_it_does::<R>(task) };
    store(&mut wait.owner, who::number(&holder, LANE));
    let readers = wait.doing;
    store(&mut wait.doing, readers | what);
    if what == doing::RUNNING || what == doing::HANDED_OVER {
        return;
    }
    let Some(cpu) = cpu() else { return };
    if now >= cpu.owner_stack_at {
        store(&mut cpu.owner_stack_at, now + STACK_PERIOD_NS);
        store(&mut wait.owner_stack, stack::take_of_thread::<S>(holder.tid));
    }
}

/// Whether a task is in the queue of the very lock that it owns: who lets go of an rwsem makes the first reader in the queue its
/// owner, and then wakes it (`rwsem_mark_wake`, kernel/locking/rwsem.c, 6.18).
#[inline(always)]
fn in_queue<R: Side>(task: Ptr, lock: u64) -> bool {
    if !present(&TASK_BLOCKER) {
        return false;
    }
    // SAFETY: a load from what was a task a moment ago.
    let blocker: u64 = unsafe { R::read(task, TASK_BLOCKER.load()) };
    blocker & !owner::BLOCKER_TYPE == lock
}

#[inline(always)]
fn what_it_does<R: Side>(task: Ptr) -> u8 {
    // SAFETY: loads from what was a task a moment ago.
    let (flags, state): (u32, u32) =
        unsafe { (R::read(task, TASK_FLAGS.load()), R::read(task, TASK_STATE.load())) };
    if flags & MEMALLOC != 0 {
        doing::RECLAIM
    } else if tasks::on_cpu::<R>(task) {
        doing::RUNNING
    } else if state == 0 || state & WAKING != 0 {
        doing::RUNNABLE
    } else if tasks::flag::<R>(task, &TASK_IN_IOWAIT, &TASK_IN_IOWAIT_MASK) {
        doing::IO
    } else {
        doing::BLOCKED
    }
}
