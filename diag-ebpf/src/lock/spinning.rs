//! Locks whose waiters spin: they keep their CPU, so it is the CPU that carries the contention. A softirq, an interrupt
//! and an NMI can each wait on top of what they interrupted, and end first: so there is one place for each level.
//!
//! The kernel leaves a program out where it interrupts another run of that program (`bpf_prog_active`, and `prog->active` in
//! `bpf_trace_run`, kernel/trace/bpf_trace.c, 6.18). So an interrupt that waits while its CPU counts the end of a wait begins one
//! here that never ends. Who begins or ends a wait at a level therefore clears the levels above it, whose waits must be over:
//! else such a place would meet the end of a later wait whose beginning was left out, and the two would be one long wait.

use diag_common::{
    lock::{Cpu, Kind, LEVELS, Spin},
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
    let level = level::of::<S>(task);
    clear_above(cpu, level);
    let spin = place(cpu, level);
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
    let level = level::of::<S>(task);
    let spin = place(cpu, level);
    if load(&spin.lock) != lock {
        return false;
    }
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
    clear_above(cpu, level);
    true
}

/// The place of a level.
#[inline(always)]
fn place(cpu: &mut Cpu, level: u32) -> &mut Spin {
    // SAFETY: the index is bounded.
    unsafe { cpu.spins.get_unchecked_mut(at_most::<{ LEVELS as i32 - 1 }>(level as u64)) }
}

/// Drops what was begun above a level: whoever is at work there now was interrupted by it, so it is over.
#[inline(always)]
fn clear_above(cpu: &mut Cpu, level: u32) {
    for above in 1..LEVELS {
        // SAFETY: the index is that of a level.
        let spin = unsafe { cpu.spins.get_unchecked_mut(above) };
        if above as u32 > level && load(&spin.lock) != 0 {
            store(&mut spin.lock, 0);
            loss::count(Loss::LockWaits);
        }
    }
}
