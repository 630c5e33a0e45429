//! Telling of one task.

use aya_ebpf::{
    Global,
    helpers::generated::bpf_get_task_stack,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use diag_common::{
    cause::Cause,
    hung::{AWAKE, BLOCKED, FROZEN, IN_TARGET, IOWAIT, MAX_WANTED, Sleeper, VFORKED},
    stack::{STACK_FRAMES, Stack},
    state::{NOLOAD, UNINTERRUPTIBLE},
};

use super::lock;
use crate::{
    fields::{
        TASK_EXIT_STATE, TASK_IN_IOWAIT, TASK_IN_IOWAIT_MASK, TASK_LEADER, TASK_PID, TASK_REAL_PARENT,
        TASK_START, TASK_STATE, TASK_TGID, TASK_VFORK_DONE, present,
    },
    iterator,
    memory::store,
    scope,
    side::{Btf, Ptr, Side},
    task as tasks,
};

/// From which age on a sleep's stack is worth its time, ns.
#[unsafe(no_mangle)]
pub static STUCK_NS: Global<u64> = Global::new(0);

/// Tasks that the user side asks for, whatever they do.
#[map]
static WANTED: HashMap<u32, u8> = HashMap::with_max_entries(MAX_WANTED, 0);

#[map]
static SLEEPER: PerCpuArray<Sleeper> = PerCpuArray::with_max_entries(1, 0);

/// `iter/task`: is called with each task.
#[inline(always)]
pub fn tell(context: Ptr) {
    let Some(task) = iterator::task_of(context) else { return };
    // SAFETY: loads from a task.
    let (pid, state, vfork): (u32, u32, u64) = unsafe {
        (
            Btf::read(task, TASK_PID.load()),
            Btf::read(task, TASK_STATE.load()),
            Btf::read(task, TASK_VFORK_DONE.load()),
        )
    };
    let frozen = matches!(tasks::stopped::<Btf>(task, state), Some(Cause::StoppedFreezer));
    let blocked = state & UNINTERRUPTIBLE != 0 && state & NOLOAD == 0 && !frozen;
    if !blocked && vfork == 0 && WANTED.get_ptr(pid).is_none() {
        return;
    }
    let Some(slot) = SLEEPER.get_ptr_mut(0) else { return };
    // SAFETY: the buffer is this CPU's, and only this program's.
    let sleeper = unsafe { &mut *slot };
    let told = (if blocked { BLOCKED } else { 0 })
        | (if vfork != 0 { VFORKED } else { 0 })
        | (if frozen { FROZEN } else { 0 });
    store(&mut sleeper.pid, pid);
    store(&mut sleeper.state, state);
    store(&mut sleeper.flags, told);
    describe(task, sleeper);
    if sleeper.lock != 0 {
        lock::note_owner(sleeper);
    }
    if sleeper.flags & BLOCKED == 0 || sleeper.asleep_ns >= STUCK_NS.load() {
        let stack: *mut Stack = &raw mut sleeper.stack;
        // SAFETY: the verifier knows the task; the buffer has the size that is given.
        unsafe { bpf_get_task_stack(task as *mut _, stack.cast(), (8 * STACK_FRAMES) as u32, 0) };
    }
    iterator::write(context, slot.cast(), size_of::<Sleeper>() as u32);
}

#[inline(always)]
fn describe(task: Ptr, sleeper: &mut Sleeper) {
    for frame in 0..STACK_FRAMES {
        store(&mut sleeper.stack[frame], 0);
    }
    store(&mut sleeper.owner, 0);
    store(&mut sleeper.owner_pid, 0);
    store(&mut sleeper.lock, 0);
    store(&mut sleeper.lock_kind, 0);
    store(&mut sleeper.task, task as u64);
    // SAFETY: loads from a task, and from its parent.
    unsafe {
        store(&mut sleeper.tgid, Btf::read(task, TASK_TGID.load()));
        store(&mut sleeper.exit_state, Btf::read(task, TASK_EXIT_STATE.load()));
        store(&mut sleeper.switches, tasks::switches::<Btf>(task));
        let parent: Ptr = Btf::read(task, TASK_REAL_PARENT.load());
        store(&mut sleeper.parent, if parent.is_null() { 0 } else { Btf::read(parent, TASK_PID.load()) });
        store(
            &mut sleeper.start_ns,
            if present(&TASK_START) { Btf::read(task, TASK_START.load()) } else { 0 },
        );
        let leader: Ptr = Btf::read(task, TASK_LEADER.load());
        note_comm(task, &raw mut sleeper.comm);
        note_comm(leader, &raw mut sleeper.process_comm);
    }
    store(&mut sleeper.cgroup, scope::cgroup_id::<Btf>(task));
    store(&mut sleeper.asleep_ns, iterator::asleep(task));
    let mut flags = sleeper.flags;
    if tasks::awake::<Btf>(task) {
        flags |= AWAKE;
    }
    if scope::contains::<Btf>(task) {
        flags |= IN_TARGET;
    }
    if tasks::flag::<Btf>(task, &TASK_IN_IOWAIT, &TASK_IN_IOWAIT_MASK) {
        flags |= IOWAIT;
    }
    store(&mut sleeper.flags, flags);
    lock::note(task, sleeper);
}

/// # Safety
/// `task` is a typed pointer to a task.
#[inline(always)]
unsafe fn note_comm(task: Ptr, comm: *mut [u8; 16]) {
    // SAFETY: two halves are as many bytes.
    unsafe {
        let [low, high] = tasks::comm::<Btf>(task);
        comm.cast::<u64>().write_volatile(low);
        comm.cast::<u64>().add(1).write_volatile(high);
    }
}
