//! Where an operation begins and ends.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use diag_common::iolat::{Loss, Op};

use super::{file, finish, state::Tasks};
use crate::{
    fields::{REGS_DI, REGS_ORIG_AX, TASK_TI_STATUS},
    loss,
    memory::store,
    scope,
    side::Ptr,
};

const TS_COMPAT: u32 = 2;

/// `sys_enter(struct pt_regs *regs, long id)`
#[inline(always)]
pub fn enter<S: Tasks>(regs: Ptr, number: u64) {
    let Some(op) = Op::of_syscall(number) else { return };
    let task = S::current();
    if !scope::contains::<S>(task) {
        return;
    }
    // SAFETY: loads from the task and its registers.
    let (status, fd): (u32, u32) =
        unsafe { (S::read(task, TASK_TI_STATUS.load()), S::read(regs, REGS_DI.load())) };
    // The 32-bit table has other calls at these numbers.
    if status & TS_COMPAT != 0 {
        loss::count(Loss::CompatSyscalls);
        return;
    }
    let Some(file) = file::of_descriptor::<S>(task, fd) else { return };
    let Some(state) = S::state_or_create(task) else {
        if !file::is_pseudo(file.magic) {
            loss::count(Loss::TaskState);
        }
        return;
    };
    state.start = 0;
    let Some(slot) = finish::slot(state, op, &file) else { return };
    state.slot = slot;
    state.op = op as u8;
    state.file = file.file;
    state.inode = file.inode;
    state.sb = file.sb;
    state.magic = file.magic;
    state.dev = file.dev;
    store(&mut state.touched, 0);
    store(&mut state.stack_waits, 0);
    store(&mut state.longest_ns, 0);
    store(&mut state.longest_stack, 0);
    store(&mut state.contexts, 0);
    store(&mut state.lock, 0);
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
    if Op::of_syscall(number).is_none() {
        return;
    }
    let task = S::current();
    let Some(state) = S::state(task) else { return };
    if !state.active() || state.helper != 0 {
        return;
    }
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    finish::operation::<S>(state, task, regs, ret, now);
    state.start = 0;
}
