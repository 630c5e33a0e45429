//! Operations that have begun and only run so far: kept by CPU, not by task.
//!
//! Most operations never leave their CPU and do nothing but run. For those a look-up of the task's state would be most of
//! the cost, so they have none: it is made when the task is switched out, enters a context, or has something to tell.

use aya_ebpf::{macros::map, maps::PerCpuArray};

use diag_common::loss::Loss;

use super::state::{CachedGroup, TaskState, Tasks, phase};
use crate::{loss, memory::store, side::Ptr};

/// The operation that runs on a CPU, if one does.
#[repr(C)]
pub struct Begun {
    /// Its `task_struct`; 0 for none.
    pub task: u64,
    /// The task that is on the CPU, where its operation goes on after the call has returned (see [`TaskState::returning`]); 0 for none.
    /// Of no other does the state need a look when it begins the next.
    pub returning: u64,
    /// These stand for the fields of the same name in [`TaskState`].
    pub start: u64,
    pub steal: u64,
    pub irq: u64,
    pub file: u64,
    pub inode: u64,
    pub sb: u64,
    pub magic: u64,
    pub regs: u64,
    pub number: u64,
    pub dev: u32,
    pub group: u32,
    pub op: u64,
    /// The last group of this CPU, by operation.
    pub cache: [CachedGroup; 16],
}

#[map]
static BEGUN: PerCpuArray<Begun> = PerCpuArray::with_max_entries(1, 0);

/// This CPU's.
#[inline(always)]
pub fn here() -> Option<&'static mut Begun> {
    // SAFETY: this CPU's element, which nothing that interrupts a program touches.
    unsafe { BEGUN.get_ptr_mut(0)?.as_mut() }
}

/// The state of the current task, made now if its operation only ran so far.
#[inline(always)]
pub fn state_of_current<S: Tasks>(task: Ptr) -> Option<&'static mut TaskState> {
    let begun = here()?;
    if begun.task == task as u64 { into_state::<S>(begun, task) } else { S::state(task) }
}

/// Moves an operation that has begun into its task's state; it is lost where there is no memory for that, and the loss
/// counted.
#[inline(never)]
pub fn into_state<S: Tasks>(begun: &mut Begun, task: Ptr) -> Option<&'static mut TaskState> {
    store(&mut begun.task, 0);
    let Some(state) = S::state_or_create(task) else {
        loss::count(Loss::TaskState);
        return None;
    };
    // Its last operation was to end when the task began this one, or was switched out, and the kernel did not report a switch.
    if state.start != 0 {
        loss::count(Loss::MissedRuns);
    }
    store(&mut state.start, begun.start);
    store(&mut state.mark, begun.start);
    store(&mut state.steal, begun.steal);
    store(&mut state.irq, begun.irq);
    store(&mut state.file, begun.file);
    store(&mut state.inode, begun.inode);
    store(&mut state.sb, begun.sb);
    store(&mut state.magic, begun.magic);
    store(&mut state.regs, begun.regs);
    store(&mut state.number, begun.number);
    store(&mut state.dev, begun.dev);
    store(&mut state.group, begun.group);
    store(&mut state.op, begun.op as u8);
    store(&mut state.touched, 0);
    store(&mut state.stack_waits, 0);
    store(&mut state.longest_ns, 0);
    store(&mut state.longest_stack, 0);
    store(&mut state.unexplained, 0);
    store(&mut state.contexts, 0);
    store(&mut state.lock, 0);
    store(&mut state.helper, 0);
    store(&mut state.returning, 0);
    store(&mut state.phase, phase::RUNNING);
    Some(state)
}
