//! Who a task is: its process, name and cgroup behind one number.

use aya_ebpf::{Global, bindings::BPF_NOEXIST, macros::map, maps::HashMap};
use diag_common::{
    loss::Loss,
    runq::{Cpu, who},
    who::Who,
};

use super::{cpu, state::TaskState};
use crate::{
    fields::TASK_CGROUPS,
    loss,
    memory::store,
    side::{Ptr, Side},
    task as tasks,
    who::{self as people, As},
};

/// Not 0 where threads of one name are told apart.
#[unsafe(no_mangle)]
pub static BY_THREAD: Global<u32> = Global::new(0);

/// The number of each identity. The user side removes those that are gone; their numbers are not given out again.
#[map]
static WHO: HashMap<Who, u32> = HashMap::with_max_entries(32768, 0);

/// The address of a task's `css_set`: as long as it is the same, so are its cgroups.
#[inline(always)]
pub fn css<S: Side>(task: Ptr) -> u64 {
    // SAFETY: a load from a task.
    unsafe { S::read(task, TASK_CGROUPS.load()) }
}

/// Brings the identity in a task's state up to date: it may have taken another name, or moved to another cgroup.
#[inline(always)]
pub fn refresh<S: Side>(state: &mut TaskState, task: Ptr) {
    let comm = tasks::comm::<S>(task);
    let css = css::<S>(task);
    if state.who == 0 || state.css != css || state.comm[0] != comm[0] || state.comm[1] != comm[1] {
        store(&mut state.comm[0], comm[0]);
        store(&mut state.comm[1], comm[1]);
        store(&mut state.css, css);
        state.who = number::<S>(task);
    }
}

/// Whether a CPU still runs whom it said.
#[inline(always)]
pub fn is_current<S: Side>(cpu: &Cpu, task: Ptr) -> bool {
    let comm = tasks::comm::<S>(task);
    cpu.task == task as u64 && cpu.css == css::<S>(task) && cpu.comm[0] == comm[0] && cpu.comm[1] == comm[1]
}

/// The number of a task's identity as it is now; [`who::UNKNOWN`] where there is no room for it.
#[inline(never)]
pub fn number<S: Side>(task: Ptr) -> u32 {
    if tasks::pid::<S>(task) == 0 {
        return who::IDLE;
    }
    let whole = if BY_THREAD.load() != 0 { As::Thread } else { As::Process };
    let identity = &people::of::<S>(task, whole);
    // SAFETY: a copy is taken at once.
    if let Some(&number) = unsafe { WHO.get(identity) } {
        return number;
    }
    let here = cpu::number();
    let Some(cpu) = cpu::numbered(here) else { return who::UNKNOWN };
    if cpu.numbered >= u64::from(who::MOST) {
        loss::count(Loss::Identities);
        return who::UNKNOWN;
    }
    cpu.numbered += 1;
    let number = (cpu.numbered as u32) << who::CPU_BITS | here;
    if WHO.insert(identity, number, BPF_NOEXIST as u64).is_ok() {
        return number;
    }
    // Another CPU was faster, or there is no room.
    // SAFETY: as above.
    match unsafe { WHO.get(identity) } {
        Some(&number) => number,
        None => {
            loss::count(Loss::Identities);
            who::UNKNOWN
        }
    }
}
