//! Reading what the kernel side counted.

use std::collections::{BTreeMap, HashMap as StdHashMap, HashSet};

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use diag_common::{
    contention::Kind,
    lock::{Cell, CellKey, Cpu, Family, LINES, Line, class},
};

use crate::{
    ebpf::{epoch::Epoch, hash::Hash, maps::take},
    output::record::Unavailable,
};

/// A lock, and the side of it that is waited for. The address is 0 for all those of the kind that found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LockKey {
    /// Its address.
    pub(crate) address: u64,
    /// Its kind.
    pub(crate) kind: Kind,
}

/// What is known of the waits for one lock, or for several together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits {
    /// What the address says, a [`class`].
    pub(crate) class: u8,
    /// By length, a bucket of [`diag_common::hist`].
    pub(crate) bins: BTreeMap<u32, Cell>,
    /// By the number of the waiter's stack; of some waits none was taken.
    pub(crate) callers: StdHashMap<u32, Cell>,
    /// By the number of the waiter.
    pub(crate) waiters: StdHashMap<u32, Cell>,
    /// By the number of the owner, 0 for none, and what it was doing.
    pub(crate) owners: StdHashMap<(u32, u8), Cell>,
}

impl Waits {
    /// All of them.
    pub(crate) fn total(&self) -> Cell {
        let mut total = Cell::default();
        self.bins.values().for_each(|bin| total.add(bin));
        total
    }

    /// Adds others.
    pub(crate) fn merge(&mut self, other: &Waits) {
        if self.class == class::NONE {
            self.class = other.class;
        }
        other.bins.iter().for_each(|(&bucket, cell)| self.bins.entry(bucket).or_default().add(cell));
        for (mine, theirs) in [(&mut self.callers, &other.callers), (&mut self.waiters, &other.waiters)] {
            theirs.iter().for_each(|(&number, cell)| mine.entry(number).or_default().add(cell));
        }
        other.owners.iter().for_each(|(&owner, cell)| self.owners.entry(owner).or_default().add(cell));
    }

    fn add(&mut self, key: &CellKey, cell: &Cell) {
        let mine = match key.family {
            family if family == Family::Wait as u8 => {
                if key.extra != class::NONE {
                    self.class = key.extra;
                }
                self.bins.entry(key.item).or_default()
            }
            family if family == Family::Caller as u8 => self.callers.entry(key.item).or_default(),
            family if family == Family::Waiter as u8 => self.waiters.entry(key.item).or_default(),
            _ => self.owners.entry((key.item, key.extra)).or_default(),
        };
        mine.add(cell);
    }
}

/// Locks that are kept one by one over a session; of more of them, the least waited for become one.
const MOST_LOCKS: usize = 8192;

/// What the kernel side counted in one epoch, or in several.
#[derive(Clone, Default)]
pub(crate) struct Harvest {
    /// By lock.
    pub(crate) locks: StdHashMap<LockKey, Waits>,
}

impl Harvest {
    /// Adds a later epoch.
    pub(crate) fn add(&mut self, epoch: &Harvest) {
        for (key, waits) in &epoch.locks {
            self.locks.entry(*key).or_default().merge(waits);
        }
        if self.locks.len() > MOST_LOCKS {
            self.shrink(MOST_LOCKS / 2);
        }
    }

    /// Keeps so many locks, and makes one of the others of a kind.
    fn shrink(&mut self, keep: usize) {
        let mut keys: Vec<(u64, LockKey)> =
            self.locks.iter().map(|(&key, waits)| (waits.total().ns, key)).collect();
        keys.sort_unstable_by_key(|&(ns, key)| (std::cmp::Reverse(ns), key));
        for (_, key) in keys.drain(..).skip(keep).filter(|(_, key)| key.address != 0) {
            if let Some(waits) = self.locks.remove(&key) {
                self.locks.entry(LockKey { address: 0, ..key }).or_default().merge(&waits);
            }
        }
    }

    fn count(&mut self, key: &CellKey, cell: &Cell) {
        if let Some(kind) = Kind::from_number(key.kind) {
            self.locks.entry(LockKey { address: key.lock, kind }).or_default().add(key, cell);
        }
    }
}

/// The maps of a loaded object.
pub(crate) struct Collector {
    epoch: Epoch,
    number: u32,
    lines: PerCpuArray<MapData, Line>,
    cells: Hash<CellKey, Cell>,
    rest: Hash<CellKey, Cell>,
    cpus: PerCpuArray<MapData, Cpu>,
}

impl Collector {
    /// Takes the maps out of `ebpf`.
    pub(crate) fn new(ebpf: &mut Ebpf) -> Result<Collector> {
        Ok(Collector {
            epoch: Epoch::of(ebpf)?,
            number: 0,
            lines: take(ebpf, "LOCK_LINES")?,
            cells: Hash::take(ebpf, "LOCK_CELLS")?,
            rest: Hash::take(ebpf, "LOCK_REST")?,
            cpus: take(ebpf, "LOCK_CPUS")?,
        })
    }

    /// Why counts may have been read while programs still wrote them.
    pub(crate) fn unsettled(&self) -> Option<Unavailable> {
        self.epoch.unsettled()
    }

    /// Ends the epoch, and returns when that was.
    pub(crate) fn turn(&mut self) -> Result<u64> {
        self.epoch.turn()
    }

    /// Takes everything that was counted in the epoch that ended, and leaves its half of the maps clear.
    pub(crate) fn harvest(&mut self) -> Result<Harvest> {
        let parity = self.epoch.ended();
        let mut harvest = Harvest::default();
        // A line says itself of which epoch it is, so that none has to be cleared.
        for index in parity * LINES..(parity + 1) * LINES {
            for line in self.lines.get(&index, 0)?.iter() {
                if line.epoch == self.number && !line.cell.is_empty() {
                    harvest.count(&line.key, &line.cell);
                }
            }
        }
        self.number += 1;
        for map in [&mut self.cells, &mut self.rest] {
            for (key, cell) in map.take_out(|key| u32::from(key.parity) == parity)? {
                harvest.count(&key, &cell);
            }
        }
        Ok(harvest)
    }

    /// The addresses of the CPUs' run queues, as far as they have been seen.
    pub(crate) fn run_queues(&self) -> HashSet<u64> {
        let cpus = self.cpus.get(&0, 0).ok();
        let queues = cpus.iter().flat_map(|cpus| cpus.iter().map(|cpu| cpu.rq));
        queues.filter(|&queue| queue != 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(ns: u64) -> Cell {
        Cell { ns, waits: 1, max_ns: ns, min_inverted: !ns, ..Cell::default() }
    }

    fn key(lock: u64, family: Family, item: u32, extra: u8) -> CellKey {
        CellKey { lock, item, kind: Kind::Mutex as u8, family: family as u8, extra, parity: 0 }
    }

    #[test]
    fn cells_find_their_lock_and_family() {
        let mut harvest = Harvest::default();
        for (family, item, extra) in
            [(Family::Wait, 9, 0), (Family::Wait, 9, 1), (Family::Caller, 7, 0), (Family::Owner, 0, 0x80)]
        {
            harvest.count(&key(1, family, item, extra), &cell(5));
        }
        let waits = &harvest.locks[&LockKey { address: 1, kind: Kind::Mutex }];
        assert_eq!((waits.class, waits.bins[&9].waits, waits.callers[&7].ns), (1, 2, 5));
        assert_eq!((waits.owners[&(0, 0x80)].waits, waits.total().ns), (1, 10));
    }

    #[test]
    fn of_too_many_locks_the_least_become_one() {
        let mut harvest = Harvest::default();
        for lock in 1..=10 {
            harvest.count(&key(lock, Family::Wait, 9, 0), &cell(lock));
        }
        harvest.shrink(3);
        assert_eq!(harvest.locks.len(), 4);
        assert_eq!(harvest.locks[&LockKey { address: 0, kind: Kind::Mutex }].total().ns, 28);
    }
}
