//! Reading what the kernel side counted.

use std::{
    collections::HashMap,
    io::Read as _,
    mem::MaybeUninit,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::maps::{Array, MapData, RingBuf};
use diag_common::{
    delays::{Cell, Half, LONG_NS, SampleKey, Slot, Thread, WANTED, Wait, table, what},
    hist,
    threshold::Threshold,
};

use super::{
    account::Totals,
    args::By,
    attach::{OPEN_WAITS, THREADS, group_by},
    classify::Classifier,
    counted::{self, Counted},
    disks,
    harvest::Harvest,
    place,
    split::Splitter,
};
use crate::{
    ebpf::{
        cells::Cells,
        clock,
        epoch::Epoch,
        hash::Hash,
        maps::take,
        object::{Hooks, Object},
        stacks::Stacks,
        who::People,
    },
    kernel::cpus,
    output::record::Unavailable,
};

/// How long an epoch lasts at most: then its half is read.
const LONGEST_EPOCH: Duration = Duration::from_secs(2);
/// What the kernel takes for the state of a thread: a `bpf_local_storage_elem` with it, in the next size that there is, and a
/// `bpf_local_storage` (include/linux/bpf_local_storage.h, 6.18).
const STORAGE_BYTES: u64 = ((72 + size_of::<Thread>()).next_multiple_of(64) + 192) as u64;
/// The element of [`Collector::boundaries`] that has the session's beginning.
const SESSION: u32 = 2;

/// The maps of a loaded object.
pub(super) struct Collector {
    /// Kept, since programs that use it are loaded later.
    _places: Array<MapData, u32>,
    epoch: Epoch,
    boundaries: Array<MapData, u64>,
    halves: Array<MapData, Half>,
    cells: Cells,
    samples: Hash<SampleKey, Cell>,
    thresholds: Array<MapData, Threshold>,
    longest: RingBuf<MapData>,
    cpu_numbers: u32,
    hooks: Hooks,
    /// When the epoch that runs began, and the one before it, ns.
    began: u64,
    ended_began: u64,
    turned: Instant,
    totals: Totals,
    splitter: Splitter,
    /// Waits that had ended, and those that went on, since the last reading.
    ended: Vec<Wait>,
    open: Vec<Wait>,
    /// Whether the threads that were there have been counted.
    stocked: bool,
    /// What was read ahead of time; and of it what came before the groups that there were then were forgotten.
    early: Option<Counted>,
    folded: Option<Harvest>,
}

impl Collector {
    /// Takes the maps out of `ebpf`.
    pub(super) fn new(object: &mut Object, by: By) -> Result<Collector> {
        let hooks = object.hooks;
        let ebpf = &mut object.ebpf;
        let mut places: Array<MapData, u32> = take(ebpf, "PLACES")?;
        for (number, cause) in place::causes() {
            places.set(number, cause as u32 + 1, 0)?;
        }
        let mut collector = Collector {
            _places: places,
            epoch: Epoch::of(ebpf)?,
            boundaries: take(ebpf, "BOUNDARIES")?,
            halves: take(ebpf, "ACCOUNT_HALVES")?,
            cells: Cells::of(ebpf)?,
            samples: Hash::take(ebpf, "SAMPLES")?,
            thresholds: take(ebpf, "LONGEST_THRESHOLDS")?,
            longest: take(ebpf, "LONGEST_WAITS")?,
            cpu_numbers: cpus::numbers()?,
            hooks,
            began: 0,
            ended_began: 0,
            turned: Instant::now(),
            totals: Totals::default(),
            splitter: Splitter::new(
                group_by(by),
                Classifier::new(Stacks::of(ebpf)?),
                People::of(ebpf)?,
                take(ebpf, "STARTS")?,
            ),
            ended: Vec::new(),
            open: Vec::new(),
            stocked: false,
            early: None,
            folded: None,
        };
        collector.lay_threshold(0)?;
        Ok(collector)
    }

    /// Begins to count the threads that are there; later, looks at waits that go on.
    pub(super) fn take_stock(&mut self, object: &mut Object) -> Result<()> {
        let name = if self.stocked { OPEN_WAITS } else { THREADS };
        let mut bytes = Vec::new();
        object.iterate(name)?.read_to_end(&mut bytes).context("cannot read what the task iterator says")?;
        self.stocked = true;
        self.open = bytes.chunks_exact(size_of::<Wait>()).map(wait).collect();
        Ok(())
    }

    /// Reads ahead of time, so that no table overflows.
    pub(super) fn poll(&mut self) -> Result<()> {
        self.drain();
        let is_due = self.turned.elapsed() >= LONGEST_EPOCH
            || self.cells.is_crowded(self.epoch.parity())?
            || self.splitter.is_crowded()?;
        if self.began == 0 || !is_due {
            return Ok(());
        }
        self.turn()?;
        self.read_ahead(false)
    }

    /// Ends the epoch, and returns when that was.
    pub(super) fn turn(&mut self) -> Result<u64> {
        let end = clock::now();
        let next = self.epoch.parity() ^ 1;
        self.lay_threshold(next)?;
        self.boundaries.set(next, end, 0)?;
        if self.began == 0 {
            self.boundaries.set(SESSION, end, 0)?;
        }
        self.epoch.turn()?;
        self.ended_began = std::mem::replace(&mut self.began, end);
        self.turned = Instant::now();
        Ok(end)
    }

    /// Takes everything that was counted up to the last turn.
    pub(super) fn harvest(&mut self) -> Result<Harvest> {
        self.drain();
        self.read_ahead(true)?;
        self.fold()?;
        Ok(self.folded.take().expect("it was read"))
    }

    fn read_ahead(&mut self, with_open: bool) -> Result<()> {
        let more = self.read(with_open)?;
        match &mut self.early {
            None => self.early = Some(more),
            Some(early) => early.add(more),
        }
        if self.splitter.is_crowded()? {
            self.fold()?;
        }
        Ok(())
    }

    /// Names and explains what was read ahead of time, and lets go of numbers that nothing is counted under any more.
    fn fold(&mut self) -> Result<()> {
        let Some(counted) = self.early.take() else { return Ok(()) };
        let more = self.splitter.split(&counted);
        match &mut self.folded {
            None => self.folded = Some(more),
            Some(folded) => folded.append(&more),
        }
        self.splitter.release(&self.totals)
    }

    /// What the state of threads takes where each has its own, which the map's account lacks, bytes.
    pub(super) fn storage_bytes(&self) -> u64 {
        match self.hooks {
            Hooks::Btf => self.totals.threads() * STORAGE_BYTES,
            Hooks::Raw => 0,
        }
    }

    /// Why counts may have been read while programs still wrote them, or stacks have no names.
    pub(super) fn unavailable(&self) -> impl Iterator<Item = Unavailable> {
        self.epoch.unsettled().into_iter().chain(self.splitter.unavailable())
    }

    fn lay_threshold(&mut self, parity: u32) -> Result<()> {
        let fresh = Threshold::fresh(WANTED, hist::bucket(LONG_NS));
        Ok(self.thresholds.set(parity, fresh, 0)?)
    }

    fn drain(&mut self) {
        while let Some(bytes) = self.longest.next() {
            self.ended.push(wait(&bytes));
        }
    }

    /// Reads the epoch that ended.
    fn read(&mut self, with_open: bool) -> Result<Counted> {
        let parity = self.epoch.ended();
        let mut tables: [HashMap<u64, Cell>; table::COUNT] = Default::default();
        let mut add = |table: u32, of: u64, more: Cell| {
            if let Some(table) = tables.get_mut(table as usize) {
                counted::add(table, of, more);
            }
        };
        for number in 0..self.cpu_numbers {
            let index = number << 1 | parity;
            let half = self.halves.get(&index, 0)?;
            let used = |slot: &&Slot| slot.of != 0;
            let (slots, pairs) = (half.slots.iter().filter(used), half.pairs.iter().filter(used));
            if slots.clone().chain(pairs.clone()).next().is_some() {
                slots.for_each(|slot| add(table::ACCOUNT, slot.of, slot.cell));
                pairs.for_each(|slot| add(table::CPU, slot.of, slot.cell));
                self.halves.set(index, Half::CLEAR, 0)?;
            }
        }
        self.cells.take(parity, add)?;
        let [cells, pairs, waited, served, locks] = tables;
        let mut samples = HashMap::new();
        for (key, cell) in self.samples.take_out(|key| key.flags & 1 == parity)? {
            counted::add(&mut samples, SampleKey { flags: key.flags & !1, ..key }, cell);
        }
        let stretch = self.totals.take(&cells, self.began);
        Ok(Counted {
            stretch,
            pairs,
            disks: disks::shared(&waited, &served),
            locks,
            waits: cells.into_iter().filter(|(of, _)| what::kind(*of as u32) >= what::WAITS).collect(),
            samples,
            ended: std::mem::take(&mut self.ended),
            open: if with_open { std::mem::take(&mut self.open) } else { Vec::new() },
            since: self.ended_began,
            until: self.began,
        })
    }
}

/// A wait as the kernel side sent it: without its frames, where it has ended.
fn wait(bytes: &[u8]) -> Wait {
    let mut wait = MaybeUninit::<Wait>::zeroed();
    let length = bytes.len().min(size_of::<Wait>());
    // SAFETY: that many bytes, into a value that is valid for all bytes.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), wait.as_mut_ptr().cast(), length);
        wait.assume_init()
    }
}
