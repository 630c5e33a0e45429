//! Locks whose waiters spin: they keep their CPU, so it is the CPU that carries the contention. A softirq, an interrupt
//! and an NMI can each wait on top of what they interrupted, and end first.

use diag_common::{
    lock::{DEPTH, Kind},
    loss::Loss,
};

use super::{
    count,
    state::{Tasks, cpu},
};
use crate::{clock, loss, memory::store, side::Ptr};

/// Whoever runs on this CPU begins to wait.
#[inline(always)]
pub fn begin(lock: u64, kind: Kind) {
    let Some(cpu) = cpu() else { return };
    let mut depth = cpu.depth as usize;
    if depth >= DEPTH {
        // The kernel left out the ends of earlier ones.
        loss::count(Loss::LockWaits);
        depth = 0;
    }
    // SAFETY: the index is below the depth.
    let wait = unsafe { cpu.spins.get_unchecked_mut(depth & (DEPTH - 1)) };
    let now = clock::now();
    store(&mut wait.lock, lock);
    store(&mut wait.since, now);
    store(&mut wait.kind, kind as u8);
    store(&mut cpu.depth, depth as u32 + 1);
}

/// Whoever runs on this CPU has the lock, if that is one that it spun for.
#[inline(always)]
pub fn end<S: Tasks>(program: Ptr, lock: u64) -> bool {
    let Some(cpu) = cpu() else { return false };
    let depth = cpu.depth as usize;
    if depth == 0 {
        return false;
    }
    for at in (0..DEPTH).rev() {
        // SAFETY: the index is below the depth.
        let wait = unsafe { *cpu.spins.get_unchecked(at) };
        if at < depth && wait.lock == lock {
            if at + 1 < depth {
                loss::count(Loss::LockWaits);
            }
            store(&mut cpu.depth, at as u32);
            let now = clock::now();
            count::spinning::<S>(program, cpu, wait.kind, lock, now, now.saturating_sub(wait.since));
            return true;
        }
    }
    false
}
