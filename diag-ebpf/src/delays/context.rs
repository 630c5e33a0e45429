//! What a thread is in when it runs or sleeps: reclaim, compaction, dirty throttling, a contended lock.

use diag_common::{
    cause::Cause,
    contention::{Kind, flags as bits},
    delays::{Thread, phase, place, what},
};

use super::{
    cells,
    pieces::{Tasks, on_cpu},
};
use crate::{
    clock, contention,
    context::{DIRTY_THROTTLE, cause},
    side::{Ptr, Side},
};

/// The current thread, where it is counted and runs. What it is in changes in its own programs alone.
#[inline(always)]
fn current<S: Tasks>() -> Option<&'static mut Thread> {
    let thread = S::state(S::current())?;
    (thread.phase == phase::ON_CPU).then_some(thread)
}

/// Brings the piece of the current thread up to date with what it is in. Programs that count can interrupt this one.
#[inline(never)]
fn changed(thread: &mut Thread) {
    let Some(mut counter) = cells::shared() else { return };
    let now = clock::now();
    cells::leave(&mut counter, thread, now);
    let what = on_cpu(thread);
    cells::enter(&mut counter, thread, what, now);
}

/// Enters a context.
#[inline(always)]
pub fn begin<S: Tasks>(bit: u32) {
    if let Some(thread) = current::<S>() {
        thread.contexts |= bit;
        changed(thread);
    }
}

/// Leaves a context.
#[inline(always)]
pub fn end<S: Tasks>(bit: u32) {
    if let Some(thread) = current::<S>()
        && thread.contexts & bit != 0
    {
        thread.contexts &= !bit;
        changed(thread);
    }
}

/// `balance_dirty_pages(…, long pause, …)`: a positive pause is a sleep that follows at once; it ends with the wake-up
/// (mm/page-writeback.c, 6.18).
#[inline(always)]
pub fn dirty_throttle<S: Tasks>(pause: i64) {
    if pause > 0
        && let Some(thread) = current::<S>()
    {
        thread.contexts |= DIRTY_THROTTLE;
    }
}

/// `contention_begin(void *lock, unsigned int flags)`: of locks that are slept for. A lock within a lock's own slow path is part
/// of that wait.
#[inline(always)]
pub fn contention_begin<S: Tasks>(lock: u64, flags: u32) {
    if bits::spins(flags) {
        return;
    }
    if let Some(thread) = current::<S>()
        && thread.lock == 0
    {
        thread.lock = lock;
        thread.kind = Kind::of(flags) as u32;
        changed(thread);
    }
}

/// `contention_end(void *lock, int ret)`
#[inline(always)]
pub fn contention_end<S: Tasks>(lock: u64) {
    if let Some(thread) = current::<S>()
        && thread.lock == lock
        && lock != 0
    {
        thread.lock = 0;
        changed(thread);
    }
}

/// The state of a thread that contends for a lock: its own `mmap_lock` is known by its address, others the stack tells.
#[inline(always)]
pub fn lock_state<S: Side>(thread: &Thread, task: Ptr, at: u32) -> u32 {
    if contention::is_mmap_lock::<S>(task, thread.lock) {
        return what::time(Cause::MmapLock as u32, at);
    }
    what::time(what::UNEXPLAINED + what::CONTENDED, at)
}

/// What a thread on a CPU is counted in.
#[inline(always)]
pub fn on_cpu_state(thread: &Thread) -> u32 {
    if let Some(cause) = cause(thread.contexts & !DIRTY_THROTTLE) {
        return what::of_kind(what::time(cause as u32, place::NONE), what::ON_CPU);
    }
    if thread.lock != 0 {
        return what::of_kind(what::time(what::UNEXPLAINED + what::CONTENDED, place::NONE), what::ON_CPU);
    }
    what::time(Cause::Run as u32, place::NONE)
}
