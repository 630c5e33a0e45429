//! What is counted by keys: who waited how long, for whom, and who ran.

use diag_common::{
    cells::number,
    runq::{CellKey, DELAY_BITS, Half, PAIR_BITS, RUN_BITS, Slot, kind},
};

use super::{cpu, culprits::BY_CPU};
use crate::{cells, epoch};

/// Counts a wait of `who`.
#[inline(always)]
pub fn delay(half: &mut Half, who: u32, bucket: u32, ns: u64) {
    let of = u64::from(who) | u64::from(bucket) << 32;
    // SAFETY: the number is below the table's length.
    let slot = unsafe { half.delays.get_unchecked_mut(number(of, DELAY_BITS)) };
    if slot.of != of {
        turn_out(slot, of, kind::DELAY);
    }
    slot.cell.count += 1;
    slot.cell.ns += ns;
}

/// Counts time that `waiter` waited for `runner`.
#[inline(always)]
pub fn pair(half: &mut Half, waiter: u32, runner: u32, ns: u64) {
    let of = u64::from(waiter) | u64::from(runner) << 32;
    // SAFETY: as above.
    let slot = unsafe { half.pairs.get_unchecked_mut(number(of, PAIR_BITS)) };
    if slot.of != of {
        // A CPU's own table says which CPU it is; the shared hash has to be told.
        let here = if BY_CPU.load() != 0 { (cpu::number() + 1) << kind::CPU_SHIFT } else { 0 };
        turn_out(slot, of, kind::PAIR | here);
    }
    slot.cell.count += 1;
    slot.cell.ns += ns;
}

/// Counts time that `who` ran.
#[inline(always)]
pub fn run(half: &mut Half, who: u32, ns: u64) {
    let of = u64::from(who);
    // SAFETY: as above.
    let slot = unsafe { half.runs.get_unchecked_mut(number(of, RUN_BITS)) };
    if slot.of != of {
        turn_out(slot, of, kind::RUN);
    }
    slot.cell.count += 1;
    slot.cell.ns += ns;
}

/// Counts time that a quota held `who`.
#[inline(never)]
pub fn throttled(who: u32, ns: u64) {
    if let Some(parity) = epoch::parity() {
        cells::add(CellKey { of: u64::from(who), half: CellKey::half(parity, kind::THROTTLED) }, 1, ns);
    }
}

#[inline(never)]
fn turn_out(slot: &mut Slot, of: u64, kind: u32) {
    if let Some(parity) = epoch::parity() {
        cells::turn_out(slot, of, CellKey::half(parity, kind));
    }
}
