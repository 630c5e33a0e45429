//! Contentions under way: where they begin and end.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use diag_common::{
    contention::Kind,
    lock::{Cpu, TaskState},
};

use super::{sleeping, spinning};
use crate::{scope, side::Ptr, storage};

/// An object that keeps this state.
pub trait Tasks: storage::Tasks<State = TaskState> {}

impl<T: storage::Tasks<State = TaskState>> Tasks for T {}

#[map]
static LOCK_CPUS: PerCpuArray<Cpu> = PerCpuArray::with_max_entries(1, 0);

/// What is kept of this CPU.
#[inline(always)]
pub fn cpu() -> Option<&'static mut Cpu> {
    // SAFETY: this CPU's element. Programs that interrupt each other write different parts of it, or leave it as it was.
    unsafe { LOCK_CPUS.get_ptr_mut(0)?.as_mut() }
}

/// `contention_begin(void *lock, unsigned int flags)`
#[inline(always)]
pub fn begin<S: Tasks>(lock: u64, flags: u32) {
    let task = S::current();
    if !scope::contains::<S>(task) {
        return;
    }
    let kind = Kind::of(flags);
    if kind.spins() {
        spinning::begin::<S>(task, lock, kind);
    } else {
        // Who queues for an rwsem has taken itself out of the count (kernel/locking/rwsem.c, 5.19 to 7.3).
        sleeping::begin::<S>(task, lock, flags, kind, 0);
    }
}

/// `contention_end(void *lock, int ret)`: a wait that was given up ends, too.
#[inline(always)]
pub fn end<S: Tasks>(program: Ptr, lock: u64) {
    let task = S::current();
    if !spinning::end::<S>(program, task, lock) {
        sleeping::end::<S>(program, task, lock);
    }
}
