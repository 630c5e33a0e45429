//! Reading what the kernel side counted.

use std::{
    collections::HashMap as StdHashMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, PerCpuArray, PerCpuValues, RingBuf},
};
use diag_common::{
    cause::Cause,
    hist,
    iolat::{Bin, Cell, CellKey, Event, Failure, SWAPS_KNOWN, Slot, SlotKey},
    threshold::Threshold,
};

use crate::{
    ebpf::{epoch::Epoch, hash::Hash, maps::take},
    output::record::Unavailable,
};

/// What tells a cell from the others of its group and bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wait {
    /// The cause's number; [`diag_common::iolat::CAUSE_STACK`] where only the stack tells.
    pub(crate) cause: u8,
    /// The number of what the waker was waiting for.
    pub(crate) via: u8,
    /// [`diag_common::iolat::STALLED`] and [`diag_common::iolat::CONTENDED`].
    pub(crate) flags: u32,
    /// The stack's number; 0 for none.
    pub(crate) stack: u32,
}

/// What is known of one group of operations.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Bytes moved.
    pub(crate) bytes: u64,
    /// Shortest and longest latency, ns.
    pub(crate) min_ns: u64,
    pub(crate) max_ns: u64,
    /// Waiting time whose cause found no room, ns.
    pub(crate) unsplit_ns: u64,
    /// Time in which tasks were stopped on their way back, ns.
    pub(crate) stopped_ns: u64,
    /// Calls that failed, by class.
    pub(crate) failed: [u64; Failure::ALL.len()],
    /// The latency histogram, by [`hist::bucket`].
    pub(crate) bins: Vec<Bin>,
    /// Time by latency bucket and wait.
    pub(crate) cells: StdHashMap<(u32, Wait), Cell>,
    /// The histogram of a wait's own part, by its bucket.
    pub(crate) parts: StdHashMap<(u32, Wait), Cell>,
}

impl Default for Group {
    fn default() -> Self {
        Group {
            bytes: 0,
            min_ns: u64::MAX,
            max_ns: 0,
            unsplit_ns: 0,
            stopped_ns: 0,
            failed: [0; Failure::ALL.len()],
            bins: vec![Bin::default(); hist::BUCKETS as usize],
            cells: StdHashMap::new(),
            parts: StdHashMap::new(),
        }
    }
}

impl Group {
    fn add_slot(&mut self, slot: &Slot) {
        self.bytes += slot.bytes;
        self.unsplit_ns += slot.unsplit_ns;
        self.stopped_ns += slot.stopped_ns;
        self.failed.iter_mut().zip(slot.failed).for_each(|(failed, more)| *failed += more);
        if slot.max_ns != 0 {
            self.min_ns = self.min_ns.min(!slot.min_inverted);
            self.max_ns = self.max_ns.max(slot.max_ns);
        }
        for (bin, more) in self.bins.iter_mut().zip(&slot.bins) {
            bin.count += more.count;
            bin.sum_ns += more.sum_ns;
        }
    }

    /// Whether the kernel side says of any wait that a limit of a cgroup may have held its bio back.
    pub(crate) fn was_held_back(&self) -> bool {
        self.cells.keys().any(|(_, wait)| wait.cause == Cause::BlockThrottle as u8)
    }

    /// Whether nothing of it was counted.
    fn is_empty(&self) -> bool {
        self.max_ns == 0 && self.stopped_ns == 0 && self.failed.iter().all(|&failed| failed == 0)
    }

    /// Adds another interval's share of the same group.
    pub(crate) fn merge(&mut self, other: &Group) {
        self.bytes += other.bytes;
        self.unsplit_ns += other.unsplit_ns;
        self.stopped_ns += other.stopped_ns;
        self.failed.iter_mut().zip(other.failed).for_each(|(failed, more)| *failed += more);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        for (bin, more) in self.bins.iter_mut().zip(&other.bins) {
            bin.count += more.count;
            bin.sum_ns += more.sum_ns;
        }
        for (mine, theirs) in [(&mut self.cells, &other.cells), (&mut self.parts, &other.parts)] {
            for (key, more) in theirs {
                let cell = mine.entry(*key).or_default();
                cell.ns += more.ns;
                cell.count += more.count;
            }
        }
    }
}

/// What the kernel side counted in one epoch, or in several.
#[derive(Default)]
pub(crate) struct Harvest {
    /// By operation, device and file system.
    pub(crate) groups: StdHashMap<SlotKey, Group>,
    /// Slow operations, in the order in which they ended.
    pub(crate) events: Vec<Event>,
}

impl Harvest {
    /// Adds a later epoch, and keeps its `wanted` slowest operations.
    pub(crate) fn add(&mut self, epoch: &Harvest, wanted: usize) {
        for (key, group) in &epoch.groups {
            self.groups.entry(*key).or_default().merge(group);
        }
        self.events.extend_from_slice(&epoch.events);
        self.events.sort_by_key(|event| std::cmp::Reverse(event.latency_ns));
        self.events.truncate(wanted);
    }
}

/// The maps of a loaded object.
pub(crate) struct Collector {
    epoch: Epoch,
    thresholds: Array<MapData, Threshold>,
    slot_numbers: HashMap<MapData, SlotKey, u32>,
    slots: PerCpuArray<MapData, Slot>,
    cells: Hash<CellKey, Cell>,
    events: RingBuf<MapData>,
    swaps: Array<MapData, [u32; SWAPS_KNOWN]>,
    swaps_seen: Instant,
    wanted: u32,
    pending: Vec<Event>,
}

impl Collector {
    /// Takes the maps out of `ebpf`. `wanted` slow operations are kept of each epoch.
    pub(crate) fn new(ebpf: &mut Ebpf, wanted: u32) -> Result<Collector> {
        let mut thresholds = take::<Array<_, Threshold>>(ebpf, "THRESHOLDS")?;
        thresholds.set(0, Threshold::fresh(wanted, 0), 0)?;
        Ok(Collector {
            epoch: Epoch::of(ebpf)?,
            thresholds,
            slot_numbers: take(ebpf, "SLOT_NUMBERS")?,
            slots: take(ebpf, "SLOTS")?,
            cells: Hash::take(ebpf, "CELLS")?,
            events: take(ebpf, "EVENTS")?,
            swaps: swaps(ebpf)?,
            swaps_seen: Instant::now(),
            wanted,
            pending: Vec::new(),
        })
    }

    /// Takes what is in the ring, so that it has room.
    pub(crate) fn drain(&mut self) {
        while let Some(item) = self.events.next() {
            self.pending.push(event(&item));
        }
        let wanted = self.wanted as usize;
        if self.pending.len() > 8 * (wanted + 8) {
            self.pending.sort_by_key(|event| std::cmp::Reverse(event.latency_ns));
            let mut kept = [0; 2];
            self.pending.retain(|event| {
                let kept = &mut kept[usize::from(event.slot) & 1];
                *kept += 1;
                *kept <= wanted
            });
        }
    }

    /// Tells the kernel side what memory is swapped out to by now. A disk that is not told of costs nothing but a cause, so errors are
    /// none of the session's.
    pub(crate) fn look_at_swaps(&mut self) {
        if self.swaps_seen.elapsed() >= SWAPS_AGAIN {
            self.swaps_seen = Instant::now();
            let _ = self.swaps.set(0, swapped_to(), 0);
        }
    }

    /// Why counts may have been read while programs still wrote them.
    pub(crate) fn unsettled(&self) -> Option<Unavailable> {
        self.epoch.unsettled()
    }

    /// Ends the epoch, and returns when that was.
    pub(crate) fn turn(&mut self) -> Result<u64> {
        self.thresholds.set(self.epoch.parity() ^ 1, Threshold::fresh(self.wanted, 0), 0)?;
        self.epoch.turn()
    }

    /// Takes everything that was counted in the epoch that ended, and leaves its half of the maps clear.
    pub(crate) fn harvest(&mut self) -> Result<Harvest> {
        let parity = self.epoch.ended();
        self.drain();

        let mut harvest = Harvest::default();
        let (now, later): (Vec<Event>, Vec<Event>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|event| u32::from(event.slot) & 1 == parity);
        harvest.events = now;
        self.pending = later;
        let keys: StdHashMap<u16, SlotKey> = self.slots_in_use()?;
        for (&number, key) in &keys {
            let index = u32::from(number) << 1 | parity;
            let mut group = Group::default();
            let per_cpu = self.slots.get(&index, 0)?;
            per_cpu.iter().for_each(|slot| group.add_slot(slot));
            if !group.is_empty() {
                let clear = vec![CLEAR; per_cpu.len()];
                self.slots.set(index, PerCpuValues::try_from(clear)?, 0)?;
                harvest.groups.insert(*key, group);
            }
        }
        self.harvest_cells(parity, &keys, &mut harvest)?;
        Ok(harvest)
    }

    fn slots_in_use(&self) -> Result<StdHashMap<u16, SlotKey>> {
        let entries = self.slot_numbers.iter().map(|entry| entry.map(|(key, number)| (number as u16, key)));
        entries.collect::<Result<_, _>>().context("cannot read the groups")
    }

    fn harvest_cells(
        &mut self,
        parity: u32,
        keys: &StdHashMap<u16, SlotKey>,
        harvest: &mut Harvest,
    ) -> Result<()> {
        for (key, cell) in self.cells.take_out(|key| u32::from(key.slot) & 1 == parity)? {
            let Some(group) = keys.get(&(key.slot >> 1)).and_then(|slot| harvest.groups.get_mut(slot)) else {
                continue;
            };
            let wait = Wait { cause: key.cause, via: key.via, flags: u32::from(key.flags), stack: key.stack };
            let (map, bucket) = if key.bucket & CellKey::PART == 0 {
                (&mut group.cells, key.bucket)
            } else {
                (&mut group.parts, key.bucket & !CellKey::PART)
            };
            map.insert((u32::from(bucket), wait), cell);
        }
        Ok(())
    }
}

/// How often it is looked what memory is swapped out to.
const SWAPS_AGAIN: Duration = Duration::from_secs(1);

fn swaps(ebpf: &mut Ebpf) -> Result<Array<MapData, [u32; SWAPS_KNOWN]>> {
    let mut swaps = take::<Array<_, _>>(ebpf, "SWAPS")?;
    swaps.set(0, swapped_to(), 0)?;
    Ok(swaps)
}

fn swapped_to() -> [u32; SWAPS_KNOWN] {
    let mut known = [0; SWAPS_KNOWN];
    known.iter_mut().zip(crate::kernel::swaps::devices()).for_each(|(place, device)| *place = device);
    known
}

const CLEAR: Slot = Slot {
    bytes: 0,
    min_inverted: 0,
    max_ns: 0,
    unsplit_ns: 0,
    stopped_ns: 0,
    failed: [0; Failure::ALL.len()],
    bins: [Bin { count: 0, sum_ns: 0 }; hist::BUCKETS as usize],
};

/// An event from its bytes, of which the path's unused ones were not sent.
fn event(bytes: &[u8]) -> Event {
    let mut event = std::mem::MaybeUninit::<Event>::zeroed();
    let length = bytes.len().min(size_of::<Event>());
    // SAFETY: any bytes are an event, and the lengths are bounded by both sides.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), event.as_mut_ptr().cast(), length);
        event.assume_init()
    }
}
