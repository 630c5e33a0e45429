//! Block requests: what a task that waited for one waited for.

use aya_ebpf::{
    helpers::generated::bpf_get_current_pid_tgid,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray},
};
use diag_common::{iolat::SWAPS_KNOWN, loss::Loss};

use crate::{
    clock,
    fields::{
        BDEV_DEV, BIO_FLAGS, BIO_LIMITED, REQUEST_BIO, REQUEST_IO_START, REQUEST_PART, REQUEST_QUEUE,
        REQUEST_START, present,
    },
    loss,
    memory::load,
    side::{Ptr, Side},
};

/// A completed request: allocated at `queued`, given to the device at `issued`, done at `done`; all ns.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Completion {
    pub queued: u64,
    pub issued: u64,
    pub done: u64,
    /// The task that the completion interrupted or ran in.
    pub context: u64,
    /// The request's device; 0 where it has none.
    pub dev: u64,
    /// The address of its `struct request_queue`.
    pub queue: u64,
    /// Whether limits of cgroups apply to it (blk-throttle), so that it may have been held back before it was a request.
    pub limited: u64,
}

/// A request that the device has.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Issue {
    /// Since when, ns.
    pub at: u64,
    /// Who wanted it, as a number of the tool's own; 0 where that is not known.
    pub submitter: u64,
}

/// Requests that devices have: when they were issued, for those on which the kernel does not stamp it (no `QUEUE_FLAG_STATS`), and
/// for whom. Sized by the loader to the number of CPUs.
#[map]
static ISSUED: LruHashMap<u64, Issue> = LruHashMap::with_max_entries(8192, 0);

/// The completion that this CPU last worked on.
#[map]
static COMPLETING: PerCpuArray<Completion> = PerCpuArray::with_max_entries(1, 0);

/// The last completion by device; 0 is any device, and stands in for those that find no room. No LRU: each CPU of a
/// small one takes 128 free elements, and evicts live ones for them (kernel/bpf/bpf_lru_list.c, 5.10 to 6.16).
#[map]
static LAST_COMPLETION: HashMap<u32, Completion> = HashMap::with_max_entries(1024, 0);

/// A wake-up longer than this after a completion on the same CPU is no part of it. One request of 1 MiB wakes the
/// waiters of 256 pages.
const COMPLETION_NS: u64 = 1_000_000;

/// `block_rq_issue(struct request *rq)`
#[inline(always)]
pub fn issue(request: u64, submitter: u64) {
    let issue = Issue { at: clock::now(), submitter };
    if ISSUED.insert(request, issue, 0).is_err() {
        loss::count(Loss::Requests);
    }
}

/// Who wanted a request that a device has; 0 where that is not known.
#[inline(always)]
pub fn submitter(request: u64) -> u64 {
    // SAFETY: the value is read at once.
    unsafe { ISSUED.get(request) }.map_or(0, |issue| issue.submitter)
}

impl Completion {
    /// A number for the disk, which all its partitions share.
    #[inline(always)]
    pub fn disk(&self) -> u64 {
        // The lowest bits of the address of a `struct request_queue` are all the same. Loaded anew: of a pointer that the verifier
        // knows by its type it allows no part.
        load(&self.queue) >> 6 & 0xffff_ffff
    }
}

/// `block_rq_complete(struct request *rq, blk_status_t error, unsigned int nr_bytes)`: the first thing that
/// `blk_update_request` does; the wake-ups follow on the same CPU (block/blk-mq.c, 6.18).
#[inline(always)]
pub fn complete<S: Side>(request: Ptr) -> Option<&'static Completion> {
    let now = clock::now();
    // SAFETY: loads from the request.
    let (mut queued, mut issued): (u64, u64) =
        unsafe { (S::read(request, REQUEST_START.load()), S::read(request, REQUEST_IO_START.load())) };
    let context = current_context();
    let last = COMPLETING.get_ptr_mut(0)?;
    // SAFETY: this CPU's element.
    let last = unsafe { &mut *last };
    if issued == 0 {
        // SAFETY: the value is read at once.
        issued = unsafe { ISSUED.get(request as u64) }.map_or(0, |issue| issue.at);
    }
    // A flush is not issued itself: it ends with the queue's own flush request, which has just completed here
    // (block/blk-flush.c, flush_end_io, 6.18).
    if issued == 0 && last.context == context && now.saturating_sub(last.done) < COMPLETION_NS {
        issued = last.issued;
    }
    if queued == 0 {
        queued = issued;
    }
    let dev = device::<S>(request);
    // SAFETY: a load from the request.
    let queue: u64 = unsafe { S::read(request, REQUEST_QUEUE.load()) };
    let limited = u64::from(is_limited::<S>(request));
    *last = Completion { queued, issued, done: now, context, dev: dev as u64, queue, limited };
    let _ = ISSUED.remove(request as u64);
    remember(0, last);
    if dev != 0 {
        remember(dev, last);
    }
    Some(last)
}

#[inline(always)]
fn remember(dev: u32, completion: &Completion) {
    match LAST_COMPLETION.get_ptr_mut(dev) {
        // SAFETY: a map value; another CPU's store at the same time tears it, which is out by one request.
        Some(last) => unsafe { *last = *completion },
        None if LAST_COMPLETION.insert(dev, completion, 0).is_err() => loss::count(Loss::Requests),
        None => {}
    }
}

#[inline(always)]
fn device<S: Side>(request: Ptr) -> u32 {
    if !present(&REQUEST_PART) || !present(&BDEV_DEV) {
        return 0;
    }
    // SAFETY: typed pointers: request, block_device.
    unsafe {
        let part: Ptr = S::read(request, REQUEST_PART.load());
        if part.is_null() { 0 } else { S::read(part, BDEV_DEV.load()) }
    }
}

/// Whether blk-throttle knows the request's first bio. One that it holds back waits there, whoever waits for it, and is a request only
/// when it is let go (block/blk-throttle.c, 5.10 to 6.18).
#[inline(always)]
fn is_limited<S: Side>(request: Ptr) -> bool {
    if !present(&BIO_LIMITED) {
        return false;
    }
    // SAFETY: typed pointers: request, bio.
    unsafe {
        let bio: Ptr = S::read(request, REQUEST_BIO.load());
        !bio.is_null() && S::read::<u16>(bio, BIO_FLAGS.load()) >> (BIO_LIMITED.load() & 15) & 1 != 0
    }
}

#[inline(always)]
fn current_context() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_get_current_pid_tgid() }
}

/// The completion in which the current wake-up happens, if it does.
#[inline(always)]
pub fn completing(now: u64) -> Option<Completion> {
    let last = COMPLETING.get(0)?;
    let is_now = last.done != 0 && now.saturating_sub(last.done) < COMPLETION_NS;
    (is_now && last.context == current_context()).then_some(*last)
}

/// The same, and whether it is what the woken task waited for as far as can be told. Where `dev`, which the task works on, has
/// requests of its own, another device's is none: an interrupt can end one in the midst of it. But of a device that is swapped to, it may be
/// that of a page fault within the call.
#[inline(always)]
pub fn waking(dev: u32, now: u64) -> Option<(Completion, bool)> {
    let last = completing(now)?;
    let swap = is_swap(last.dev as u32);
    if last.dev == dev as u64 {
        return Some((last, !swap));
    }
    // SAFETY: the value is copied at once; a torn one is out by one request.
    match unsafe { LAST_COMPLETION.get(dev) } {
        _ if swap => Some((last, false)),
        Some(own) if now.saturating_sub(own.done) < COMPLETION_NS => Some((*own, true)),
        Some(_) => None,
        None => Some((last, true)),
    }
}

/// Devices that memory has been swapped out to; 0 for none. The user side looks from time to time.
#[map]
static SWAPS: Array<[u32; SWAPS_KNOWN]> = Array::with_max_entries(1, 0);

/// Whether memory has been swapped out to a device.
#[inline(always)]
pub fn is_swap(dev: u32) -> bool {
    let Some(devices) = SWAPS.get(0) else { return false };
    dev != 0 && devices.contains(&dev)
}

/// Whether memory has been swapped out to any device.
#[inline(always)]
pub fn is_any_swap() -> bool {
    SWAPS.get(0).is_some_and(|devices| devices[0] != 0)
}

/// The last completion of a device's requests, or of any, if it fell into the wait that began at `since`.
#[inline(always)]
pub fn during(dev: u32, since: u64) -> Option<Completion> {
    // SAFETY: the values are copied at once; a torn one is out by one request.
    let own = unsafe { LAST_COMPLETION.get(dev) };
    let any = if own.is_none() { unsafe { LAST_COMPLETION.get(0u32) } } else { own };
    let completion = *any?;
    (completion.done > since).then_some(completion)
}
