//! Counting by keys: a small table of each CPU in front of a hash that all share. A slot of the table costs an addition; the hash,
//! which costs four times an array, gets what another key drives out of its slot.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{Array, HashMap},
};
use diag_common::{
    cells::{Cell, CellKey, Slot},
    loss::Loss,
};

use crate::{
    loss,
    memory::{add_u64, load, store},
};

#[map]
static SHARED_CELLS: HashMap<CellKey, Cell> = HashMap::with_max_entries(65536, 0);

/// How many cells of each parity were ever made, by which the user side sees that the hash fills.
#[map]
static SHARED_CELLS_MADE: Array<u64> = Array::with_max_entries(2, 0);

/// How many cells of each parity may have been made before only those find room that must; the user side writes it when it has read
/// a half.
#[map]
static SHARED_CELLS_ROOM: Array<u64> = Array::with_max_entries(2, 0);

/// Whether there is no room for more cells of a half but for those that must have it. `half` is [`CellKey::half`].
#[inline(always)]
pub fn is_full(half: u64) -> bool {
    let parity = half as u32;
    match (SHARED_CELLS_MADE.get(parity), SHARED_CELLS_ROOM.get(parity)) {
        (Some(made), Some(room)) => load(made) >= load(room),
        _ => false,
    }
}

/// Whether there is room for a cell; where there is none, that is counted.
#[inline(always)]
pub fn admits(key: &CellKey) -> bool {
    if !is_full(key.half) || SHARED_CELLS.get_ptr(key).is_some() {
        return true;
    }
    loss::count(Loss::Cells);
    false
}

/// Gives a slot to another key; the key that it had, 0 for none, and what was counted under that.
#[inline(always)]
pub fn replace(slot: &mut Slot, of: u64) -> (u64, u64, u64) {
    let before = (load(&slot.of), load(&slot.cell.count), load(&slot.cell.ns));
    store(&mut slot.of, of);
    store(&mut slot.cell.count, 0);
    store(&mut slot.cell.ns, 0);
    before
}

/// Hands what is in a slot to the shared hash, and gives the slot to another key. `half` is [`CellKey::half`].
#[inline(always)]
pub fn turn_out(slot: &mut Slot, of: u64, half: u64) {
    // First of all, so that less is kept on the stack meanwhile.
    let (before, count, ns) = replace(slot, of);
    if before != 0 {
        add(CellKey { of: before, half }, count, ns);
    }
}

/// Makes an empty cell of what `room` is for. Written field by field: a call of `memset` costs as much stack as any other.
#[inline(always)]
fn empty(room: &mut MaybeUninit<Cell>) -> &Cell {
    // SAFETY: both fields are written.
    unsafe {
        (&raw mut (*room.as_mut_ptr()).count).write_volatile(0);
        (&raw mut (*room.as_mut_ptr()).ns).write_volatile(0);
        room.assume_init_ref()
    }
}

/// Adds to a cell of the shared hash, modulo 2^64. A part of its callers: each call costs 32 bytes of stack at least, and the ways
/// here are long.
#[inline(always)]
pub fn add(key: CellKey, count: u64, ns: u64) {
    if !has_room_for(&key, count, ns) {
        loss::count(Loss::Cells);
    }
}

/// The same; false where there is no room, which is not counted.
#[inline(always)]
pub fn has_room_for(key: &CellKey, count: u64, ns: u64) -> bool {
    add_to(&SHARED_CELLS, key, count, ns, || count_made(key))
}

/// A cell of the shared hash for a caller that is the only one to write it.
#[inline(always)]
pub fn own(key: &CellKey) -> Option<&'static mut Cell> {
    // SAFETY: a map value, aligned; the rest is the caller's.
    unsafe { cell(&SHARED_CELLS, key, || count_made(key))?.as_mut() }
}

#[inline(always)]
fn count_made(key: &CellKey) {
    if let Some(made) = SHARED_CELLS_MADE.get_ptr_mut(key.half as u32) {
        // SAFETY: an aligned map value.
        unsafe { add_u64(made, 1) };
    }
}

/// Adds to a cell of a hash, modulo 2^64, and makes it where it is not there: then `made` is called. False where there is no room.
#[inline(always)]
pub fn add_to<K>(cells: &HashMap<K, Cell>, key: &K, count: u64, ns: u64, made: impl FnOnce()) -> bool {
    let Some(cell) = cell(cells, key, made) else { return false };
    // SAFETY: a map value, aligned, written by atomic additions alone.
    unsafe {
        add_u64(&raw mut (*cell).count, count);
        add_u64(&raw mut (*cell).ns, ns);
    }
    true
}

#[inline(always)]
fn cell<K>(cells: &HashMap<K, Cell>, key: &K, made: impl FnOnce()) -> Option<*mut Cell> {
    // A lost race means that another CPU made the cell.
    if cells.get_ptr_mut(key).is_none()
        && cells.insert(key, empty(&mut MaybeUninit::uninit()), BPF_NOEXIST as u64).is_ok()
    {
        made();
    }
    cells.get_ptr_mut(key)
}
