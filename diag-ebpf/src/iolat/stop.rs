//! Time in which a task was stopped on its way back from an operation: by a signal, the freezer or a tracer. It is in no latency,
//! since the call has returned by then; the operation's group has it apart.

use diag_common::{iolat::GroupKey, loss::Loss};

use super::{
    cells, file, finish,
    state::{TaskState, Tasks},
    syscall::is_compat,
};
use crate::{arch, clock, loss, memory::store, scope, side::Ptr};

/// `task`, which leaves its CPU, is stopped. From which operation it comes, its saved registers tell, if it comes from one. A function
/// of its own, for the stack's sake.
#[inline(never)]
pub fn began<S: Tasks>(task: Ptr) {
    if !scope::contains::<S>(task) || is_compat::<S>(task) {
        return;
    }
    let Some(group) = group::<S>(task) else { return };
    let Some(state) = S::state_or_create(task) else {
        loss::count(Loss::TaskState);
        return;
    };
    store(&mut state.stopped_in, group + 1);
    store(&mut state.stopped, clock::now());
}

#[inline(always)]
fn group<S: Tasks>(task: Ptr) -> Option<u32> {
    let regs = S::registers(task);
    if regs.is_null() {
        return None;
    }
    // SAFETY: loads from the registers.
    let (number, fd) = unsafe { (arch::call_number::<S>(regs), arch::descriptor::<S>(regs)) };
    let op = arch::operation(number as u64)?;
    let file = file::of_descriptor::<S>(task, fd)?;
    finish::known_group(&GroupKey { dev: file.dev, op: op as u32, magic: file.magic })
}

/// The task goes on.
#[inline(always)]
pub fn ended(state: &mut TaskState, now: u64) {
    if state.stopped_in != 0 {
        cells::stopped(state.stopped_in - 1, now.saturating_sub(state.stopped));
        store(&mut state.stopped_in, 0);
    }
}
