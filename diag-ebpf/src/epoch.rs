//! Which half of the maps is written: what is counted is kept twice, and the user side reads the half at rest.

use aya_ebpf::{macros::map, maps::Array};

/// The user side writes it; the parity counts.
#[map]
static EPOCH: Array<u32> = Array::with_max_entries(1, 0);

/// The epoch's number.
#[inline(always)]
pub fn number() -> Option<u32> {
    EPOCH.get(0).copied()
}

/// The half to write, 0 or 1.
#[inline(always)]
pub fn parity() -> Option<u32> {
    Some(number()? & 1)
}
