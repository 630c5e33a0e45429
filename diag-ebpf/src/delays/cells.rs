//! Counting in cells. See [`diag_common::delays`] for what a cell means.

use aya_ebpf::{
    helpers::generated::bpf_get_smp_processor_id,
    macros::map,
    maps::{Array, HashMap},
};
use diag_common::{
    cells::number,
    delays::{Cell, CellKey, Half, PAIR_BITS, SLOT_BITS, SampleKey, Slot, Thread, table, what},
    hist,
    loss::Loss,
};

use super::group;
use crate::{cells, clock, epoch, loss};

/// By CPU and parity. Sized by the loader.
#[map]
static ACCOUNT_HALVES: Array<Half> = Array::with_max_entries(2, 0);

#[map]
static SAMPLES: HashMap<SampleKey, Cell> = HashMap::with_max_entries(16384, 0);

/// When the epoch of each parity began, and at last the session, ns; the user side writes it before it turns the epoch.
#[map]
static BOUNDARIES: Array<u64> = Array::with_max_entries(3, 0);

/// What a program counts with: taken once, at its beginning.
pub struct Counter {
    half: &'static mut Half,
    parity: u32,
    /// The number of the CPU.
    pub cpu: u32,
    /// The moment of what is counted, ns.
    pub now: u64,
}

/// Of a program that runs with interrupts off, so that no other one comes between.
#[inline(always)]
pub fn counter() -> Option<Counter> {
    let parity = epoch::parity()?;
    // SAFETY: no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    // SAFETY: written on this CPU alone, in programs that run without interrupts.
    let half = unsafe { ACCOUNT_HALVES.get_ptr_mut(cpu << 1 | parity)?.as_mut()? };
    Some(Counter { half, parity, cpu, now: clock::now() })
}

/// Where cells are counted.
pub trait Count {
    /// Adds to a cell, modulo 2^64: one that was added to before, or one of the rest.
    fn add(&mut self, who: u32, what: u32, count: u64, ns: u64);
    /// The same, if there is room for the cell: false where there is none.
    fn offer(&mut self, who: u32, what: u32, count: u64, ns: u64) -> bool;
    /// The half that is written.
    fn parity(&self) -> u32;
    /// Whether there is no room for more cells.
    #[inline(always)]
    fn is_full(&self) -> bool {
        cells::is_full(CellKey::half(self.parity(), table::ACCOUNT))
    }
}

/// The number of the rest: of those for which there is no room.
pub const REST: u32 = 0;

impl Counter {
    /// Counts time for which `waiter` waited for a CPU that `runner` had.
    #[inline(always)]
    pub fn pair(&mut self, waiter: u32, runner: u32, ns: u64) {
        let of = u64::from(waiter) << 32 | u64::from(runner);
        // SAFETY: as below.
        let slot = unsafe { self.half.pairs.get_unchecked_mut(number(of, PAIR_BITS)) };
        if slot.of != of {
            turn_out(slot, of, CellKey::half(self.parity, table::CPU));
        }
        slot.cell.count += 1;
        slot.cell.ns += ns;
    }
}

impl Count for Counter {
    #[inline(always)]
    fn add(&mut self, who: u32, what: u32, count: u64, ns: u64) {
        let of = u64::from(who) << 32 | u64::from(what);
        // SAFETY: the number is below the table's length.
        let slot = unsafe { self.half.slots.get_unchecked_mut(number(of, SLOT_BITS)) };
        if slot.of != of {
            turn_out(slot, of, CellKey::half(self.parity, table::ACCOUNT));
        }
        slot.cell.count = slot.cell.count.wrapping_add(count);
        slot.cell.ns = slot.cell.ns.wrapping_add(ns);
    }

    #[inline(always)]
    fn offer(&mut self, who: u32, what: u32, count: u64, ns: u64) -> bool {
        let of = u64::from(who) << 32 | u64::from(what);
        // SAFETY: as above.
        let slot = unsafe { self.half.slots.get_unchecked_mut(number(of, SLOT_BITS)) };
        if slot.of != of && !take(slot, of, CellKey::half(self.parity, table::ACCOUNT)) {
            return false;
        }
        slot.cell.count = slot.cell.count.wrapping_add(count);
        slot.cell.ns = slot.cell.ns.wrapping_add(ns);
        true
    }

    #[inline(always)]
    fn parity(&self) -> u32 {
        self.parity
    }
}

/// Of a program that can be interrupted by one that counts: by the shared hash alone.
pub struct Shared {
    parity: u32,
}

/// See [`Shared`].
#[inline(always)]
pub fn shared() -> Option<Shared> {
    Some(Shared { parity: epoch::parity()? })
}

impl Count for Shared {
    #[inline(always)]
    fn add(&mut self, who: u32, what: u32, count: u64, ns: u64) {
        let half = CellKey::half(self.parity, table::ACCOUNT);
        add_shared(u64::from(who) << 32 | u64::from(what), half, count, ns);
    }

    #[inline(always)]
    fn offer(&mut self, who: u32, what: u32, count: u64, ns: u64) -> bool {
        let half = CellKey::half(self.parity, table::ACCOUNT);
        offer_shared(u64::from(who) << 32 | u64::from(what), half, count, ns)
    }

    #[inline(always)]
    fn parity(&self) -> u32 {
        self.parity
    }
}

#[inline(never)]
fn turn_out(slot: &mut Slot, of: u64, half: u64) {
    cells::turn_out(slot, of, half);
}

/// Whether there is room for a cell, which those of the rest always have; where there is none, that is counted.
#[inline(always)]
fn admits(of: u64, half: u64) -> bool {
    of >> 32 == u64::from(REST) || cells::admits(&CellKey { of, half })
}

/// Gives the slot to another key, if there is room for it.
#[inline(never)]
fn take(slot: &mut Slot, of: u64, half: u64) -> bool {
    if !admits(of, half) {
        return false;
    }
    cells::turn_out(slot, of, half);
    true
}

#[inline(never)]
fn add_shared(of: u64, half: u64, count: u64, ns: u64) {
    cells::add(CellKey { of, half }, count, ns);
}

#[inline(never)]
fn offer_shared(of: u64, half: u64, count: u64, ns: u64) -> bool {
    if !admits(of, half) {
        return false;
    }
    cells::add(CellKey { of, half }, count, ns);
    true
}

/// Counts time of a group and another one, or a disk.
#[inline(always)]
pub fn between(parity: u32, table: u32, who: u32, other: u64, ns: u64) {
    offer_shared(u64::from(who) << 32 | other, CellKey::half(parity, table), 1, ns);
}

/// Counts a wait's stack; false where there is no room.
#[inline(never)]
pub fn sample(key: &SampleKey, ns: u64) -> bool {
    let is_counted = cells::add_to(&SAMPLES, key, 1, ns, || {});
    if !is_counted {
        loss::count(Loss::Cells);
    }
    is_counted
}

/// When the epoch that is written began, ns.
#[inline(always)]
pub fn boundary(parity: u32) -> u64 {
    BOUNDARIES.get(parity).copied().unwrap_or(0)
}

/// A thread enters a piece. Where that finds no room, the thread goes over to the rest, so that the piece ends where it began.
#[inline(always)]
pub fn enter(counter: &mut impl Count, thread: &mut Thread, what: u32, now: u64) {
    thread.what = what;
    thread.since = now;
    if !counter.offer(thread.who, what, 1, 0u64.wrapping_sub(now)) {
        group::yield_room(counter, thread, now);
        counter.add(REST, what, 1, 0u64.wrapping_sub(now));
    }
}

/// It leaves the piece, whose time stays where it was counted.
#[inline(always)]
pub fn leave(counter: &mut impl Count, thread: &Thread, now: u64) {
    counter.add(thread.who, thread.what, u64::MAX, now);
}

/// It leaves the piece, whose time since the last boundary the caller counts elsewhere with [`charge`].
#[inline(always)]
pub fn revoke(counter: &mut impl Count, thread: &Thread) {
    let from = thread.since.max(boundary(counter.parity()));
    counter.add(thread.who, thread.what, u64::MAX, from);
}

/// Counts a part of a revoked piece.
#[inline(always)]
pub fn charge(counter: &mut impl Count, thread: &Thread, what: u32, from: u64, until: u64) {
    let from = from.max(thread.since);
    if until <= from {
        return;
    }
    let boundary = boundary(counter.parity());
    if from < boundary {
        late(counter, thread, what, from, until.min(boundary));
    }
    let from = from.max(boundary);
    if until > from {
        spend(counter, thread, what, until - from);
    }
}

/// Counts time of a revoked piece; in what the piece was counted in where there is no room.
#[inline(always)]
pub fn spend(counter: &mut impl Count, thread: &Thread, what: u32, ns: u64) {
    if !counter.offer(thread.who, what, 0, ns) {
        counter.add(thread.who, thread.what, 0, ns);
    }
}

/// How much of a piece that began before the boundary `until` lies between the session's beginning and that, ns.
#[inline(always)]
pub fn before(thread: &Thread, until: u64) -> u64 {
    until.saturating_sub(thread.since.max(BOUNDARIES.get(2).copied().unwrap_or(0)))
}

/// Counts time that earlier records show in the state that a thread was in.
#[inline(always)]
fn late(counter: &mut impl Count, thread: &Thread, to: u32, from: u64, until: u64) {
    let session = BOUNDARIES.get(2).copied().unwrap_or(0);
    let from = from.max(session);
    if until > from {
        let key = what::with_bucket(what::of_kind(to, what::LATE), what::state(thread.what));
        counter.offer(thread.who, key, 0, until - from);
    }
}

/// Counts a wait that has ended, or a part of one.
#[inline(always)]
pub fn wait(counter: &mut impl Count, who: u32, of: u32, ns: u64) {
    let key = what::with_bucket(what::of_kind(of, what::WAITS), hist::bucket(ns));
    counter.offer(who, key, 1, ns);
}
