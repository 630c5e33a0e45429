//! Telling of one task.

use aya_ebpf::{
    Global,
    helpers::{
        bpf_get_current_task,
        generated::{bpf_get_task_stack, bpf_seq_write},
    },
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use diag_common::{
    hung::{AWAKE, BLOCKED, FROZEN, IN_TARGET, IOWAIT, MAX_WANTED, Sleeper, VFORKED},
    stack::{STACK_FRAMES, Stack},
};

use super::lock;
use crate::{
    fields::{
        CFS_RQ_RQ, RQ_CLOCK, RQ_CLOCK_TASK, TASK_CFS_RQ, TASK_EXEC_START, TASK_EXIT_STATE, TASK_FLAGS,
        TASK_FROZEN, TASK_FROZEN_MASK, TASK_IN_IOWAIT, TASK_IN_IOWAIT_MASK, TASK_LAST_ARRIVAL, TASK_LEADER,
        TASK_ON_RQ, TASK_PID, TASK_PREV_SUM_EXEC, TASK_REAL_PARENT, TASK_START, TASK_STATE, TASK_SUM_EXEC,
        TASK_TGID, TASK_VFORK_DONE, present,
    },
    memory::store,
    scope,
    side::{Btf, Ptr, Raw, Side},
    task as tasks,
};

/// What makes an uninterruptible sleep no alarm: `TASK_NOLOAD`, with which it is `TASK_IDLE`, and `TASK_FROZEN` from 6.1 on
/// (include/linux/sched.h, 6.18).
const NO_ALARM: u32 = 0x400 | 0x8000;
/// `PF_FROZEN`, before 6.1 (include/linux/sched.h, 5.10).
const PF_FROZEN: u32 = 0x1_0000;
/// `TASK_INTERRUPTIBLE`, in which a task of a frozen cgroup (v2) is held (do_freezer_trap, kernel/signal.c, 6.18); a parent in
/// vfork has the same bit set, and is not frozen.
const INTERRUPTIBLE: u32 = 0x1;

/// From which age on a sleep's stack is worth its time, ns.
#[unsafe(no_mangle)]
pub static STUCK_NS: Global<u64> = Global::new(0);

/// Tasks that the user side asks for, whatever they do.
#[map]
static WANTED: HashMap<u32, u8> = HashMap::with_max_entries(MAX_WANTED, 0);

#[map]
static SLEEPER: PerCpuArray<Sleeper> = PerCpuArray::with_max_entries(1, 0);

/// `struct bpf_iter__task` and `struct bpf_iter_meta` (kernel/bpf/task_iter.c, include/linux/bpf.h, 6.18), which are part
/// of what programs may rely on.
const CONTEXT_META: u32 = 0;
const CONTEXT_TASK: u32 = 8;
const META_SEQ: u32 = 0;

/// The task that `iter/task` is called with; at last it is called with none.
#[inline(always)]
pub fn task_of(context: Ptr) -> Option<Ptr> {
    // SAFETY: the context has two pointers.
    let task: Ptr = unsafe { Btf::read(context, CONTEXT_TASK) };
    (!task.is_null()).then_some(task)
}

/// Writes a value for the one who reads the iterator.
#[inline(always)]
pub fn write(context: Ptr, value: Ptr, bytes: u32) {
    // SAFETY: typed pointers: the context's meta, its seq_file. The value has the size that is given.
    unsafe {
        let meta: Ptr = Btf::read(context, CONTEXT_META);
        let seq: Ptr = Btf::read(meta, META_SEQ);
        bpf_seq_write(seq as *mut _, value as *mut _, bytes);
    }
}

/// `iter/task`: is called with each task.
#[inline(always)]
pub fn tell(context: Ptr) {
    let Some(task) = task_of(context) else { return };
    // SAFETY: loads from a task.
    let (pid, state, flags, vfork): (u32, u32, u32, u64) = unsafe {
        (
            Btf::read(task, TASK_PID.load()),
            Btf::read(task, TASK_STATE.load()),
            Btf::read(task, TASK_FLAGS.load()),
            Btf::read(task, TASK_VFORK_DONE.load()),
        )
    };
    let blocked = state & tasks::UNINTERRUPTIBLE != 0 && state & NO_ALARM == 0 && flags & PF_FROZEN == 0;
    if !blocked && vfork == 0 && WANTED.get_ptr(pid).is_none() {
        return;
    }
    let Some(slot) = SLEEPER.get_ptr_mut(0) else { return };
    // SAFETY: the buffer is this CPU's, and only this program's.
    let sleeper = unsafe { &mut *slot };
    let held = state & INTERRUPTIBLE != 0 && tasks::flag::<Btf>(task, &TASK_FROZEN, &TASK_FROZEN_MASK);
    let told = (if blocked { BLOCKED } else { 0 })
        | (if vfork != 0 { VFORKED } else { 0 })
        | (if held || flags & PF_FROZEN != 0 { FROZEN } else { 0 });
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
    write(context, slot.cast(), size_of::<Sleeper>() as u32);
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
    store(&mut sleeper.asleep_ns, asleep(task));
    let mut flags = sleeper.flags;
    if awake(task) {
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

/// Whether `task` is on a CPU or waits for one: with any state, as on its way to sleep or just woken.
#[inline(always)]
fn awake(task: Ptr) -> bool {
    // Of `on_rq`, too, the lowest byte says all.
    // SAFETY: a load from a task.
    tasks::on_cpu::<Btf>(task) || unsafe { Btf::read::<u8>(task, TASK_ON_RQ.load()) } != 0
}

/// How long `task` has been asleep, ns, if it is.
///
/// The scheduler knows when a task last came to a CPU (`sched_info.last_arrival`) and for how long it then ran
/// (`sum_exec_runtime` against `prev_sum_exec_runtime`, which is set when a task of the fair class is picked). What the
/// task last ran up to (`exec_start`) is the later bound, for the other classes as well; it is on a clock that leaves out
/// interrupts and steal, and lags by as much as that CPU has had of them (kernel/sched/{core,fair,stats.h}, 6.18). It is zero in a
/// task that is being woken on another CPU, before its `on_rq` is set (`migrate_task_rq_fair` up to 6.2, `enqueue_entity` since).
#[inline(always)]
pub fn asleep(task: Ptr) -> u64 {
    // SAFETY: typed pointers: task, cfs_rq, rq.
    let (last_ran, lag, ran): (u64, u64, u64) = unsafe {
        let (sum, before): (u64, u64) =
            (Btf::read(task, TASK_SUM_EXEC.load()), Btf::read(task, TASK_PREV_SUM_EXEC.load()));
        let queue: Ptr = Btf::read(task, TASK_CFS_RQ.load());
        if queue.is_null() {
            return 0;
        }
        let rq: Ptr = Btf::read(queue, CFS_RQ_RQ.load());
        if rq.is_null() {
            return 0;
        }
        let (clock, task_clock): (u64, u64) =
            (Btf::read(rq, RQ_CLOCK.load()), Btf::read(rq, RQ_CLOCK_TASK.load()));
        (Btf::read(task, TASK_EXEC_START.load()), clock.wrapping_sub(task_clock), sum.wrapping_sub(before))
    };
    let mut since = if last_ran == 0 { u64::MAX } else { last_ran.wrapping_add(lag) };
    if present(&TASK_LAST_ARRIVAL) {
        // SAFETY: a load from a task.
        let arrived: u64 = unsafe { Btf::read(task, TASK_LAST_ARRIVAL.load()) };
        let left = arrived.wrapping_add(ran);
        if left >= arrived && left < since {
            since = left;
        }
    }
    now().saturating_sub(since)
}

/// Now, by the clock that the scheduler notes times in: that of the run queue that this CPU's task is on, which was
/// brought up to date when the user side was switched in to run the iterator.
#[inline(always)]
fn now() -> u64 {
    // Before 5.11 there is no typed pointer to be had.
    // SAFETY: faults read as zero.
    unsafe {
        let current = bpf_get_current_task() as Ptr;
        let queue: Ptr = Raw::read(current, TASK_CFS_RQ.load());
        let rq: Ptr = Raw::read(queue, CFS_RQ_RQ.load());
        Raw::read(rq, RQ_CLOCK.load())
    }
}
