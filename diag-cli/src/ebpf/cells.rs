//! Cells that all CPUs share: those of the epoch that ended are read, and removed.

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use diag_common::cells::{Cell, CellKey};

use super::{hash::Hash, maps::take, who};

/// Cells of an epoch from which on they are to be read ahead of time; there is room for four times as many at least, and a session
/// looks every 50 ms.
const CROWDED: u64 = 16_384;

/// The hash's name.
const TABLE: &str = "SHARED_CELLS";
/// There is room for so many cells for each thread that there is when a session begins, where each can be a group: of both halves,
/// what it is in, that it is there, and what it was in before. And for so many at least, and at most.
const EACH_THREAD: usize = 16;
const ROOM: [usize; 2] = [131_072, 1 << 20];

/// Where the kernel side learns how much room there is, if it asks.
const LIMITS: &str = "SHARED_CELLS_ROOM";

/// The hash, and how many entries it should have on this machine where each process or thread can be a group.
pub(crate) fn room_for_threads() -> Result<(&'static str, u32)> {
    let [least, most] = ROOM;
    Ok((TABLE, u32::try_from((EACH_THREAD * who::threads()?).clamp(least, most))?))
}

/// The hash of an object.
pub(crate) struct Cells {
    map: Hash<CellKey, Cell>,
    /// Cells that were ever made, by parity, and how many had been when they were last read.
    made: Array<MapData, u64>,
    before: [u64; 2],
    /// Up to how many of each parity may be made before new ones go to the rest, for a tool that has one.
    room: Option<Array<MapData, u64>>,
    /// How many that is in each epoch.
    of_epoch: u64,
}

impl Cells {
    /// Takes the maps out of an object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<Cells> {
        let map = Hash::take(ebpf, TABLE)?;
        let room = ebpf.map(LIMITS).is_some().then(|| take(ebpf, LIMITS)).transpose()?;
        // A half has a half of the room, and a quarter of that is for what has to be counted: the ends of what has begun.
        let of_epoch = u64::from(map.room()) / 2 / 4 * 3;
        let made = take(ebpf, "SHARED_CELLS_MADE")?;
        let mut cells = Cells { map, made, before: [0; 2], room, of_epoch };
        [0, 1].into_iter().try_for_each(|parity| cells.make_room(parity))?;
        Ok(cells)
    }

    fn make_room(&mut self, parity: u32) -> Result<()> {
        let limit = self.before[parity as usize] + self.of_epoch;
        Ok(self.room.as_mut().map_or(Ok(()), |room| room.set(parity, limit, 0))?)
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
        self.make_room(parity)
    }
}
