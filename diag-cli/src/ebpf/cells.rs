//! Cells that all CPUs share: those of the epoch that ended are read, and removed.

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use diag_common::cells::{Cell, CellKey};

use super::{hash::Hash, maps::take};

/// Cells of an epoch from which on they are to be read ahead of time; there is room for four times as many, and a session looks
/// every 50 ms.
const CROWDED: u64 = 16_384;

/// The hash of an object.
pub(crate) struct Cells {
    map: Hash<CellKey, Cell>,
    /// Cells that were ever made, by parity, and how many had been when they were last read.
    made: Array<MapData, u64>,
    before: [u64; 2],
}

impl Cells {
    /// Takes the maps out of an object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<Cells> {
        let map = Hash::take(ebpf, "SHARED_CELLS")?;
        Ok(Cells { map, made: take(ebpf, "SHARED_CELLS_MADE")?, before: [0; 2] })
    }

    /// Whether the hash fills with cells of the half that is written.
    pub(crate) fn is_crowded(&self, parity: u32) -> Result<bool> {
        let made = self.made.get(&parity, 0)?.saturating_sub(self.before[parity as usize]);
        Ok(made >= CROWDED)
    }

    /// Takes those of the half at rest out, each with its table and what it counts.
    pub(crate) fn take(&mut self, parity: u32, mut add: impl FnMut(u32, u64, Cell)) -> Result<()> {
        self.before[parity as usize] = self.made.get(&parity, 0)?;
        for (key, cell) in self.map.take_out(|key| key.parity() == parity)? {
            add(key.table(), key.of, cell);
        }
        Ok(())
    }
}
