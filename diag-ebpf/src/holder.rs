//! Who holds a lock that is slept for: by a word in which it has its owner's `task_struct`.
//!
//! Of an rwsem the count is needed as well, as neither says it alone. The count has a bit for a writer and the number of readers, among them those that tried, failed, and have yet to take
//! themselves out again. The owner's word is that of a writer only while it has the lock, but lags behind the count when it takes
//! the lock. A reader's can be there long after it has let go (kernel/locking/rwsem.c, 5.10 to 7.3).

use aya_ebpf::Global;
use diag_common::contention::{Kind, owner};

use crate::{
    fields::{MUTEX_OWNER, RTMUTEX_OWNER, RWSEM_COUNT, RWSEM_OWNER, RWSEM_READERS_LEAVE, present},
    side::{Ptr, Raw, Side},
};

/// Who holds a lock.
pub enum Holder {
    /// A task, by the address of its `task_struct`; of an rwsem a writer.
    Task(u64),
    /// A task to which it was handed, and that has yet to wake up.
    Handed(u64),
    /// Readers. With the `task_struct` of the last to have come, where that one still holds it for sure; else 0.
    Readers(u64),
    /// No task.
    Free,
    /// The lock does not say: it is being taken or let go of, or is another type (`CONFIG_PREEMPT_RT`).
    Unknown,
}

/// Who holds the lock of the kind `kind`, by its number, at `lock`. `own` is what the waiter itself has added to the count of an
/// rwsem so far: nothing where it sleeps for it.
#[inline(always)]
pub fn of(lock: u64, kind: u32, own: u64) -> Holder {
    const MUTEX: u32 = Kind::Mutex as u32;
    const READ: u32 = Kind::RwsemRead as u32;
    const WRITE: u32 = Kind::RwsemWrite as u32;
    const RTMUTEX: u32 = Kind::Rtmutex as u32;
    match kind {
        MUTEX => by_word(lock, &MUTEX_OWNER),
        READ | WRITE => of_rwsem(lock, own),
        RTMUTEX => by_word(lock, &RTMUTEX_OWNER),
        _ => Holder::Unknown,
    }
}

/// Who holds the lock at `lock` that has its owner in the word at an offset: a mutex, or another one that has its task there.
#[inline(always)]
pub fn by_word(lock: u64, offset: &Global<u32>) -> Holder {
    if !present(offset) {
        return Holder::Unknown;
    }
    // SAFETY: any address will do.
    let word: u64 = unsafe { Raw::read(lock as Ptr, offset.load()) };
    let task = word & !owner::FLAGS;
    if task == 0 {
        Holder::Free
    } else if word & owner::PICKUP != 0 {
        Holder::Handed(task)
    } else {
        Holder::Task(task)
    }
}

#[inline(always)]
fn of_rwsem(lock: u64, own: u64) -> Holder {
    if !present(&RWSEM_COUNT) {
        return Holder::Unknown;
    }
    // SAFETY: any address will do.
    let (word, count): (u64, u64) =
        unsafe { (Raw::read(lock as Ptr, RWSEM_OWNER.load()), Raw::read(lock as Ptr, RWSEM_COUNT.load())) };
    let count = count.wrapping_sub(own);
    let task = word & !owner::FLAGS;
    let reader = word & owner::READER != 0;
    if count & owner::WRITER_LOCKED != 0 {
        return if task != 0 && !reader { Holder::Task(task) } else { Holder::Unknown };
    }
    if count & owner::READERS == 0 {
        return Holder::Free;
    }
    if !reader {
        return Holder::Unknown;
    }
    Holder::Readers(if present(&RWSEM_READERS_LEAVE) { task } else { 0 })
}
