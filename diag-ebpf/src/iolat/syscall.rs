//! Where an operation begins and ends.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use diag_common::{
    iolat::{Op, is_compat_operation},
    loss::Loss,
};

use super::{
    file, finish, slowest,
    state::{TaskState, Tasks},
};
use crate::{
    exclusive,
    fields::{REGS_DI, REGS_ORIG_AX, TASK_TI_FLAGS, TASK_TI_STATUS},
    loss,
    memory::store,
    scope,
    side::{Ptr, argument},
};

const TS_COMPAT: u32 = 2;

/// Flags of `thread_info` that stop a task on its way to user mode: a new schedule, a signal, work to do. Their places
/// changed (arch/x86/include/asm/thread_info.h, 6.17; include/asm-generic/thread_info_tif.h, 6.18), so all bits that
/// any of them ever had; one too many costs nothing but a later count.
const RETURN_WORK: u64 = 0x3f;

/// `sys_enter(struct pt_regs *regs, long id)`
#[inline(always)]
pub fn enter<S: Tasks>(context: Ptr) {
    // SAFETY: the second of two arguments.
    let number = unsafe { argument::<1>(context) };
    if Op::of_syscall(number).is_none() {
        if is_compat_operation(number) && is_compat::<S>(S::current()) && scope::contains::<S>(S::current()) {
            loss::count(Loss::CompatSyscalls);
        }
        return;
    }
    exclusive::run(|| {
        let task = S::current();
        if !scope::contains::<S>(task) || is_compat::<S>(task) {
            return;
        }
        let mut known = S::state(task);
        if let Some(state) = &mut known {
            conclude::<S>(state, task);
        }
        begin::<S>(context, task, known);
    });
}

/// Ends the operation of a task that has gone on since its call returned: it begins another.
#[inline(always)]
pub fn conclude<S: Tasks>(state: &mut TaskState, task: Ptr) {
    if state.active() && state.returning != 0 {
        finish::deferred::<S>(state, task);
    }
}

/// Whether the task is in a 32-bit system call, of which the table has other calls at the same numbers.
#[inline(always)]
fn is_compat<S: Tasks>(task: Ptr) -> bool {
    // SAFETY: a load from the task.
    unsafe { S::read::<u32>(task, TASK_TI_STATUS.load()) & TS_COMPAT != 0 }
}

#[inline(always)]
fn begin<S: Tasks>(context: Ptr, task: Ptr, known: Option<&'static mut TaskState>) {
    // SAFETY: the two arguments, read again: kept across `conclude`, each number would be a state of its own to verify
    // that function in. A load from the registers.
    let (regs, number, fd) = unsafe {
        let regs = argument::<0>(context) as Ptr;
        (regs, argument::<1>(context), S::read::<u32>(regs, REGS_DI.load()))
    };
    let Some(op) = Op::of_syscall(number) else { return };
    let Some(file) = file::of_descriptor::<S>(task, fd) else { return };
    let Some(state) = known.or_else(|| S::state_or_create(task)) else {
        if !file::is_pseudo(file.magic) {
            loss::count(Loss::TaskState);
        }
        return;
    };
    state.start = 0;
    let Some(slot) = finish::slot(state, op, &file) else { return };
    store(&mut state.slot, slot);
    store(&mut state.op, op as u8);
    store(&mut state.number, number);
    store(&mut state.regs, regs as u64);
    store(&mut state.file, file.file);
    store(&mut state.inode, file.inode);
    store(&mut state.sb, file.sb);
    store(&mut state.magic, file.magic);
    store(&mut state.dev, file.dev);
    store(&mut state.touched, 0);
    store(&mut state.stack_waits, 0);
    store(&mut state.longest_ns, 0);
    store(&mut state.longest_stack, 0);
    store(&mut state.contexts, 0);
    store(&mut state.lock, 0);
    store(&mut state.helper, 0);
    store(&mut state.returning, 0);
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    state.begin_running::<S>(task, now);
    state.start = now;
}

/// `sys_exit(struct pt_regs *regs, long ret)`
#[inline(always)]
pub fn exit<S: Tasks>(regs: Ptr, ret: i64) {
    // SAFETY: a load from the task's registers.
    let number: u64 = unsafe { S::read(regs, REGS_ORIG_AX.load()) };
    if Op::of_syscall(number).is_some() {
        exclusive::run(|| end::<S>(regs, ret));
    }
}

#[inline(always)]
fn end<S: Tasks>(regs: Ptr, ret: i64) {
    let task = S::current();
    let Some(state) = S::state(task) else { return };
    if !state.active() || state.helper != 0 || state.returning != 0 {
        return;
    }
    // SAFETY: the helper has no preconditions; a load from the task.
    let (now, flags): (u64, u64) = unsafe { (bpf_ktime_get_ns(), S::read(task, TASK_TI_FLAGS.load())) };
    state.charge_running::<S>(task, now);
    // What stops the task from here on is time that the caller waits: a CPU quota (6.18 and up), memory.high, or
    // another task, which a kernel without preemption lets in only now.
    if flags & RETURN_WORK != 0 {
        (state.offset, state.requested) = slowest::place::<S>(state, regs, ret);
        state.ret = ret;
        state.end = now;
        state.returning = 1;
        return;
    }
    finish::operation::<S>(state, task, Some(regs), ret, now);
    state.start = 0;
}
