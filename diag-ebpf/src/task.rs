//! What a `task_struct` says of its task.

use aya_ebpf::Global;
use diag_common::{cause::Cause, state, who::until_zero};

use crate::{
    fields::{
        ARG_PREV_STATE, CFS_RQ_RQ, CFS_RQ_THROTTLE_COUNT, RQ_IRQ, RQ_STEAL, TASK_CFS_RQ, TASK_CGROUPS,
        TASK_COMM, TASK_CPU, TASK_FLAGS, TASK_FROZEN, TASK_FROZEN_MASK, TASK_MM, TASK_NIVCSW, TASK_NVCSW,
        TASK_ON_CPU, TASK_ON_RQ, TASK_PID, TASK_STATE, present,
    },
    side::{Ptr, Side, argument},
};

/// `PF_FROZEN`, before 6.1; later the flag marks kcompactd (include/linux/sched.h, 5.10 and 6.18).
const PF_FROZEN: u32 = 0x1_0000;
/// `PF_KTHREAD` (include/linux/sched.h, 5.10 to 7.3).
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// What stops a task that sleeps, or goes to sleep, in the state `told`, if it is stopped. In a frozen cgroup (v2) a task sleeps
/// interruptibly (do_freezer_trap, kernel/signal.c, 6.18).
#[inline(always)]
pub fn stopped<S: Side>(task: Ptr, told: u32) -> Option<Cause> {
    if let Some(cause) = state::stopped(told) {
        return Some(cause);
    }
    let frozen = if told & state::INTERRUPTIBLE != 0 {
        flag::<S>(task, &TASK_FROZEN, &TASK_FROZEN_MASK)
    } else {
        // SAFETY: a load from a task.
        let flags: u32 = unsafe { S::read(task, TASK_FLAGS.load()) };
        flags & (PF_FROZEN | PF_KTHREAD) == PF_FROZEN
    };
    frozen.then_some(Cause::StoppedFreezer)
}

/// The thread id of a task; 0 of a CPU's idle task.
#[inline(always)]
pub fn pid<S: Side>(task: Ptr) -> u32 {
    // SAFETY: a load from a task.
    unsafe { S::read(task, TASK_PID.load()) }
}

/// The thread's name, in two halves as they lie in memory.
#[inline(always)]
pub fn comm<S: Side>(task: Ptr) -> [u64; 2] {
    // SAFETY: loads from a task.
    let halves = unsafe { [S::read(task, TASK_COMM.load()), S::read(task, TASK_COMM.load() + 8)] };
    until_zero(halves)
}

/// Whether a task has a CPU, where the kernel says so: also from the wake-up on that keeps it from falling asleep, and
/// until it has quite left (`on_cpu`, kernel/sched/core.c, try_to_wake_up, 6.18).
#[inline(always)]
pub fn on_cpu<S: Side>(task: Ptr) -> bool {
    // An integer or a byte (from 7.2 on), of which the lowest byte says all.
    // SAFETY: a load from a task.
    present(&TASK_ON_CPU) && unsafe { S::read::<u8>(task, TASK_ON_CPU.load()) } != 0
}

/// How often a task has left a CPU.
#[inline(always)]
pub fn switches<S: Side>(task: Ptr) -> u64 {
    // SAFETY: loads from a task.
    let (slept, preempted): (u64, u64) =
        unsafe { (S::read(task, TASK_NVCSW.load()), S::read(task, TASK_NIVCSW.load())) };
    slept + preempted
}

/// What `sched_switch` says of the state in which a task leaves its CPU; 0 where it says nothing of it (before 5.18).
///
/// # Safety
/// `context` is that of a program on `sched_switch`.
#[inline(always)]
pub unsafe fn state_told(context: Ptr) -> u32 {
    match ARG_PREV_STATE.load() {
        // SAFETY: the position is that of the running kernel.
        3 => unsafe { argument::<3>(context) as u32 },
        _ => 0,
    }
}

/// The state in which a task leaves its CPU in `sched_switch`; `argument` is what the tracepoint says of it, where it
/// says anything. It lies about a task that is preempted on its way to sleep.
#[inline(always)]
pub fn state_left<S: Side>(prev: Ptr, argument: u32) -> u32 {
    if present(&ARG_PREV_STATE) {
        return argument;
    }
    // SAFETY: a load from a task, whose state nobody has changed yet.
    unsafe { S::read(prev, TASK_STATE.load()) }
}

/// Whether a task that leaves its CPU in the state `left_as` stays runnable. One that has a signal to handle does not fall asleep:
/// its state, which was read before, is put back (kernel/sched/core.c, try_to_block_task, 6.18).
#[inline(always)]
pub fn stays<S: Side>(prev: Ptr, preempt: bool, left_as: u32) -> bool {
    // SAFETY: a load from a task.
    preempt || left_as == 0 || unsafe { S::read::<u32>(prev, TASK_STATE.load()) } == 0
}

/// Whether a task is on a CPU or waits for one: with any state, as on its way to sleep or just woken.
#[inline(always)]
pub fn awake<S: Side>(task: Ptr) -> bool {
    on_cpu::<S>(task) || queued::<S>(task)
}

/// Whether a task is on a run queue.
#[inline(always)]
pub fn queued<S: Side>(task: Ptr) -> bool {
    // Of `on_rq`, too, the lowest byte says all.
    // SAFETY: a load from a task.
    unsafe { S::read::<u8>(task, TASK_ON_RQ.load()) != 0 }
}

/// The number of the CPU on whose queue a task is, or was last.
#[inline(always)]
pub fn cpu<S: Side>(task: Ptr) -> u32 {
    // SAFETY: a load from a task.
    unsafe { S::read(task, TASK_CPU.load()) }
}

/// The address of a task's `css_set`: as long as it is the same, so are its cgroups.
#[inline(always)]
pub fn css<S: Side>(task: Ptr) -> u64 {
    // SAFETY: a load from a task.
    unsafe { S::read(task, TASK_CGROUPS.load()) }
}

/// A bit of the task, by its byte and mask; not set where this kernel has none.
#[inline(always)]
pub fn flag<S: Side>(task: Ptr, offset: &Global<u32>, mask: &Global<u32>) -> bool {
    if !present(offset) {
        return false;
    }
    // SAFETY: a load from a task.
    unsafe { S::read::<u8>(task, offset.load()) as u32 & mask.load() != 0 }
}

/// Whether a CPU quota holds the task's run queue (`cfs_rq.throttle_count`, kernel/sched/sched.h, 6.12).
#[inline(always)]
pub fn throttled<S: Side>(task: Ptr) -> bool {
    if !present(&CFS_RQ_THROTTLE_COUNT) {
        return false;
    }
    // SAFETY: typed pointers: task, cfs_rq.
    unsafe {
        let queue: Ptr = S::read(task, TASK_CFS_RQ.load());
        !queue.is_null() && S::read::<u32>(queue, CFS_RQ_THROTTLE_COUNT.load()) != 0
    }
}

/// The steal and interrupt clocks of the CPU that `task` is on (`struct rq`, kernel/sched/sched.h, 6.18); 0 where the
/// kernel keeps none.
#[inline(always)]
pub fn clocks<S: Side>(task: Ptr) -> (u64, u64) {
    if !present(&RQ_STEAL) && !present(&RQ_IRQ) {
        return (0, 0);
    }
    // SAFETY: typed pointers: task, cfs_rq, rq.
    unsafe {
        let queue: Ptr = S::read(task, TASK_CFS_RQ.load());
        if queue.is_null() {
            return (0, 0);
        }
        let rq: Ptr = S::read(queue, CFS_RQ_RQ.load());
        if rq.is_null() {
            return (0, 0);
        }
        let steal = if present(&RQ_STEAL) { S::read(rq, RQ_STEAL.load()) } else { 0 };
        let irq = if present(&RQ_IRQ) { S::read(rq, RQ_IRQ.load()) } else { 0 };
        (steal, irq)
    }
}

/// The address of the `struct rq` that `task` is on; 0 where it has none.
#[inline(always)]
pub fn run_queue<S: Side>(task: Ptr) -> u64 {
    // SAFETY: typed pointers: task, cfs_rq.
    unsafe {
        let queue: Ptr = S::read(task, TASK_CFS_RQ.load());
        if queue.is_null() { 0 } else { S::read(queue, CFS_RQ_RQ.load()) }
    }
}

/// Whether `task` writes a journal for others: jbd2, or a btrfs transaction. The xfs log has no thread of its
/// own; stacks tell it.
#[inline(always)]
pub fn writes_journal<S: Side>(task: Ptr) -> bool {
    // SAFETY: loads from a task. A kernel thread has no memory of its own; anybody else may have any name.
    let (name, memory): (u64, u64) =
        unsafe { (S::read(task, TASK_COMM.load()), S::read(task, TASK_MM.load())) };
    if memory != 0 {
        return false;
    }
    const fn is(name: u64, prefix: &[u8]) -> bool {
        let mut wanted = [0u8; 8];
        let mut mask = [0u8; 8];
        let mut i = 0;
        while i < prefix.len() {
            wanted[i] = prefix[i];
            mask[i] = 0xff;
            i += 1;
        }
        name & u64::from_ne_bytes(mask) == u64::from_ne_bytes(wanted)
    }
    is(name, b"jbd2/") || is(name, b"btrfs-tr")
}
