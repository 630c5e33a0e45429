//! Locks whose waiters spin: they keep their CPU, so it is the CPU that carries the contention. A softirq, an interrupt
//! and an NMI can each wait on top of what they interrupted, and end first: so there is one place for each level. An rwlock has
//! a spinlock inside, for which its waiters wait in turn: so there are two.
//!
//! The kernel leaves a program out where it interrupts another run of that program (`bpf_prog_active`, and `prog->active` in
//! `bpf_trace_run`, kernel/trace/bpf_trace.c, 6.18). So an interrupt that waits while its CPU counts the end of a wait begins one
//! here that never ends. Who begins or ends a wait therefore clears the places above its own, whose waits must be over:
//! else such a place would meet the end of a later wait whose beginning was left out, and the two would be one long wait.

use diag_common::{
    contention::Kind,
    lock::{Cpu, SPINS, Spin},
    loss::Loss,
};

use super::{
    count,
    state::{Tasks, cpu},
};
use crate::{
    clock, level, loss,
    memory::{at_most, load, store},
    side::Ptr,
    task as tasks,
};

/// Whoever runs on this CPU begins to wait.
#[inline(always)]
pub fn begin<S: Tasks>(task: Ptr, lock: u64, kind: Kind) {
    let now = clock::now();
    let Some(cpu) = cpu() else { return };
    let inner = matches!(kind, Kind::Spinlock) as u32;
    let place = 2 * level::of::<S>(task) + inner;
    clear_above(cpu, place);
    let spin = at(cpu, place);
    if load(&spin.lock) != 0 {
        // Its end was left out.
        loss::count(Loss::LockWaits);
    }
    store(&mut spin.lock, lock);
    store(&mut spin.since, now);
    store(&mut spin.task, task as u64);
    store(&mut spin.switches, tasks::switches::<S>(task));
    store(&mut spin.kind, kind as u64);
}

/// Whoever runs on this CPU has the lock, if that is one that it spun for.
#[inline(always)]
pub fn end<S: Tasks>(program: Ptr, task: Ptr, lock: u64) -> bool {
    let Some(cpu) = cpu() else { return false };
    let mut place = 2 * level::of::<S>(task) + 1;
    if load(&at(cpu, place).lock) != lock {
        place -= 1;
        if load(&at(cpu, place).lock) != lock {
            return false;
        }
    }
    let spin = at(cpu, place);
    let found = *spin;
    store(&mut spin.lock, 0);
    let now = clock::now();
    // Who spins leaves no CPU.
    if found.task == task as u64 && found.switches == tasks::switches::<S>(task) {
        count::spinning::<S>(program, task, cpu, &found, now);
    } else {
        loss::count(Loss::LockWaits);
    }
    // What has begun since then, while this program ran.
    clear_above(cpu, place);
    true
}

/// A place.
#[inline(always)]
fn at(cpu: &mut Cpu, place: u32) -> &mut Spin {
    // SAFETY: the index is bounded.
    unsafe { cpu.spins.get_unchecked_mut(at_most::<{ SPINS as i32 - 1 }>(place as u64)) }
}

/// Drops what was begun in the places above one: it has interrupted whoever is at work there now, or was within that wait, so it
/// is over.
#[inline(always)]
fn clear_above(cpu: &mut Cpu, place: u32) {
    for above in 1..SPINS {
        // SAFETY: the index is that of a place.
        let spin = unsafe { cpu.spins.get_unchecked_mut(above) };
        if above as u32 > place && load(&spin.lock) != 0 {
            store(&mut spin.lock, 0);
            loss::count(Loss::LockWaits);
        }
    }
}
