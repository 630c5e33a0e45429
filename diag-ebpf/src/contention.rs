//! Which lock it is that a task contends for.

use crate::{
    fields::{MM_MMAP_LOCK, TASK_MM},
    side::{Ptr, Side},
};

/// Whether it is the lock of the task's own memory (`mm_struct.mmap_lock`, include/linux/mm_types.h, 6.18).
#[inline(always)]
pub fn is_mmap_lock<S: Side>(task: Ptr, lock: u64) -> bool {
    // SAFETY: a load from a task.
    let memory: u64 = unsafe { S::read(task, TASK_MM.load()) };
    memory != 0 && lock.wrapping_sub(u64::from(MM_MMAP_LOCK.load())) == memory
}
