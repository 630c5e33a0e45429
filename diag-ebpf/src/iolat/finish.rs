//! What an operation leaves behind: a count in its group's histogram, and its causes in the matrix.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{Array, HashMap, Queue},
};
use aya_log_ebpf::debug;
use diag_common::{
    cause::{COUNTED, Cause},
    hist,
    iolat::{CAUSE_STACK, GroupKey, MAX_GROUPS, MAX_STACK_WAITS, MatrixKey, Op, VIA_NONE},
    loss::Loss,
    threshold::Threshold,
};

use super::{
    begun::Begun,
    cells::{self, Counter},
    file::{self, File},
    slowest,
    state::{CachedGroup, TaskState, Tasks},
};
use crate::{
    loss,
    memory::{load, store},
    side::Ptr,
};

// No two operations share a place in the cache of groups.
const _: () = assert!(Op::ALL.len() <= 16);

/// What operation is slow enough to be sent, by parity.
#[map]
static THRESHOLDS: Array<Threshold> = Array::with_max_entries(2, 0);

/// Which number a group has.
#[map]
static GROUP_NUMBERS: HashMap<GroupKey, u32> = HashMap::with_max_entries(MAX_GROUPS, 0);

/// Numbers that no group has yet; the loader fills it.
#[map]
static FREE_NUMBERS: Queue<u32> = Queue::with_max_entries(MAX_GROUPS, 0);

/// The number of the group of an operation on `file`; none where the file system does not count.
#[inline(always)]
pub fn group(cache: &mut [CachedGroup; 16], op: Op, file: &File) -> Option<u32> {
    let tag = file.magic << 32 | file.dev as u64;
    // SAFETY: there are fewer than 16 operations.
    let cached = unsafe { cache.get_unchecked_mut(op as usize & 15) };
    if cached.tag == tag {
        return Some(cached.group as u32);
    }
    if file::is_pseudo(file.magic) {
        return None;
    }
    let group = numbered(&GroupKey { dev: file.dev, op: op as u32, magic: file.magic })?;
    cached.tag = tag;
    cached.group = group as u64;
    Some(group)
}

/// The number of a group that has one.
#[inline(always)]
pub fn known_group(key: &GroupKey) -> Option<u32> {
    // SAFETY: entries are never removed.
    unsafe { GROUP_NUMBERS.get(key) }.copied()
}

#[inline(always)]
fn numbered(key: &GroupKey) -> Option<u32> {
    if let Some(group) = known_group(key) {
        return Some(group);
    }
    let Ok(Some(free)) = FREE_NUMBERS.pop() else {
        loss::count(Loss::Slots);
        return None;
    };
    if GROUP_NUMBERS.insert(key, free, BPF_NOEXIST as u64).is_err() {
        let _ = FREE_NUMBERS.push(free, 0);
    }
    debug!((), "group {}: operation {} on device {:x}", free, key.op, key.dev);
    known_group(key)
}

/// Ends an operation that went on after its system call had returned. Seldom, so it is one function for all callers, and calls
/// none: its callers leave room on the stack for one only (512 bytes for all, kernel/bpf/verifier.c).
#[inline(never)]
pub fn deferred<S: Tasks>(state: &mut TaskState, task: Ptr) {
    let (ret, end) = (state.ret, state.end);
    if let Some(threshold) = counted(state, ret, end) {
        tell::<S>(state, task, core::ptr::null(), threshold);
    }
    state.returning = 0;
    state.start = 0;
}

/// Counts an operation that only ran, unless it is slow enough to be told of.
#[inline(always)]
pub fn quick(begun: &Begun, ret: i64, end: u64) -> bool {
    let latency = end.saturating_sub(begun.start);
    let bucket = hist::bucket(latency);
    let Some((mut counter, threshold)) = now() else { return true };
    if ret < 0 {
        counter.failure(begun.group, ret);
        return true;
    }
    if is_slow(threshold, bucket) {
        return false;
    }
    counter.operation(begun.group, begun.op as u8, bucket, latency, ret);
    true
}

/// Counts an operation of `task` that ended at `end`. `regs` are its registers, null where it has returned before.
#[inline(always)]
pub fn operation<S: Tasks>(state: &mut TaskState, task: Ptr, regs: Ptr, ret: i64, end: u64) {
    if let Some(threshold) = counted(state, ret, end) {
        details::<S>(state, task, regs, threshold);
    }
}

/// Counts an operation; the threshold where there is more to say of it.
#[inline(always)]
fn counted(state: &mut TaskState, ret: i64, end: u64) -> Option<&'static mut Threshold> {
    let latency = end.saturating_sub(state.start);
    let bucket = hist::bucket(latency);
    let (mut counter, threshold) = now()?;
    if ret < 0 {
        counter.failure(state.group, ret);
        if state.touched & !ON_THE_WAY == 0 {
            return None;
        }
    }
    counter.operation(state.group, state.op, bucket, latency, ret);
    if state.touched == 0 && !is_slow(threshold, bucket) {
        return None;
    }
    state.ret = ret;
    state.end = end;
    state.parity = counter.parity;
    Some(threshold)
}

/// What an operation is counted with in this epoch, and the threshold of slow ones.
#[inline(always)]
fn now() -> Option<(Counter, &'static mut Threshold)> {
    let counter = cells::counter()?;
    // SAFETY: an array element.
    let threshold = unsafe { THRESHOLDS.get_ptr_mut(counter.parity)?.as_mut()? };
    Some((counter, threshold))
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

/// What there is to say of an operation that did more than run, or was slow. A function of its own: the way of all others
/// stays short, and the verifier looks at this once.
#[inline(never)]
fn details<S: Tasks>(state: &mut TaskState, task: Ptr, regs: Ptr, threshold: &mut Threshold) {
    tell::<S>(state, task, regs, threshold);
}

#[inline(always)]
fn tell<S: Tasks>(state: &mut TaskState, task: Ptr, regs: Ptr, threshold: &mut Threshold) {
    let bucket = hist::bucket(state.end.saturating_sub(state.start));
    if state.touched != 0 {
        causes(state, bucket);
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
fn causes(state: &mut TaskState, bucket: u32) {
    let (group, parity) = (state.group, state.parity);
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
        cells::part(MatrixKey { group, bucket, cause: cause as u8, via, flags: 0, stack }, parity, ns);
    }
    if state.touched & (1 << CAUSE_STACK) != 0 {
        for wait in 0..MAX_STACK_WAITS {
            if wait as u32 >= state.stack_waits {
                break;
            }
            // SAFETY: the index is in range.
            let wait = unsafe { *state.waits.get_unchecked(wait) };
            let ns = take(&mut state.rest, wait.ns);
            let (flags, stack) = (wait.flags, wait.stack);
            let key = MatrixKey { group, bucket, cause: CAUSE_STACK, via: VIA_NONE, flags, stack };
            cells::part(key, parity, ns);
        }
    }
    let key = MatrixKey { group, bucket, cause: Cause::Run as u8, via: VIA_NONE, flags: 0, stack: 0 };
    cells::part(key, parity, load(&state.rest));
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
