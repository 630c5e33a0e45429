//! A wait that has ended, in all the cells that it belongs to.

use aya_ebpf::Global;
use diag_common::{
    hist,
    lock::{CellKey, Cpu, Family, Spin, Wait, class},
};

use super::{cells, state::Tasks};
use crate::{
    epoch,
    fields::{FILES_LOCK, RQ_LOCK, SIGHAND_LOCK, TASK_FILES, TASK_SIGHAND},
    memory::store,
    side::{Ptr, Side},
    stack, task as tasks,
    who::{self, As},
};

/// Whether every spinning wait gets its stack (`--spin`).
#[unsafe(no_mangle)]
pub static SPIN_STACKS: Global<u32> = Global::new(0);

/// A wait at least this long gets its stack: that costs a tenth of it at most.
const LONG_WAIT_NS: u64 = 20_000;
/// How often a CPU takes a stack of shorter ones.
const SHORT_WAIT_PERIOD_NS: u64 = 200_000;
/// How often a CPU takes one of a spinning wait. It is taken with the lock held, and delays everybody else.
const SPIN_PERIOD_NS: u64 = 10_000_000;

/// The lane of [`who::number`] in which waits end.
const LANE: u32 = 1;

/// Counts a wait for a sleeping lock.
#[inline(always)]
pub fn sleeping<S: Tasks>(program: Ptr, task: Ptr, wait: &Wait, now: u64) {
    let Some(epoch) = epoch::number() else { return };
    let Some(cpu) = super::state::cpu() else { return };
    let ns = now.saturating_sub(wait.since);
    let mut key = CellKey {
        lock: wait.lock,
        item: hist::bucket(ns),
        kind: wait.kind,
        family: Family::Wait as u8,
        extra: wait.class,
        parity: (epoch & 1) as u8,
    };
    cells::add(&key, ns, 0, epoch);
    if ns >= LONG_WAIT_NS || now >= cpu.caller_stack_at {
        store(&mut cpu.caller_stack_at, now + SHORT_WAIT_PERIOD_NS);
        caller::<S>(program, task, &mut key, ns, epoch);
    }
    waiter::<S>(task, &mut key, ns, epoch);
    key.family = Family::Owner as u8;
    let [a, b, c] = &wait.held;
    let most = a.ns.max(b.ns).max(c.ns);
    let mut counted = false;
    for held in [a, b, c] {
        if held.doing != 0 {
            key.item = held.owner;
            key.extra = held.doing;
            let has_most = !counted && held.ns == most;
            counted |= has_most;
            cells::add_part(&key, held.ns, held.stack, has_most, epoch);
        }
    }
}

/// Counts a wait for a spinning lock.
#[inline(always)]
pub fn spinning<S: Tasks>(program: Ptr, task: Ptr, cpu: &mut Cpu, wait: &Spin, now: u64) {
    let Some(epoch) = epoch::number() else { return };
    let ns = now.saturating_sub(wait.since);
    let mut key = CellKey {
        lock: wait.lock,
        item: hist::bucket(ns),
        kind: wait.kind as u8,
        family: Family::Wait as u8,
        extra: class_of::<S>(cpu, task, wait.lock),
        parity: (epoch & 1) as u8,
    };
    cells::add(&key, ns, 0, epoch);
    if SPIN_STACKS.load() != 0 || now >= cpu.spin_stack_at {
        store(&mut cpu.spin_stack_at, now + SPIN_PERIOD_NS);
        caller::<S>(program, task, &mut key, ns, epoch);
    }
    waiter::<S>(task, &mut key, ns, epoch);
}

#[inline(always)]
fn caller<S: Side>(program: Ptr, task: Ptr, key: &mut CellKey, ns: u64, epoch: u32) {
    // SAFETY: the current task, and the program's own context.
    let stack = unsafe { stack::take::<S>(program, task) };
    if stack != 0 {
        key.family = Family::Caller as u8;
        key.item = stack;
        key.extra = 0;
        cells::add(key, ns, 0, epoch);
    }
}

#[inline(always)]
fn waiter<S: Side>(task: Ptr, key: &mut CellKey, ns: u64, epoch: u32) {
    key.family = Family::Waiter as u8;
    key.item = who::number(&who::of::<S>(task, As::Process), LANE);
    key.extra = 0;
    if key.item != 0 {
        cells::add(key, ns, 0, epoch);
    }
}

/// What the address of a spinning lock says of it.
#[inline(always)]
fn class_of<S: Side>(cpu: &mut Cpu, task: Ptr, lock: u64) -> u8 {
    // SAFETY: loads from a task.
    let (signals, files): (u64, u64) =
        unsafe { (S::read(task, TASK_SIGHAND.load()), S::read(task, TASK_FILES.load())) };
    let queue = tasks::run_queue::<S>(task);
    if queue != 0 {
        store(&mut cpu.rq, queue);
        if lock - RQ_LOCK.load() as u64 == queue {
            return class::RQ_LOCK;
        }
    }
    if signals != 0 && lock - SIGHAND_LOCK.load() as u64 == signals {
        class::SIGLOCK
    } else if files != 0 && lock - FILES_LOCK.load() as u64 == files {
        class::FILE_LOCK
    } else {
        class::NONE
    }
}
