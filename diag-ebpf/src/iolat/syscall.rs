//! Where an operation begins and ends.

use diag_common::loss::Loss;

use super::{
    begun::{self, Begun},
    file, finish, sched, slowest,
    state::{LONG_RUN_NS, TICK_NS, Tasks, phase},
};
use crate::{
    arch::{self, RESCHEDULE, RESUME},
    clock,
    fields::{TASK_OVER_HIGH, TASK_THROTTLE_DISK, TASK_TI_FLAGS, TASK_WORKS, present},
    loss,
    memory::store,
    scope,
    side::{Ptr, Raw, argument},
    task::clocks,
};

/// `sys_enter(struct pt_regs *regs, long id)`
#[inline(always)]
pub fn enter<S: Tasks>(context: Ptr) {
    // SAFETY: the second of two arguments.
    let number = unsafe { argument::<1>(context) };
    if arch::operation(number).is_none() {
        if arch::is_compat_operation(number)
            && is_compat::<S>(S::current())
            && scope::contains::<S>(S::current())
        {
            loss::count(Loss::CompatSyscalls);
        }
        return;
    }
    let task = S::current();
    if !scope::contains::<S>(task) || is_compat::<S>(task) {
        return;
    }
    let Some(begun) = begun::here() else { return };
    if begun.returning == task as u64 {
        store(&mut begun.returning, 0);
        conclude::<S>(task);
    }
    begin::<S>(context, task, begun);
}

/// Ends the operation of a task that has gone on since its call returned: it begins another.
#[inline(always)]
fn conclude<S: Tasks>(task: Ptr) {
    if let Some(state) = S::state(task)
        && state.active()
        && state.returning != 0
    {
        if state.phase != phase::RUNNING {
            sched::switched_in_unseen::<S>(state, task, clock::now());
        }
        finish::deferred::<S>(state, task);
    }
}

/// Whether the task is in a 32-bit system call.
#[inline(always)]
pub fn is_compat<S: Tasks>(task: Ptr) -> bool {
    // SAFETY: a load from the task.
    unsafe { arch::is_compat::<S>(task) }
}

#[inline(always)]
fn begin<S: Tasks>(context: Ptr, task: Ptr, begun: &mut Begun) {
    // The operation that ran here was switched out, and the kernel did not tell: its beginning is lost with this.
    if begun.task != 0 && begun.task != task as u64 {
        loss::count(Loss::MissedRuns);
    }
    begun.task = 0;
    // SAFETY: the two arguments, read again: kept across `conclude`, each number would be a state of its own to verify
    // that function in. A load from the registers.
    let (regs, number, fd) = unsafe {
        let regs = argument::<0>(context) as Ptr;
        (regs, argument::<1>(context), arch::descriptor::<S>(regs))
    };
    let Some(op) = arch::operation(number) else { return };
    let Some(file) = file::of_descriptor::<S>(task, fd) else { return };
    let Some(group) = finish::group(&mut begun.cache, op, &file) else { return };
    store(&mut begun.group, group);
    store(&mut begun.op, op as u64);
    store(&mut begun.number, number);
    store(&mut begun.regs, regs as u64);
    store(&mut begun.file, file.file);
    store(&mut begun.inode, file.inode);
    store(&mut begun.sb, file.sb);
    store(&mut begun.magic, file.magic);
    store(&mut begun.dev, file.dev);
    let (steal, irq) = clocks::<S>(task);
    store(&mut begun.steal, steal);
    store(&mut begun.irq, irq);
    store(&mut begun.start, clock::now());
    store(&mut begun.task, task as u64);
}

/// `sys_exit(struct pt_regs *regs, long ret)`
#[inline(always)]
pub fn exit<S: Tasks>(regs: Ptr, ret: i64) {
    // SAFETY: a load from the task's registers.
    let number = unsafe { arch::call_number::<S>(regs) };
    if arch::operation(number as u64).is_some() {
        end::<S>(regs, ret);
    }
}

#[inline(always)]
fn end<S: Tasks>(regs: Ptr, ret: i64) {
    let task = S::current();
    let Some(begun) = begun::here() else { return };
    let held = is_held_up::<S>(task);
    let (now, state) = if begun.task == task as u64 {
        let now = clock::now();
        if !held && undisturbed::<S>(begun, task, now) && finish::quick(begun, ret, now) {
            begun.task = 0;
            return;
        }
        (now, begun::into_state::<S>(begun, task))
    } else {
        let state = S::state(task);
        if state.is_none() {
            return;
        }
        (clock::now(), state)
    };
    let Some(state) = state else { return };
    if !state.active() || state.helper != 0 || state.returning != 0 {
        return;
    }
    if state.phase == phase::RUNNING {
        state.charge_running::<S>(task, now);
    } else {
        // It came back by a switch that was not told: seen on a vendor's 6.18, once in hundreds under load.
        sched::switched_in_unseen::<S>(state, task, now);
    }
    // What holds the task up from here on is time that the caller waits.
    if held {
        slowest::locate::<S>(state, regs, ret);
        state.ret = ret;
        state.end = now;
        state.returning = 1;
        store(&mut begun.returning, task as u64);
        return;
    }
    finish::operation::<S>(state, task, regs, ret, now);
    state.start = 0;
}

/// Whether `task` will be held up on its way to user mode: by another task, which a kernel without preemption lets in only now, by a CPU
/// quota (a task work from 6.18 on), `memory.high`, or a disk's `io.latency` or `io.cost`. Signals are none of this.
///
/// `TIF_NOTIFY_RESUME` alone says nothing: after each switch it is set for each thread that has registered rseq, which glibc does for
/// all (include/linux/rseq.h, 6.18).
#[inline(always)]
fn is_held_up<S: Tasks>(task: Ptr) -> bool {
    // SAFETY: loads from the task.
    unsafe {
        let flags: u64 = S::read(task, TASK_TI_FLAGS.load());
        flags & RESCHEDULE != 0
            || flags & RESUME != 0
                && (S::read::<u64>(task, TASK_WORKS.load()) != 0
                    || present(&TASK_OVER_HIGH) && S::read::<u32>(task, TASK_OVER_HIGH.load()) != 0
                    || present(&TASK_THROTTLE_DISK) && S::read::<u64>(task, TASK_THROTTLE_DISK.load()) != 0)
    }
}

/// What a call returns that a fatal signal interrupts (`-EINTR`, include/uapi/asm-generic/errno-base.h).
const INTERRUPTED: i64 = -4;

/// `sched_process_exit`, in the task that exits: an operation from which it never comes back ends here. A fatal signal is
/// delivered on the way back to user mode, after `sys_exit` (kernel/entry/common.c, 6.18).
#[inline(always)]
pub fn exited<S: Tasks>() {
    let task = S::current();
    let Some(state) = begun::state_of_current::<S>(task) else { return };
    if !state.active() || state.helper != 0 {
        return;
    }
    if state.returning == 0 {
        let now = clock::now();
        state.charge_running::<S>(task, now);
        slowest::locate::<Raw>(state, state.regs as Ptr, INTERRUPTED);
        state.ret = INTERRUPTED;
        state.end = now;
    }
    finish::deferred::<S>(state, task);
}

/// Whether an operation that only ran was neither interrupted nor robbed of its CPU, as far as that is looked at.
#[inline(always)]
fn undisturbed<S: Tasks>(begun: &Begun, task: Ptr, now: u64) -> bool {
    if now.saturating_sub(begun.start) < LONG_RUN_NS {
        return true;
    }
    let (steal, irq) = clocks::<S>(task);
    steal <= begun.steal && (irq <= begun.irq || now.saturating_sub(begun.start) < u64::from(TICK_NS.load()))
}
