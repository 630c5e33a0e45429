//! Cells, counted in a cache of each CPU and written back to a map of all.
//!
//! A lock that many CPUs wait for is one that all of them would count in the same cell: with the cache they do not take
//! its line of memory from each other, and a wait costs an array look-up for each cell, where a hash costs four times
//! that.

use core::ptr;

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use diag_common::{
    lock::{Cell, CellKey, Family, LINES, Line},
    loss::Loss,
};

use crate::{
    loss,
    memory::{add_u64, store},
};

/// The CPUs' caches: one line for each cell that falls on it, in two halves. Only the end of a wait writes them, and the
/// kernel runs no program within itself.
#[map]
static LOCK_LINES: PerCpuArray<Line> = PerCpuArray::with_max_entries(2 * LINES, 0);

/// The cells that had to leave a cache.
#[map]
static LOCK_CELLS: HashMap<CellKey, Cell> = HashMap::with_max_entries(65536, 0);

/// Waits by kind and length alone, of locks that found no room there.
#[map]
static LOCK_REST: HashMap<CellKey, Cell> = HashMap::with_max_entries(4096, 0);

/// Counts a wait of `ns` in a cell.
#[inline(always)]
pub fn add(key: &CellKey, ns: u64, stack: u32, epoch: u32) {
    add_part(key, ns, stack, true, epoch);
}

/// Counts `ns` of a wait in a cell, and the wait itself if it is `counted` there.
#[inline(always)]
pub fn add_part(key: &CellKey, ns: u64, stack: u32, counted: bool, epoch: u32) {
    let (lock, tag) = words(key);
    add_one(lock, tag, ns, stack as u64 | (counted as u64) << 32, epoch);
}

/// A key as two words.
#[inline(always)]
fn words(key: &CellKey) -> (u64, u64) {
    let tag = key.item as u64
        | (key.kind as u64) << 32
        | (key.family as u64) << 40
        | (key.extra as u64) << 48
        | (key.parity as u64) << 56;
    (key.lock, tag)
}

/// A function has five arguments at most: above the stack's number is how many waits it is.
#[inline(never)]
fn add_one(lock: u64, tag: u64, ns: u64, rest: u64, epoch: u32) {
    let (stack, waits) = (rest as u32, rest >> 32);
    let hash = (lock ^ tag.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let index = ((hash >> 40) as u32 & (LINES - 1)) + (epoch & 1) * LINES;
    let Some(line) = LOCK_LINES.get_ptr_mut(index) else { return };
    // SAFETY: this CPU's line, and a key of two words.
    unsafe {
        let words = ptr::addr_of_mut!((*line).key).cast::<u64>();
        let line = &mut *line;
        let kept = line.epoch == epoch && !line.cell.is_empty();
        if kept && words.read_volatile() == lock && words.add(1).read_volatile() == tag {
            line.cell.ns += ns;
            line.cell.waits += waits;
            if ns > line.cell.max_ns {
                line.cell.max_ns = ns;
            }
            if !ns > line.cell.min_inverted {
                line.cell.min_inverted = !ns;
            }
            if stack != 0 && ns >= line.cell.stack_ns {
                line.cell.stack = stack;
                line.cell.stack_ns = ns;
            }
            return;
        }
        if kept {
            write_back(line);
        }
        words.write_volatile(lock);
        words.add(1).write_volatile(tag);
        store(&mut line.cell.ns, ns);
        store(&mut line.cell.waits, waits);
        store(&mut line.cell.max_ns, ns);
        store(&mut line.cell.min_inverted, !ns);
        store(&mut line.cell.stack, stack);
        store(&mut line.cell.stack_ns, if stack == 0 { 0 } else { ns });
        store(&mut line.epoch, epoch);
    }
}

/// Adds a line to the map of all.
#[inline(never)]
fn write_back(line: &Line) {
    if merge(&LOCK_CELLS, &line.key, &line.cell) {
        return;
    }
    if line.key.family != Family::Wait as u8 {
        loss::count(Loss::LockParts);
        return;
    }
    loss::count(Loss::Locks);
    let rest = CellKey { lock: 0, extra: 0, ..line.key };
    if !merge(&LOCK_REST, &rest, &line.cell) {
        loss::count(Loss::LockWaits);
    }
}

#[inline(always)]
fn merge(map: &HashMap<CellKey, Cell>, key: &CellKey, cell: &Cell) -> bool {
    let mut known = map.get_ptr_mut(key);
    if known.is_none() {
        if map.insert(key, cell, BPF_NOEXIST as u64).is_ok() {
            return true;
        }
        // Another CPU was first, or there is no room.
        known = map.get_ptr_mut(key);
    }
    let Some(known) = known else { return false };
    // SAFETY: a map value. Other CPUs may add at the same time; of the extremes one may be lost, of the sums nothing.
    unsafe {
        add_u64(ptr::addr_of_mut!((*known).ns), cell.ns);
        add_u64(ptr::addr_of_mut!((*known).waits), cell.waits);
        (*known).extend(cell);
    }
    true
}
