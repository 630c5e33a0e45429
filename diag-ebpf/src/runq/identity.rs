//! Who a task is: its process, name and cgroup behind one number.

use aya_ebpf::Global;
use diag_common::runq::{Cpu, who};

use super::state::TaskState;
use crate::{
    memory::store,
    side::{Ptr, Side},
    task as tasks,
    who::{self as people, As},
};

/// Not 0 where threads of one name are told apart.
#[unsafe(no_mangle)]
pub static BY_THREAD: Global<u32> = Global::new(0);

/// Brings the identity in a task's state up to date: it may have taken another name, or moved to another cgroup; and a number
/// has to be looked up in each epoch.
#[inline(always)]
pub fn refresh<S: Side>(state: &mut TaskState, task: Ptr, epoch: u32) {
    let comm = tasks::comm::<S>(task);
    let css = tasks::css::<S>(task);
    let is_same = state.css == css && state.comm[0] == comm[0] && state.comm[1] == comm[1];
    if state.who == 0 || state.epoch != u64::from(epoch) || !is_same {
        store(&mut state.comm[0], comm[0]);
        store(&mut state.comm[1], comm[1]);
        store(&mut state.css, css);
        store(&mut state.epoch, u64::from(epoch));
        state.who = number::<S>(task);
    }
}

/// The number of a task that waits, and so has the name and the cgroup that it had.
#[inline(always)]
pub fn of_waiter<S: Side>(state: &mut TaskState, task: Ptr, epoch: u32) -> u32 {
    if state.who == who::NONE || state.epoch != u64::from(epoch) {
        store(&mut state.epoch, u64::from(epoch));
        state.who = number::<S>(task);
    }
    state.who
}

/// Whether a CPU still runs whom it said.
#[inline(always)]
pub fn is_current<S: Side>(cpu: &Cpu, task: Ptr) -> bool {
    let comm = tasks::comm::<S>(task);
    cpu.task == task as u64
        && cpu.css == tasks::css::<S>(task)
        && cpu.comm[0] == comm[0]
        && cpu.comm[1] == comm[1]
}

/// The number of a task's identity as it is now; [`who::UNKNOWN`] where there is no room for it.
#[inline(never)]
pub fn number<S: Side>(task: Ptr) -> u32 {
    if tasks::pid::<S>(task) == 0 {
        return who::IDLE;
    }
    let whole = if BY_THREAD.load() != 0 { As::Thread } else { As::Process };
    match people::number_once(&people::of::<S>(task, whole)) {
        0 => who::UNKNOWN,
        number => number,
    }
}
