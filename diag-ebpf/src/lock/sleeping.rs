//! Locks whose waiters may sleep: the task carries its contentions from CPU to CPU.

use diag_common::{
    contention::{Kind, flags as bits},
    lock::{TaskState, Wait, class, doing},
    loss::Loss,
    state::UNINTERRUPTIBLE,
};

use super::{count, owner, state::Tasks};
use crate::{clock, contention, loss, memory::store, side::Ptr};

/// A task begins to wait. A mutex says so several times: when it spins, when it goes to sleep, and when it spins again
/// because it is next in turn (`__mutex_lock_common`, kernel/locking/mutex.c, 6.18). All of that is one wait. `own` is as in
/// [`owner::find`].
#[inline(always)]
pub fn begin<S: Tasks>(task: Ptr, lock: u64, flags: u32, kind: Kind, own: u64) {
    let Some(state) = S::state_or_create(task) else {
        loss::count(Loss::TaskState);
        return;
    };
    let spinning = flags & bits::SPIN != 0;
    let wait = place(state, lock);
    if wait.lock == lock && kind as u8 == Kind::Mutex as u8 && !(spinning && wait.spinning != 0) {
        wait.spinning = spinning as u8;
        // Nobody had it, or who had it was not there yet.
        if wait.doing == doing::UNKNOWN || wait.doing == doing::HANDED_OVER {
            store(&mut wait.doing, doing::UNKNOWN);
            store(&mut wait.owner, 0);
            owner::find::<S>(wait, kind, own, clock::now());
        }
        return;
    }
    if wait.lock != 0 {
        // The same lock, whose end was not told of, or one of too many.
        loss::count(Loss::LockWaits);
    }
    let now = clock::now();
    store(&mut wait.lock, lock);
    store(&mut wait.since, now);
    store(&mut wait.held_since, now);
    for held in &mut wait.held {
        store(&mut held.ns, 0);
        store(&mut held.owner, 0);
        store(&mut held.stack, 0);
        store(&mut held.doing, 0);
    }
    store(&mut wait.owner, 0);
    store(&mut wait.owner_stack, 0);
    store(&mut wait.kind, kind as u8);
    store(
        &mut wait.class,
        if contention::is_mmap_lock::<S>(task, lock) { class::MMAP_LOCK } else { class::NONE },
    );
    store(&mut wait.doing, 0);
    store(&mut wait.spinning, spinning as u8);
    owner::find::<S>(wait, kind, own, now);
}

/// A task leaves its CPU. If it goes to sleep for an rwsem it is looked again who holds that: a writer that has let readers
/// go by, or was woken and found that another one was faster, waits for somebody else from now on.
///
/// Only waits that no signal ends are looked at, which nearly all are (`down_read_interruptible` is for few locks). Others sleep
/// too often to be looked at each time.
#[inline(always)]
pub fn switch<S: Tasks>(left_as: u32) {
    if left_as & UNINTERRUPTIBLE == 0 {
        return;
    }
    let task = S::current();
    let Some(state) = S::state(task) else { return };
    let [a, b, c, d] = &mut state.waits;
    // Of several it sleeps for the last to begin.
    let mut wait = a;
    for other in [b, c, d] {
        if other.lock != 0 && (wait.lock == 0 || other.since > wait.since) {
            wait = other;
        }
    }
    if wait.lock == 0 {
        return;
    }
    let kind = if wait.kind == Kind::RwsemRead as u8 {
        Kind::RwsemRead
    } else if wait.kind == Kind::RwsemWrite as u8 {
        Kind::RwsemWrite
    } else {
        return;
    };
    look_again::<S>(wait, kind);
}

#[inline(always)]
fn look_again<S: Tasks>(wait: &mut Wait, kind: Kind) {
    let now = clock::now();
    wait.split(now);
    store(&mut wait.owner, 0);
    store(&mut wait.owner_stack, 0);
    store(&mut wait.doing, doing::UNKNOWN);
    owner::find::<S>(wait, kind, 0, now);
}

/// Where the wait for a lock is kept, or can be: with the oldest where there is no room.
#[inline(always)]
fn place(state: &mut TaskState, lock: u64) -> &mut Wait {
    let [a, b, c, d] = &mut state.waits;
    if a.lock == lock {
        return a;
    }
    if b.lock == lock {
        return b;
    }
    if c.lock == lock {
        return c;
    }
    if d.lock == lock || a.lock != 0 && b.lock != 0 && c.lock != 0 {
        return d;
    }
    if a.lock == 0 {
        a
    } else if b.lock == 0 {
        b
    } else {
        c
    }
}

/// The wait for a lock, where there is one.
#[inline(always)]
fn under_way(state: &mut TaskState, lock: u64) -> Option<&mut Wait> {
    state.waits.iter_mut().find(|wait| wait.lock == lock)
}

/// A task has the lock, or has given it up.
#[inline(always)]
pub fn end<S: Tasks>(program: Ptr, task: Ptr, lock: u64) {
    let Some(state) = S::state(task) else { return };
    let Some(wait) = under_way(state, lock) else { return };
    let now = clock::now();
    wait.split(now);
    count::sleeping::<S>(program, task, wait, now);
    store(&mut wait.lock, 0);
}

/// A task has the lock, and nobody can say when: the wait counts as lost.
#[inline(always)]
pub fn abandon<S: Tasks>(lock: u64) {
    let Some(state) = S::state(S::current()) else { return };
    let Some(wait) = under_way(state, lock) else { return };
    store(&mut wait.lock, 0);
    loss::count(Loss::LockWaits);
}
