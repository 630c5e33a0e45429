//! What is known of threads without an event: those that are there when a session begins, and waits that go on.

use aya_ebpf::helpers::generated::bpf_get_task_stack;
use diag_common::{
    delays::{Wait, phase, what},
    stack::{STACK_FRAMES, Stack},
    state::{DEAD, INTERRUPTIBLE},
};

use super::{
    cells, group, longest,
    pieces::{RUNNABLE, Tasks, claim, on_cpu},
    sleep,
};
use crate::{
    clock,
    fields::{TASK_EXIT_STATE, TASK_STATE},
    iterator,
    memory::store,
    side::{Btf, Ptr, Side},
    task as tasks,
};

/// A wait that goes on is told of from this length on, ns.
const OPEN_NS: u64 = 10_000_000;

/// `iter/task`: counts a thread from now on that is there already.
#[inline(always)]
pub fn begin<S: Tasks>(context: Ptr) {
    let Some(task) = iterator::task_of(context) else { return };
    if S::state(task).is_some() {
        return;
    }
    // SAFETY: loads from a task.
    let (state, exited): (u32, u32) =
        unsafe { (Btf::read(task, TASK_STATE.load()), Btf::read(task, TASK_EXIT_STATE.load())) };
    if exited != 0 || state & DEAD != 0 {
        return;
    }
    let Some(thread) = claim::<S>(task) else { return };
    let Some(mut counter) = cells::shared() else { return };
    let now = clock::now();
    group::begin::<S>(&mut counter, thread, task, now, group::IN_TASK);
    thread.began = now;
    if tasks::on_cpu::<Btf>(task) {
        let what = on_cpu(thread);
        cells::enter(&mut counter, thread, what, now);
        store(&mut thread.phase, phase::ON_CPU);
    } else if tasks::queued::<Btf>(task) {
        cells::enter(&mut counter, thread, RUNNABLE, now);
        store(&mut thread.phase, phase::RUNNABLE);
    } else {
        let what = sleep::begins::<S>(thread, task, state);
        thread.interruptible = state & INTERRUPTIBLE;
        thread.began = now - iterator::asleep(task).min(now);
        cells::enter(&mut counter, thread, what, now);
        store(&mut thread.phase, phase::ASLEEP);
    }
}

/// `iter/task`: tells of a wait that goes on.
#[inline(always)]
pub fn open<S: Tasks>(context: Ptr) {
    let Some(task) = iterator::task_of(context) else { return };
    let Some(thread) = S::state(task) else { return };
    let state = what::state(thread.what);
    let waits = thread.phase == phase::ASLEEP || thread.phase == phase::RUNNABLE;
    let ns = clock::now().saturating_sub(thread.began);
    if !waits || ns < OPEN_NS || state < what::UNEXPLAINED && !longest::is_lost(thread.what) {
        return;
    }
    let Some(wait) = longest::room() else { return };
    longest::describe::<S>(wait, thread, task, ns);
    store(&mut wait.phase, thread.phase);
    store(&mut wait.stack, 0);
    for frame in 0..STACK_FRAMES {
        store(&mut wait.frames[frame], 0);
    }
    if thread.phase == phase::ASLEEP {
        let frames: *mut Stack = &raw mut wait.frames;
        // SAFETY: the verifier knows the task; the buffer has the size that is given.
        unsafe { bpf_get_task_stack(task as *mut _, frames.cast(), (8 * STACK_FRAMES) as u32, 0) };
    }
    iterator::write(context, core::ptr::from_ref(wait).cast(), size_of::<Wait>() as u32);
}
