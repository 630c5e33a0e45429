//! Counting by keys: a small table of each CPU in front of a hash that all share. A place of the table costs an
//! addition; the hash, which costs four times an array, gets what another key drives out of its place.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{Array, HashMap},
};
use diag_common::{
    loss::Loss,
    runq::{Cell, CellKey, DELAY_BITS, Half, PAIR_BITS, Place, RUN_BITS, kind},
};

use super::{cpu, culprits::BY_CPU};
use crate::{
    epoch, loss,
    memory::{add_u64, store},
};

#[map]
static SHARED: HashMap<CellKey, Cell> = HashMap::with_max_entries(65536, 0);

/// How many cells of each parity were ever made, by which the user side sees that the hash fills.
#[map]
static MADE: Array<u64> = Array::with_max_entries(2, 0);

/// Fibonacci hashing: the upper bits of a product with 2^64 / φ.
#[inline(always)]
const fn place(of: u64, bits: u32) -> usize {
    (of.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
}

/// Counts a wait of `who`.
#[inline(always)]
pub fn delay(half: &mut Half, who: u32, bucket: u32, ns: u64) {
    let of = u64::from(who) | u64::from(bucket) << 32;
    // SAFETY: the place is below the table's length.
    let place = unsafe { half.delays.get_unchecked_mut(place(of, DELAY_BITS)) };
    if place.of != of {
        turn_out(place, of, kind::DELAY);
    }
    place.count += 1;
    place.ns += ns;
}

/// Counts time that `waiter` waited for `runner`.
#[inline(always)]
pub fn pair(half: &mut Half, waiter: u32, runner: u32, ns: u64) {
    let of = u64::from(waiter) | u64::from(runner) << 32;
    // SAFETY: as above.
    let place = unsafe { half.pairs.get_unchecked_mut(place(of, PAIR_BITS)) };
    if place.of != of {
        // A CPU's own table says which CPU it is; the shared hash has to be told.
        let here = if BY_CPU.load() != 0 { (cpu::number() + 1) << kind::CPU_SHIFT } else { 0 };
        turn_out(place, of, kind::PAIR | here);
    }
    place.count += 1;
    place.ns += ns;
}

/// Counts time that `who` ran.
#[inline(always)]
pub fn run(half: &mut Half, who: u32, ns: u64) {
    let of = u64::from(who);
    // SAFETY: as above.
    let place = unsafe { half.runs.get_unchecked_mut(place(of, RUN_BITS)) };
    if place.of != of {
        turn_out(place, of, kind::RUN);
    }
    place.count += 1;
    place.ns += ns;
}

/// Counts time that a quota held `who`.
#[inline(never)]
pub fn throttled(who: u32, ns: u64) {
    add(u64::from(who), kind::THROTTLED, 1, ns);
}

/// Hands what is in a place to the shared hash, and gives the place to another key.
#[inline(never)]
fn turn_out(place: &mut Place, of: u64, kind: u32) {
    if place.count != 0 {
        add(place.of, kind, place.count, place.ns);
    }
    store(&mut place.of, of);
    store(&mut place.count, 0);
    store(&mut place.ns, 0);
}

#[inline(always)]
fn add(of: u64, kind: u32, count: u64, ns: u64) {
    let Some(parity) = epoch::parity() else { return };
    let key = CellKey { of, kind, parity };
    if SHARED.get_ptr_mut(key).is_none() {
        let mut empty = MaybeUninit::<Cell>::uninit();
        // SAFETY: both fields are written.
        let empty = unsafe {
            (&raw mut (*empty.as_mut_ptr()).count).write_volatile(0);
            (&raw mut (*empty.as_mut_ptr()).ns).write_volatile(0);
            empty.assume_init_ref()
        };
        // A lost race means that another CPU made the cell.
        if SHARED.insert(key, empty, BPF_NOEXIST as u64).is_ok()
            && let Some(made) = MADE.get_ptr_mut(parity)
        {
            // SAFETY: as below.
            unsafe { add_u64(made, 1) };
        }
    }
    let Some(cell) = SHARED.get_ptr_mut(key) else {
        loss::count(Loss::Cells);
        return;
    };
    // SAFETY: a map value, aligned, written by atomic additions alone.
    unsafe {
        add_u64(&raw mut (*cell).count, count);
        add_u64(&raw mut (*cell).ns, ns);
    }
}
