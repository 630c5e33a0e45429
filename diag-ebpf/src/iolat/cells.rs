//! What operations are counted in: a table of each CPU, which has room for the few groups that are frequent there, in front of the
//! hash that all share. No operation is lost for want of room: what finds none in the hash is in its group's sum.

use aya_ebpf::{helpers::generated::bpf_get_smp_processor_id, macros::map, maps::Array};
use diag_common::{
    cells::{CellKey, Slot},
    hist,
    iolat::{
        BIN_BITS, Failure, HEADS, Half, Head, MAX_GROUPS, MatrixKey, Op, Totals, bin, extremes, of_bin,
        place, table,
    },
    loss::Loss,
};

use crate::{
    cells, epoch, loss,
    memory::{add_u64, at_most, load, store},
};

const LAST_FAILURE: i32 = Failure::ALL.len() as i32 - 1;

/// By CPU and parity. Sized by the loader.
#[map]
static OPERATION_HALVES: Array<Half> = Array::with_max_entries(2, 0);

/// By group and parity.
#[map]
static GROUP_TOTALS: Array<Totals> = Array::with_max_entries(2 * MAX_GROUPS, 0);

/// What a program counts operations with.
pub struct Counter {
    half: &'static mut Half,
    /// The half of the epoch that is written.
    pub parity: u32,
}

/// Of a program that no other one that counts comes between.
#[inline(always)]
pub fn counter() -> Option<Counter> {
    let parity = epoch::parity()?;
    // SAFETY: no preconditions; an element that is written on this CPU alone.
    unsafe {
        let cpu = bpf_get_smp_processor_id();
        Some(Counter { half: OPERATION_HALVES.get_ptr_mut(cpu << 1 | parity)?.as_mut()?, parity })
    }
}

impl Counter {
    /// Counts an operation of a group.
    #[inline(always)]
    pub fn operation(&mut self, group: u32, op: u8, bucket: u32, latency: u64, ret: i64) {
        let of = bin(group, bucket);
        // SAFETY: the number is below the table's length.
        let slot = unsafe { self.half.bins.get_unchecked_mut(place(group, bucket) & ((1 << BIN_BITS) - 1)) };
        if slot.of != of {
            turn_out(slot, of, self.parity);
        }
        slot.cell.count += 1;
        slot.cell.ns += latency;
        let head = self.head(group);
        head.min_inverted = head.min_inverted.max(!latency);
        head.max_ns = head.max_ns.max(latency);
        let moves_bytes = op < Op::Fsync as u8 || op > Op::SyncFileRange as u8;
        if ret > 0 && moves_bytes {
            head.bytes += ret as u64;
        }
    }

    /// Counts a call that failed. One that did not sleep is no operation: it would only make the others look faster.
    #[inline(always)]
    pub fn failure(&mut self, group: u32, ret: i64) {
        let head = self.head(group);
        // SAFETY: the index is that of a class.
        unsafe { *head.failed.get_unchecked_mut(at_most::<LAST_FAILURE>(Failure::of(ret) as u64)) += 1 };
    }

    #[inline(always)]
    fn head(&mut self, group: u32) -> &mut Head {
        // SAFETY: the number is below the table's length.
        let head = unsafe { self.half.heads.get_unchecked_mut(group as usize & (HEADS - 1)) };
        if head.of != u64::from(group) + 1 {
            turn_out_head(head, group, self.parity);
        }
        head
    }
}

/// Gives a slot to another key. Not inlined, since it is seldom.
#[inline(never)]
fn turn_out(slot: &mut Slot, of: u64, parity: u32) {
    let (before, count, ns) = cells::replace(slot, of);
    if before != 0
        && !cells::has_room_for(&CellKey { of: before, half: CellKey::half(parity, table::BINS) }, count, ns)
    {
        loss::count(Loss::Cells);
        if let Some(totals) = totals(of_bin(before).0, parity) {
            // SAFETY: a map value, aligned, written by atomic additions alone.
            unsafe {
                add_u64(&raw mut (*totals).rest.count, count);
                add_u64(&raw mut (*totals).rest.ns, ns);
            }
        }
    }
}

/// Gives a head to another group.
#[inline(never)]
fn turn_out_head(head: &mut Head, group: u32, parity: u32) {
    let before = load(&head.of);
    store(&mut head.of, u64::from(group) + 1);
    if before == 0 {
        return;
    }
    let before = before as u32 - 1;
    if let Some(totals) = totals(before, parity) {
        // SAFETY: a map value, aligned, written by atomic additions alone.
        unsafe { add_u64(&raw mut (*totals).bytes, load(&head.bytes)) };
        for class in 0..Failure::ALL.len() {
            // SAFETY: the index is that of a class; as above.
            unsafe {
                let failed = head.failed.get_unchecked_mut(class);
                if *failed != 0 {
                    add_u64((&raw mut (*totals).failed).cast::<u64>().add(class), *failed);
                    *failed = 0;
                }
            }
        }
    }
    if load(&head.max_ns) != 0 {
        // SAFETY: no preconditions.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        let key = CellKey { of: extremes(before, cpu), half: CellKey::half(parity, table::EXTREMES) };
        match cells::own(&key) {
            Some(cell) => {
                cell.count = cell.count.max(load(&head.min_inverted));
                cell.ns = cell.ns.max(load(&head.max_ns));
            }
            None => loss::count(Loss::Cells),
        }
    }
    store(&mut head.min_inverted, 0);
    store(&mut head.max_ns, 0);
    store(&mut head.bytes, 0);
}

#[inline(always)]
fn totals(group: u32, parity: u32) -> Option<*mut Totals> {
    GROUP_TOTALS.get_ptr_mut(group << 1 | parity)
}

/// Counts a part of an operation in the matrix, under the operation's bucket and under its own.
#[inline(always)]
pub fn part(mut key: MatrixKey, parity: u32, ns: u64) {
    if !cells::has_room_for(&key.packed(parity), 1, ns) {
        if let Some(totals) = totals(key.group, parity) {
            // SAFETY: a map value, aligned, written by atomic additions alone.
            unsafe { add_u64(&raw mut (*totals).unsplit_ns, ns) };
        }
        loss::count(Loss::Cells);
        return;
    }
    key.bucket = hist::bucket(ns) | MatrixKey::PART;
    if !cells::has_room_for(&key.packed(parity), 1, ns) {
        loss::count(Loss::Cells);
    }
}

/// Counts time in which a task was stopped on its way back from an operation of a group.
#[inline(always)]
pub fn stopped(group: u32, ns: u64) {
    if let Some(parity) = epoch::parity()
        && let Some(totals) = totals(group, parity)
    {
        // SAFETY: a map value, aligned, written by atomic additions alone.
        unsafe { add_u64(&raw mut (*totals).stopped_ns, ns) };
    }
}
