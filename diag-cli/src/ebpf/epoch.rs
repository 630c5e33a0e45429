//! Epochs: which half of its maps an object writes, and when the other half is still.

use std::sync::atomic::{Ordering, fence};

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{Array, MapData},
};

use super::{clock, maps::take, quiesce::Quiesce};
use crate::output::record::Unavailable;

/// The epoch of an object; its parity says which half is written.
pub(crate) struct Epoch {
    map: Array<MapData, u32>,
    number: u32,
    quiesce: Quiesce,
}

impl Epoch {
    /// Takes the map out of an object. The first epoch is 0.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<Epoch> {
        Ok(Epoch { map: take(ebpf, "EPOCH")?, number: 0, quiesce: Quiesce::default() })
    }

    /// The half that is being written, 0 or 1.
    pub(crate) fn parity(&self) -> u32 {
        self.number & 1
    }

    /// Begins the next epoch, and returns when that was, ns on the clock of [`clock::now`]. The half of the last one is
    /// still being written: see [`Epoch::ended`].
    pub(crate) fn turn(&mut self) -> Result<u64> {
        self.number += 1;
        // A program that sees the new epoch also sees what was written for it before (docs/ordering.md).
        fence(Ordering::Release);
        self.map.set(0, self.number, 0)?;
        Ok(clock::now())
    }

    /// The half of the epoch before this one, once nobody writes it any more, or that cannot be waited for (see
    /// [`Epoch::unsettled`]).
    pub(crate) fn ended(&mut self) -> u32 {
        self.quiesce.wait();
        self.parity() ^ 1
    }

    /// Why numbers may contradict each other: a half was read that programs may still have written.
    pub(crate) fn unsettled(&self) -> Option<Unavailable> {
        let why = self.quiesce.why_not()?.to_owned();
        let effect = "counts were read while programs may still have written them".to_owned();
        Some(Unavailable { name: "quiesce".to_owned(), why, effect })
    }
}
