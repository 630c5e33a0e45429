//! What an operation leaves behind: a count in its group's histogram, and its causes in the matrix.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, Queue},
};
use aya_log_ebpf::debug;
use diag_common::{
    cause::{COUNTED, Cause},
    hist,
    iolat::{CAUSE_STACK, Cell, CellKey, Failure, MAX_STACK_WAITS, Op, Slot, SlotKey, VIA_NONE},
    loss::Loss,
    threshold::Threshold,
};

use super::{
    begun::Begun,
    file::{self, File},
    slowest,
    state::{CachedSlot, TaskState, Tasks},
};
use crate::{
    cells, epoch, loss,
    memory::{at_most, load, store},
    side::Ptr,
};

const LAST_FAILURE: i32 = Failure::ALL.len() as i32 - 1;

// No two operations share a place in the cache of groups.
const _: () = assert!(Op::ALL.len() <= 16);

/// Sized by the loader to the number of CPUs.
const MAX_SLOTS: u32 = 64;

/// What operation is slow enough to be sent, by parity.
#[map]
static THRESHOLDS: Array<Threshold> = Array::with_max_entries(2, 0);

/// Which slot a group has, parity excluded.
#[map]
static SLOT_NUMBERS: HashMap<SlotKey, u32> = HashMap::with_max_entries(MAX_SLOTS, 0);

/// Slots that no group has yet; the loader fills it.
#[map]
static FREE_SLOTS: Queue<u32> = Queue::with_max_entries(MAX_SLOTS, 0);

#[map]
static SLOTS: PerCpuArray<Slot> = PerCpuArray::with_max_entries(2 * MAX_SLOTS, 0);

/// The matrix latency × cause, sparse: an operation that only ran has nothing here.
#[map]
static CELLS: HashMap<CellKey, Cell> = HashMap::with_max_entries(32768, 0);

/// The slot of an operation on `file`; none where the file system does not count.
#[inline(always)]
pub fn slot(cache: &mut [CachedSlot; 16], op: Op, file: &File) -> Option<u32> {
    let tag = file.magic << 32 | file.dev as u64;
    // SAFETY: there are fewer than 16 operations.
    let cached = unsafe { cache.get_unchecked_mut(op as usize & 15) };
    if cached.tag == tag {
        return Some(cached.slot as u32);
    }
    if file::is_pseudo(file.magic) {
        return None;
    }
    let key = SlotKey { dev: file.dev, op: op as u32, magic: file.magic };
    let slot = slot_of_key(&key)?;
    cached.tag = tag;
    cached.slot = slot as u64;
    Some(slot)
}

/// The slot of a group that has one.
#[inline(always)]
pub fn known_slot(key: &SlotKey) -> Option<u32> {
    // SAFETY: entries are never removed.
    unsafe { SLOT_NUMBERS.get(key) }.copied()
}

/// Adds time in which a task was stopped on its way back from an operation of a slot.
#[inline(always)]
pub fn add_stopped(number: u32, ns: u64) {
    if let Some((slot, _, _)) = group(number) {
        slot.stopped_ns += ns;
    }
}

#[inline(always)]
fn slot_of_key(key: &SlotKey) -> Option<u32> {
    if let Some(slot) = known_slot(key) {
        return Some(slot);
    }
    let Ok(Some(free)) = FREE_SLOTS.pop() else {
        loss::count(Loss::Slots);
        return None;
    };
    if SLOT_NUMBERS.insert(key, free, BPF_NOEXIST as u64).is_err() {
        let _ = FREE_SLOTS.push(free, 0);
    }
    debug!((), "group {}: operation {} on device {:x}", free, key.op, key.dev);
    known_slot(key)
}

/// Ends an operation that went on after its system call had returned. Seldom, so it is one function for all callers, and calls
/// none: its callers leave room on the stack for one only (512 bytes for all, kernel/bpf/verifier.c).
#[inline(never)]
pub fn deferred<S: Tasks>(state: &mut TaskState, task: Ptr) {
    let (ret, end) = (state.ret, state.end);
    if let Some((slot, threshold)) = counted(state, ret, end) {
        tell::<S>(state, task, core::ptr::null(), slot, threshold);
    }
    state.returning = 0;
    state.start = 0;
}

/// Counts an operation that only ran, unless it is slow enough to be told of.
#[inline(always)]
pub fn quick(begun: &Begun, ret: i64, end: u64) -> bool {
    let latency = end.saturating_sub(begun.start);
    let bucket = hist::bucket(latency);
    let Some((slot, _, threshold)) = group(begun.slot) else { return true };
    if ret < 0 {
        count_failure(slot, ret);
        return true;
    }
    if is_slow(threshold, bucket) {
        return false;
    }
    count_operation(slot, begun.op as u8, bucket, latency, ret);
    true
}

/// Counts an operation of `task` that ended at `end`. `regs` are its registers, null where it has returned before.
#[inline(always)]
pub fn operation<S: Tasks>(state: &mut TaskState, task: Ptr, regs: Ptr, ret: i64, end: u64) {
    if let Some((slot, threshold)) = counted(state, ret, end) {
        details::<S>(state, task, regs, slot, threshold);
    }
}

/// Counts an operation; the slot and the threshold where there is more to say of it.
#[inline(always)]
fn counted(state: &mut TaskState, ret: i64, end: u64) -> Option<(&'static mut Slot, &'static mut Threshold)> {
    let latency = end.saturating_sub(state.start);
    let bucket = hist::bucket(latency);
    let (slot, index, threshold) = group(state.slot)?;
    if ret < 0 {
        count_failure(slot, ret);
        if state.touched & !ON_THE_WAY == 0 {
            return None;
        }
    }
    count_operation(slot, state.op, bucket, latency, ret);
    if state.touched == 0 && !is_slow(threshold, bucket) {
        return None;
    }
    state.ret = ret;
    state.end = end;
    state.index = index;
    Some((slot, threshold))
}

/// What a slot number stands for in this epoch: the slot, its index, and the threshold of slow operations.
#[inline(always)]
fn group(number: u32) -> Option<(&'static mut Slot, u32, &'static mut Threshold)> {
    let parity = epoch::parity()?;
    let index = number << 1 | parity;
    // SAFETY: this CPU's element, and an array element.
    unsafe { Some((SLOTS.get_ptr_mut(index)?.as_mut()?, index, THRESHOLDS.get_ptr_mut(parity)?.as_mut()?)) }
}

#[inline(always)]
fn is_slow(threshold: &Threshold, bucket: u32) -> bool {
    bucket >= threshold.bucket && threshold.wanted != 0
}

/// Causes that any call can have, whether or not it waits for anything: those of the CPU it runs on.
const ON_THE_WAY: u32 = 1 << Cause::Run as u32
    | 1 << Cause::Runqueue as u32
    | 1 << Cause::Throttled as u32
    | 1 << Cause::Irq as u32
    | 1 << Cause::Steal as u32;

/// Counts a call that failed. One that did not sleep is no operation: it would only make the others look faster.
#[inline(always)]
fn count_failure(slot: &mut Slot, ret: i64) {
    // SAFETY: the index is that of a class.
    unsafe { *slot.failed.get_unchecked_mut(at_most::<LAST_FAILURE>(Failure::of(ret) as u64)) += 1 };
}

#[inline(always)]
fn count_operation(slot: &mut Slot, op: u8, bucket: u32, latency: u64, ret: i64) {
    // SAFETY: the index is within the bins.
    let bin = unsafe { slot.bins.get_unchecked_mut(at_most::<{ hist::LAST }>(u64::from(bucket))) };
    bin.count += 1;
    bin.sum_ns += latency;
    slot.min_inverted = slot.min_inverted.max(!latency);
    slot.max_ns = slot.max_ns.max(latency);
    let moves_bytes = op < Op::Fsync as u8 || op > Op::SyncFileRange as u8;
    if ret > 0 && moves_bytes {
        slot.bytes += ret as u64;
    }
}

/// What there is to say of an operation that did more than run, or was slow. A function of its own: the way of all others
/// stays short, and the verifier looks at this once.
#[inline(never)]
fn details<S: Tasks>(
    state: &mut TaskState,
    task: Ptr,
    regs: Ptr,
    slot: &mut Slot,
    threshold: &mut Threshold,
) {
    tell::<S>(state, task, regs, slot, threshold);
}

#[inline(always)]
fn tell<S: Tasks>(state: &mut TaskState, task: Ptr, regs: Ptr, slot: &mut Slot, threshold: &mut Threshold) {
    let bucket = hist::bucket(state.end.saturating_sub(state.start));
    if state.touched != 0 {
        causes(state, slot, bucket as u16);
    }
    if is_slow(threshold, bucket) {
        slowest::raise(threshold, bucket);
        if !regs.is_null() {
            slowest::locate::<S>(state, regs, state.ret);
        }
        slowest::send::<S>(state, task);
    }
}

/// Counts the operation's causes, each under the operation's bucket and under its own. What no cause took is running.
#[inline(always)]
fn causes(state: &mut TaskState, slot: &mut Slot, bucket: u16) {
    let index = state.index as u16;
    store(&mut state.rest, state.end.saturating_sub(state.start));
    for cause in 0..COUNTED as u32 {
        if state.touched & (1 << cause) == 0 {
            continue;
        }
        let at = (cause & 31) as usize;
        // SAFETY: the index is below 32.
        let (ns, via, stack) = unsafe {
            (*state.ns.get_unchecked(at), *state.via.get_unchecked(at), *state.stacks.get_unchecked(at))
        };
        let ns = take(&mut state.rest, ns);
        count(slot, CellKey { slot: index, bucket, cause: cause as u8, via, flags: 0, stack }, ns);
    }
    if state.touched & (1 << CAUSE_STACK) != 0 {
        for wait in 0..MAX_STACK_WAITS {
            if wait as u32 >= state.stack_waits {
                break;
            }
            // SAFETY: the index is in range.
            let wait = unsafe { *state.waits.get_unchecked(wait) };
            let ns = take(&mut state.rest, wait.ns);
            let flags = wait.flags as u16;
            let key =
                CellKey { slot: index, bucket, cause: CAUSE_STACK, via: VIA_NONE, flags, stack: wait.stack };
            count(slot, key, ns);
        }
    }
    let key = CellKey { slot: index, bucket, cause: Cause::Run as u8, via: VIA_NONE, flags: 0, stack: 0 };
    count(slot, key, load(&state.rest));
}

/// Takes a part of the rest: no more than there is, since parts can be longer than the whole where a hook was missed.
/// The rest is kept in memory, where the verifier forgets about it: else each outcome would be a state of its own.
#[inline(always)]
fn take(rest: &mut u64, ns: u64) -> u64 {
    let left = load(rest);
    let ns = ns.min(left);
    store(rest, left - ns);
    ns
}

#[inline(always)]
fn count(slot: &mut Slot, mut key: CellKey, ns: u64) {
    if !add(&key, ns) {
        slot.unsplit_ns += ns;
        loss::count(Loss::Cells);
        return;
    }
    key.bucket = hist::bucket(ns) as u16 | CellKey::PART;
    if !add(&key, ns) {
        loss::count(Loss::Cells);
    }
}

#[inline(always)]
fn add(key: &CellKey, ns: u64) -> bool {
    cells::add_to(&CELLS, key, 1, ns, || {})
}
