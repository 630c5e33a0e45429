//! Reading what the kernel side counted.

use std::{
    collections::{BTreeMap, HashMap as StdHashMap},
    time::{Duration, Instant},
};

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{Array, MapData, RingBuf},
};
use diag_common::{
    cause::Cause,
    hist,
    iolat::{Cell, Event, Failure, GroupKey, Half, Head, MatrixKey, SWAPS_KNOWN, Totals, of_bin, table},
    threshold::Threshold,
};

use crate::{
    ebpf::{cells::Cells, epoch::Epoch, hash::Hash, maps::take},
    kernel::cpus,
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
    /// The latency histogram, by [`hist::bucket`], without empty ones.
    pub(crate) bins: BTreeMap<u32, Cell>,
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
            bins: BTreeMap::new(),
            cells: StdHashMap::new(),
            parts: StdHashMap::new(),
        }
    }
}

impl Group {
    fn add_bin(&mut self, bucket: u32, more: Cell) {
        *self.bins.entry(bucket).or_default() += more;
    }

    fn add_extremes(&mut self, min_inverted: u64, max_ns: u64) {
        if max_ns != 0 {
            self.min_ns = self.min_ns.min(!min_inverted);
            self.max_ns = self.max_ns.max(max_ns);
        }
    }

    fn add_head(&mut self, head: &Head) {
        self.bytes += head.bytes;
        self.add_failed(&head.failed);
        self.add_extremes(head.min_inverted, head.max_ns);
    }

    fn add_totals(&mut self, totals: &Totals) {
        self.bytes += totals.bytes;
        self.unsplit_ns += totals.unsplit_ns;
        self.stopped_ns += totals.stopped_ns;
        self.add_failed(&totals.failed);
        // What found no room is as long as it was in the mean.
        if let Some(mean) = totals.rest.ns.checked_div(totals.rest.count) {
            self.add_bin(hist::bucket(mean), totals.rest);
        }
    }

    fn add_failed(&mut self, more: &[u64; Failure::ALL.len()]) {
        self.failed.iter_mut().zip(more).for_each(|(failed, more)| *failed += more);
    }

    /// Extremes that found no room are as far as the histogram's buckets reach.
    fn mend_extremes(&mut self) {
        if let (Some((&first, _)), Some((&last, _))) =
            (self.bins.first_key_value(), self.bins.last_key_value())
        {
            if self.min_ns > hist::highest(first) {
                self.min_ns = hist::lowest(first);
            }
            if self.max_ns < hist::lowest(last) {
                self.max_ns = hist::highest(last);
            }
        }
    }

    /// Whether the kernel side says of any wait that a limit of a cgroup may have held its bio back.
    pub(crate) fn was_held_back(&self) -> bool {
        self.cells.keys().any(|(_, wait)| wait.cause == Cause::BlockThrottle as u8)
    }

    /// Adds another interval's share of the same group.
    pub(crate) fn merge(&mut self, other: &Group) {
        self.bytes += other.bytes;
        self.unsplit_ns += other.unsplit_ns;
        self.stopped_ns += other.stopped_ns;
        self.add_failed(&other.failed);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        other.bins.iter().for_each(|(&bucket, &more)| self.add_bin(bucket, more));
        for (mine, theirs) in [(&mut self.cells, &other.cells), (&mut self.parts, &other.parts)] {
            for (key, more) in theirs {
                *mine.entry(*key).or_default() += *more;
            }
        }
    }
}

/// What the kernel side counted in one epoch, or in several.
#[derive(Default)]
pub(crate) struct Harvest {
    /// By operation, device and file system.
    pub(crate) groups: StdHashMap<GroupKey, Group>,
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
    cpu_numbers: u32,
    numbers: Hash<GroupKey, u32>,
    halves: Array<MapData, Half>,
    totals: Array<MapData, Totals>,
    cells: Cells,
    events: RingBuf<MapData>,
    swaps: Array<MapData, [u32; SWAPS_KNOWN]>,
    swaps_seen: Instant,
    wanted: u32,
    pending: Vec<Event>,
    /// What was read ahead of time, so that no table overflows.
    early: Harvest,
}

impl Collector {
    /// Takes the maps out of `ebpf`. `wanted` slow operations are kept of each epoch.
    pub(crate) fn new(ebpf: &mut Ebpf, wanted: u32) -> Result<Collector> {
        let mut thresholds = take::<Array<_, Threshold>>(ebpf, "THRESHOLDS")?;
        thresholds.set(0, Threshold::fresh(wanted, 0), 0)?;
        Ok(Collector {
            epoch: Epoch::of(ebpf)?,
            thresholds,
            cpu_numbers: cpus::numbers()?,
            numbers: Hash::take(ebpf, "GROUP_NUMBERS")?,
            halves: take(ebpf, "OPERATION_HALVES")?,
            totals: take(ebpf, "GROUP_TOTALS")?,
            cells: Cells::of(ebpf)?,
            events: take(ebpf, "EVENTS")?,
            swaps: swaps(ebpf)?,
            swaps_seen: Instant::now(),
            wanted,
            pending: Vec::new(),
            early: Harvest::default(),
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
                let kept = &mut kept[usize::from(event.parity) & 1];
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

    /// Reads ahead of time where the cells fill that all CPUs share.
    pub(crate) fn read_when_crowded(&mut self) -> Result<()> {
        if self.cells.is_crowded(self.epoch.parity())? {
            self.turn()?;
            let harvest = self.read()?;
            self.early.add(&harvest, self.wanted as usize);
        }
        Ok(())
    }

    /// Takes everything that was counted up to the last turn, and leaves that half of the maps clear.
    pub(crate) fn harvest(&mut self) -> Result<Harvest> {
        let harvest = self.read()?;
        self.early.add(&harvest, self.wanted as usize);
        Ok(std::mem::take(&mut self.early))
    }

    /// Reads the epoch that ended.
    fn read(&mut self) -> Result<Harvest> {
        let parity = self.epoch.ended();
        self.drain();
        let (events, later) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|event: &Event| u32::from(event.parity) == parity);
        self.pending = later;
        let mut groups: StdHashMap<u32, Group> = StdHashMap::new();
        for cpu in 0..self.cpu_numbers {
            let index = cpu << 1 | parity;
            let half = self.halves.get(&index, 0)?;
            let heads = || half.heads.iter().filter(|head| head.of != 0);
            // Whatever a CPU counts has a head, or had one before another group's.
            if heads().next().is_none() {
                continue;
            }
            for head in heads() {
                groups.entry(head.of as u32 - 1).or_default().add_head(head);
            }
            for slot in half.bins.iter().filter(|slot| slot.of != 0) {
                let (group, bucket) = of_bin(slot.of);
                groups.entry(group).or_default().add_bin(bucket, slot.cell);
            }
            self.halves.set(index, Half::CLEAR, 0)?;
        }
        self.cells.take(parity, |table, of, cell| add_cell(&mut groups, table, of, cell))?;
        let mut harvest = Harvest { events, ..Harvest::default() };
        for (key, number) in self.numbers.entries()? {
            let index = number << 1 | parity;
            let totals = self.totals.get(&index, 0)?;
            let mut group = groups.remove(&number);
            if !totals.is_clear() {
                group.get_or_insert_default().add_totals(&totals);
                self.totals.set(index, Totals::CLEAR, 0)?;
            }
            if let Some(mut group) = group {
                group.mend_extremes();
                harvest.groups.insert(key, group);
            }
        }
        Ok(harvest)
    }
}

/// Adds a cell of the shared hash to its group.
fn add_cell(groups: &mut StdHashMap<u32, Group>, table: u32, of: u64, cell: Cell) {
    match table & ((1 << table::BITS) - 1) {
        table::BINS => {
            let (group, bucket) = of_bin(of);
            groups.entry(group).or_default().add_bin(bucket, cell);
        }
        table::EXTREMES => groups.entry(of as u32).or_default().add_extremes(cell.count, cell.ns),
        _ => {
            let key = MatrixKey::unpacked(table, of);
            let wait = Wait { cause: key.cause, via: key.via, flags: key.flags, stack: key.stack };
            let group = groups.entry(key.group).or_default();
            let cells = if key.bucket & MatrixKey::PART == 0 { &mut group.cells } else { &mut group.parts };
            cells.insert((key.bucket & !MatrixKey::PART, wait), cell);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_found_no_room_is_at_its_mean() {
        let mut group = Group::default();
        group.add_totals(&Totals { rest: Cell { count: 4, ns: 4_000_000 }, ..Totals::CLEAR });
        group.mend_extremes();
        let bucket = hist::bucket(1_000_000);
        assert_eq!(group.bins, BTreeMap::from([(bucket, Cell { count: 4, ns: 4_000_000 })]));
        assert_eq!((group.min_ns, group.max_ns), (hist::lowest(bucket), hist::highest(bucket)));
    }

    #[test]
    fn extremes_that_are_known_stay() {
        let mut group = Group::default();
        group.add_bin(hist::bucket(1_001), Cell { count: 1, ns: 1_001 });
        group.add_bin(hist::bucket(70_001), Cell { count: 1, ns: 70_001 });
        group.add_extremes(!1_001, 1_001);
        group.add_extremes(!70_001, 70_001);
        group.mend_extremes();
        assert_eq!((group.min_ns, group.max_ns), (1_001, 70_001));
    }

    #[test]
    fn cells_find_their_groups() {
        let mut groups = StdHashMap::new();
        let cell = Cell { count: 2, ns: 20 };
        let key = MatrixKey { group: 9, bucket: 7, cause: 3, via: 4, flags: 2, stack: 5 };
        for bucket in [7, 8 | MatrixKey::PART] {
            let packed = MatrixKey { bucket, ..key }.packed(1);
            add_cell(&mut groups, packed.table(), packed.of, cell);
        }
        add_cell(&mut groups, table::BINS, diag_common::iolat::bin(9, 7), cell);
        add_cell(
            &mut groups,
            table::EXTREMES,
            diag_common::iolat::extremes(9, 383),
            Cell { count: !8, ns: 12 },
        );
        let group = &groups[&9];
        let wait = Wait { cause: 3, via: 4, flags: 2, stack: 5 };
        assert_eq!((group.cells[&(7, wait)], group.parts[&(8, wait)], group.bins[&7]), (cell, cell, cell));
        assert_eq!((groups.len(), group.min_ns, group.max_ns), (1, 8, 12));
    }
}
