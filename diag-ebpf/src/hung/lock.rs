//! The lock that a task waits for, and its owner.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::map, maps::HashMap};
use diag_common::{
    contention::{Kind, flags},
    hung::{MAX_WAITS, MUTEX, READER_OWNED, RWSEM_READ, RWSEM_WRITE, SEMAPHORE, Sleeper},
    loss::Loss,
};

use crate::{
    fields::{SEMAPHORE_HOLDER, TASK_BLOCKER, present},
    holder::{self, Holder},
    loss,
    memory::store,
    side::{Btf, Ptr, Raw, Side},
    task::pid,
};

/// A wait for a lock, as the contention tracepoints tell it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Wait {
    lock: u64,
    kind: u64,
}

/// By thread; only where the kernel has no `task_struct.blocker`.
#[map]
static WAITS: HashMap<u32, Wait> = HashMap::with_max_entries(MAX_WAITS, 0);

/// `contention_begin(void *lock, unsigned int flags)`: the current task goes to wait for a lock. Not for one that spins,
/// nor for one that keeps no owner.
#[inline(always)]
pub fn begin(lock: u64, told: u32) {
    if told & flags::SPIN != 0 {
        return;
    }
    let kind = match Kind::of(told) {
        Kind::Mutex => MUTEX,
        Kind::RwsemRead => RWSEM_READ,
        Kind::RwsemWrite => RWSEM_WRITE,
        _ => return,
    };
    if WAITS.insert(current(), Wait { lock, kind: u64::from(kind) }, 0).is_err() {
        loss::count(Loss::LockWaits);
    }
}

/// `contention_end(void *lock, int ret)`
#[inline(always)]
pub fn end(lock: u64) {
    // SAFETY: entries are preallocated.
    if unsafe { WAITS.get(current()) }.is_some_and(|wait| wait.lock == lock) {
        let _ = WAITS.remove(current());
    }
}

#[inline(always)]
fn current() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// Notes the lock that `task` waits for, where this kernel tells.
#[inline(always)]
pub fn note(task: Ptr, sleeper: &mut Sleeper) {
    if present(&TASK_BLOCKER) {
        // SAFETY: a load from a task.
        let blocker: u64 = unsafe { Btf::read(task, TASK_BLOCKER.load()) };
        store(&mut sleeper.lock, blocker & !3);
        store(&mut sleeper.lock_kind, (blocker & 3) as u32);
        return;
    }
    // SAFETY: entries are preallocated.
    if let Some(wait) = unsafe { WAITS.get(sleeper.pid) } {
        store(&mut sleeper.lock, wait.lock);
        store(&mut sleeper.lock_kind, wait.kind as u32);
    }
}

/// Notes who owns the lock: a task that may be gone by now, and its memory somebody else's.
#[inline(never)]
pub fn note_owner(sleeper: &mut Sleeper) {
    let holder = match sleeper.lock_kind {
        // Whom other tools do not ask for: it was the last to take the semaphore, which others may hold as well.
        SEMAPHORE => holder::by_word(sleeper.lock, &SEMAPHORE_HOLDER),
        MUTEX => holder::of(sleeper.lock, Kind::Mutex as u32, 0),
        RWSEM_READ => holder::of(sleeper.lock, Kind::RwsemRead as u32, 0),
        RWSEM_WRITE => holder::of(sleeper.lock, Kind::RwsemWrite as u32, 0),
        _ => return,
    };
    let task = match holder {
        Holder::Task(task) | Holder::Handed(task) => task,
        Holder::Readers(task) => {
            sleeper.flags |= READER_OWNED;
            task
        }
        Holder::Free | Holder::Unknown => 0,
    };
    if task == 0 {
        return;
    }
    store(&mut sleeper.owner, task);
    store(&mut sleeper.owner_pid, pid::<Raw>(task as Ptr));
}
