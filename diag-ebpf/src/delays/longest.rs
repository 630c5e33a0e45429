//! The longest waits, one by one, behind a threshold that rises.

use core::{mem::offset_of, ptr};

use aya_ebpf::{
    helpers::generated::bpf_ringbuf_output,
    macros::map,
    maps::{Array, PerCpuArray, RingBuf},
};
use diag_common::{
    cause::{Cause, Class},
    delays::{LONG_NS, Thread, Wait, what},
    hist,
    loss::Loss,
    threshold::Threshold,
};

use super::pieces::Tasks;
use crate::{
    epoch,
    fields::{TASK_LEADER, TASK_START, TASK_TGID, present},
    iolat::slowest,
    loss,
    memory::store,
    scope,
    side::Ptr,
    task as tasks,
};

#[map]
static LONGEST_THRESHOLDS: Array<Threshold> = Array::with_max_entries(2, 0);

#[map]
static LONGEST_WAITS: RingBuf = RingBuf::with_byte_size(256 << 10, 0);

#[map]
static LONGEST_WAIT: PerCpuArray<Wait> = PerCpuArray::with_max_entries(2, 0);

/// `BPF_RB_NO_WAKEUP`: the user side looks by itself.
const NO_WAKEUP: u64 = 1;

/// The causes of the class `lost`, by bit.
const LOST: u64 = {
    let mut bits = 0;
    let mut number = 0;
    while number < Cause::ALL.len() {
        if matches!(Cause::ALL[number].class(), Class::Lost) {
            bits |= 1 << number;
        }
        number += 1;
    }
    bits
};

/// Whether a state is a cause of the class `lost`.
#[inline(always)]
pub fn is_lost(what: u32) -> bool {
    LOST >> what::state(what) & 1 != 0
}

/// A wait that may be one of the longest has ended.
#[inline(always)]
pub fn ended<S: Tasks>(thread: &Thread, task: Ptr, what: u32, ns: u64, stack: u32) {
    if ns < LONG_NS {
        return;
    }
    let Some(parity) = epoch::parity() else { return };
    let Some(threshold) = LONGEST_THRESHOLDS.get_ptr_mut(parity) else { return };
    // SAFETY: an array element; see `slowest::raise`.
    let threshold = unsafe { &mut *threshold };
    let bucket = hist::bucket(ns);
    if threshold.wanted == 0 || bucket < threshold.bucket {
        return;
    }
    slowest::raise(threshold, bucket);
    send::<S>(thread, task, u64::from(stack) << 32 | u64::from(what), ns);
}

#[inline(never)]
fn send<S: Tasks>(thread: &Thread, task: Ptr, stack_and_what: u64, ns: u64) {
    let Some(wait) = LONGEST_WAIT.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's element, of programs that run without interrupts.
    let wait = unsafe { &mut *wait };
    describe::<S>(wait, thread, task, ns);
    wait.what = stack_and_what as u32;
    wait.stack = (stack_and_what >> 32) as u32;
    wait.phase = 0;
    let size = offset_of!(Wait, frames) as u64;
    // SAFETY: the ring is a map, and the value has that many bytes.
    let sent = unsafe {
        bpf_ringbuf_output(
            ptr::from_ref(&LONGEST_WAITS) as *mut _,
            ptr::from_mut(wait).cast(),
            size,
            NO_WAKEUP,
        )
    };
    if sent != 0 {
        loss::count(Loss::Events);
    }
}

/// Room for a wait that goes on, of the iterator.
#[inline(always)]
pub fn room() -> Option<&'static mut Wait> {
    // SAFETY: this CPU's, and the iterator's alone.
    unsafe { LONGEST_WAIT.get_ptr_mut(1)?.as_mut() }
}

/// Who waits, and since when.
#[inline(always)]
pub fn describe<S: Tasks>(wait: &mut Wait, thread: &Thread, task: Ptr, ns: u64) {
    store(&mut wait.ns, ns);
    store(&mut wait.since, thread.since);
    store(&mut wait.who, thread.who);
    store(&mut wait.what, thread.what);
    let [low, high] = tasks::comm::<S>(task);
    store(&mut wait.comm[0], low);
    store(&mut wait.comm[1], high);
    // SAFETY: a load from a task.
    let leader: Ptr = unsafe { S::read(task, TASK_LEADER.load()) };
    let [low, high] = if leader.is_null() { [0, 0] } else { tasks::comm::<S>(leader) };
    store(&mut wait.process_comm[0], low);
    store(&mut wait.process_comm[1], high);
    store(&mut wait.cgroup, scope::cgroup_id::<S>(task));
    store(&mut wait.tid, tasks::pid::<S>(task));
    // SAFETY: loads from a task.
    unsafe {
        store(&mut wait.tgid, S::read(task, TASK_TGID.load()));
        store(&mut wait.start_ns, if present(&TASK_START) { S::read(task, TASK_START.load()) } else { 0 });
    }
}
