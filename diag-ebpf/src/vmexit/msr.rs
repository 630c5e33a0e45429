//! Model-specific registers and performance counters.

use diag_common::vmexit::{Kind, NOT_BY_MSR};

use super::{cells, ipi, who};
use crate::{
    arch::{self, Write},
    level,
    side::Side,
};

/// `write_msr`
#[inline(always)]
pub fn write<S: Side>(msr: u64, value: u64) {
    let msr = msr as u32;
    let write = arch::write(msr);
    if write == Write::Command {
        ipi::command::<S>(msr, value);
        return;
    }
    let level = level::of::<S>(S::current());
    if write == Write::ToSelf {
        ipi::to_self(level);
    }
    count_at::<S>(level, Kind::MsrWrite, msr);
}

/// Counts an access to a register or counter.
#[inline(always)]
pub fn count<S: Side>(kind: Kind, number: u32) {
    count_at::<S>(level::of::<S>(S::current()), kind, number);
}

#[inline(always)]
fn count_at<S: Side>(level: u32, kind: Kind, number: u32) {
    if let Some(who) = who::current::<S>(level) {
        cells::count(cells::key(kind, number as u64, &who, NOT_BY_MSR));
    }
}
