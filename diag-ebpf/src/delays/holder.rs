//! The group of the task that has a lock.

use super::group;
use crate::{
    fields::{TYPE_TASK, present},
    holder::{self, Holder},
    side::{Ptr, Raw, Side},
    task as tasks,
};

/// The number of the group of the task that has the lock at this address, for which `waiter` goes to sleep; 0 where the kernel does not
/// know it. Looked at no sooner than that: a task that has an rwsem with others when a wait begins can have taken it for itself by then,
/// before the waiter that it woke had run.
#[inline(never)]
pub fn group_of<S: Side>(lock: u64, kind: u32, waiter: Ptr) -> u32 {
    let task = match holder::of(lock, kind, 0) {
        Holder::Task(task) | Holder::Readers(task) => task,
        // One that has yet to pick it up waits as well.
        Holder::Handed(_) | Holder::Free | Holder::Unknown => 0,
    };
    if task == 0 || task == waiter as u64 {
        0
    } else if present(&TYPE_TASK) {
        number::<S>(S::cast(task as Ptr, TYPE_TASK.load()))
    } else {
        number::<Raw>(task as Ptr)
    }
}

/// Nothing keeps the task from going away meanwhile; what is then there has no number.
#[inline(always)]
fn number<R: Side>(task: Ptr) -> u32 {
    if tasks::pid::<R>(task) == 0 { 0 } else { group::number_of::<R>(task, group::IN_SCHEDULER) }
}
