//! Iterators over all tasks: what they are called with and write, and how long a task has been asleep, which has to be known without
//! an event.

use aya_ebpf::helpers::{bpf_get_current_task, generated::bpf_seq_write};

use crate::{
    fields::{
        CFS_RQ_RQ, RQ_CLOCK, RQ_CLOCK_TASK, TASK_CFS_RQ, TASK_EXEC_START, TASK_LAST_ARRIVAL,
        TASK_PREV_SUM_EXEC, TASK_SUM_EXEC, present,
    },
    side::{Btf, Ptr, Raw, Side},
};

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
    // Before 5.11 the kernel gives no typed pointer.
    // SAFETY: faults read as zero.
    unsafe {
        let current = bpf_get_current_task() as Ptr;
        let queue: Ptr = Raw::read(current, TASK_CFS_RQ.load());
        let rq: Ptr = Raw::read(queue, CFS_RQ_RQ.load());
        Raw::read(rq, RQ_CLOCK.load())
    }
}
