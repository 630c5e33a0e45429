//! What a task is in when it runs or sleeps: reclaim, compaction, dirty throttling, a contended lock.

use diag_common::{cause::Cause, contention::flags as bits};

use super::{
    begun,
    state::{TaskState, Tasks, UNKNOWN_LOCK},
};
use crate::{
    clock, context,
    fields::{INODE_RWSEM, SB_WRITERS, SB_WRITERS_SIZE},
    side::Ptr,
};

#[inline(always)]
fn in_operation<S: Tasks>() -> Option<(Ptr, &'static mut TaskState, u64)> {
    let task = S::current();
    let state = begun::state_of_current::<S>(task)?;
    if !state.active() || state.returning != 0 {
        return None;
    }
    let now = clock::now();
    Some((task, state, now))
}

/// Enters a context (see [`context`]).
#[inline(always)]
pub fn begin<S: Tasks>(bit: u32) {
    if let Some((task, state, now)) = in_operation::<S>() {
        state.charge_running::<S>(task, now);
        state.contexts |= bit;
    }
}

/// Leaves a context.
#[inline(always)]
pub fn end<S: Tasks>(bit: u32) {
    if let Some((task, state, now)) = in_operation::<S>() {
        state.charge_running::<S>(task, now);
        state.contexts &= !bit;
    }
}

/// `balance_dirty_pages(…, long pause, …)`: a positive pause is a sleep that follows at once; it ends with the wake-up
/// (mm/page-writeback.c, 6.18).
#[inline(always)]
pub fn dirty_throttle<S: Tasks>(pause: i64) {
    if pause > 0 {
        begin::<S>(context::DIRTY_THROTTLE);
    }
}

/// `contention_begin(void *lock, unsigned int flags)`: names the locks that the operation's own file tells. A spinning
/// lock counts as running.
#[inline(always)]
pub fn contention_begin<S: Tasks>(lock: u64, flags: u32) {
    if bits::spins(flags) {
        return;
    }
    let Some((task, state, now)) = in_operation::<S>() else { return };
    // A lock within a lock's own slow path is part of that wait.
    if state.lock != 0 {
        return;
    }
    let writers = state.sb + SB_WRITERS.load() as u64;
    let cause = if lock == state.inode + INODE_RWSEM.load() as u64 {
        Cause::InodeLock
    } else if lock.wrapping_sub(writers) < SB_WRITERS_SIZE.load() as u64 {
        Cause::Freeze
    } else {
        state.lock = UNKNOWN_LOCK;
        state.lock_address = lock;
        return;
    };
    state.charge_running::<S>(task, now);
    state.lock = cause as u8 + 1;
    state.lock_address = lock;
}

/// `contention_end(void *lock, int ret)`
#[inline(always)]
pub fn contention_end<S: Tasks>(lock: u64) {
    // An operation without state contends for no lock that counts. It must be left alone: spinning locks end here as well,
    // and may do so in an interrupt of the very program that ends the operation.
    if begun::here().is_some_and(|begun| begun.task == S::current() as u64) {
        return;
    }
    let Some((task, state, now)) = in_operation::<S>() else { return };
    if state.lock != 0 && state.lock_address == lock {
        state.charge_running::<S>(task, now);
        state.lock = 0;
    }
}
