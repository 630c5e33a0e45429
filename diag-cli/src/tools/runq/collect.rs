//! Reading what the kernel side counted.

use std::{
    collections::{BTreeMap, HashMap as StdHashMap, HashSet},
    path::Path,
};

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};
use diag_common::{
    runq::{Cell, CellKey, Cpu, Half, Place, kind, who},
    who::Who,
};

use super::{
    args::By,
    clock::{TickClock, Ticks},
    group::{CpuCount, Group, Had, Harvest, Key, Names},
};
use crate::{
    ebpf::{clock, epoch::Epoch, maps::take},
    kernel::cpus,
    output::record::Unavailable,
};

/// Cells of an epoch from which on the kernel side's hash is read ahead of time; it has room for four times as many, and a
/// session looks every 50 ms.
const CROWDED_CELLS: u64 = 16_384;
/// Identities in the kernel side's table from which on those that are gone are removed; the table has room for four
/// times as many.
const CROWDED: usize = 8192;

/// The maps of a loaded object.
pub(crate) struct Collector {
    by: By,
    epoch: Epoch,
    /// When the epoch that runs began, ns.
    began: u64,
    /// When the one before it began, ns.
    ended_began: u64,
    cpu_numbers: u32,
    began_map: Array<MapData, u64>,
    cpus: Array<MapData, Cpu>,
    halves: Array<MapData, Half>,
    cells: HashMap<MapData, CellKey, Cell>,
    /// Cells that were ever made, by parity.
    made: Array<MapData, u64>,
    /// How many had been when the half of each parity was last read.
    made_before: [u64; 2],
    identities: HashMap<MapData, Who, u32>,
    names: Names,
    /// Identities that are out of the kernel side's table, whose numbers may still come in.
    retired: HashSet<u32>,
    ticks: TickClock,
    /// What was read ahead of time, so that no table overflows.
    early: Harvest,
}

impl Collector {
    /// Takes the maps out of `ebpf`.
    pub(crate) fn new(ebpf: &mut Ebpf, by: By) -> Result<Collector> {
        Ok(Collector {
            by,
            epoch: Epoch::of(ebpf)?,
            began: 0,
            ended_began: 0,
            cpu_numbers: cpus::numbers()?,
            began_map: take(ebpf, "BEGAN")?,
            cpus: take(ebpf, "CPUS")?,
            halves: take(ebpf, "HALVES")?,
            cells: take(ebpf, "SHARED")?,
            made: take(ebpf, "MADE")?,
            made_before: [0; 2],
            identities: take(ebpf, "WHO")?,
            names: Names::default(),
            retired: HashSet::new(),
            ticks: TickClock::now(),
            early: Harvest::default(),
        })
    }

    /// Reads ahead of time where the kernel side's hash fills.
    pub(crate) fn read_when_crowded(&mut self) -> Result<()> {
        let parity = self.epoch.parity();
        let made = self.made.get(&parity, 0)?.saturating_sub(self.made_before[parity as usize]);
        if made < CROWDED_CELLS {
            return Ok(());
        }
        self.turn()?;
        let harvest = self.read()?;
        self.early.add(&harvest);
        Ok(())
    }

    /// Why counts may have been read while programs still wrote them.
    pub(crate) fn unsettled(&self) -> Option<Unavailable> {
        self.epoch.unsettled()
    }

    /// Ends the epoch, and returns when that was: the kernel side divides runs at that moment.
    pub(crate) fn turn(&mut self) -> Result<u64> {
        let end = clock::now();
        self.began_map.set(self.epoch.parity() ^ 1, end, 0)?;
        self.epoch.turn()?;
        self.ended_began = std::mem::replace(&mut self.began, end);
        Ok(end)
    }

    /// Takes everything that was counted up to the last turn, and leaves that half of the maps clear.
    pub(crate) fn harvest(&mut self) -> Result<Harvest> {
        let harvest = self.read()?;
        self.early.add(&harvest);
        Ok(std::mem::take(&mut self.early))
    }

    /// Reads the epoch that ended.
    fn read(&mut self) -> Result<Harvest> {
        let end = self.began;
        let parity = self.epoch.ended();
        self.made_before[parity as usize] = self.made.get(&parity, 0)?;
        let ticks = self.ticks.advance();
        let mut cells: StdHashMap<(u32, u64), Cell> = StdHashMap::new();
        let mut add = |kind: u32, of: u64, more: Cell| {
            let cell = cells.entry((kind, of)).or_default();
            cell.count += more.count;
            cell.ns += more.ns;
        };
        let mut cpus = BTreeMap::new();
        for number in 0..self.cpu_numbers {
            let index = number << 1 | parity;
            let half = self.halves.get(&index, 0)?;
            let running = match self.running_at(number, parity, end)? {
                None if half.switches == 0 => match self.unseen(ticks.get(&number), end) {
                    None => continue,
                    unseen => unseen,
                },
                running => running,
            };
            self.halves.set(index, Half::CLEAR, 0)?;
            let pair =
                if self.by == By::Cpu { kind::PAIR | (number + 1) << kind::CPU_SHIFT } else { kind::PAIR };
            for (kind, places) in
                [(kind::DELAY, &half.delays[..]), (pair, &half.pairs), (kind::RUN, &half.runs)]
            {
                for &Place { of, count, ns } in places.iter().filter(|place| place.count != 0) {
                    add(kind, of, Cell { count, ns });
                }
            }
            let mut cpu = cpu_count(&half);
            if let Some(Running { who, target, ns }) = running {
                if who == who::IDLE {
                    cpu.idle_ns += ns;
                } else {
                    cpu.busy_ns += ns;
                    if target {
                        add(kind::RUN, u64::from(who), Cell { count: 1, ns });
                    }
                }
            }
            cpu.steal_ns = ticks.get(&number).and_then(|ticks| ticks.steal_ns);
            cpus.insert(number, (cpu, half.throttled_ns));
        }
        let all: Vec<CellKey> =
            self.cells.keys().collect::<Result<_, _>>().context("cannot read the cells")?;
        for key in all.into_iter().filter(|key| key.parity == parity) {
            add(key.kind, key.of, self.cells.get(&key, 0)?);
            self.cells.remove(&key)?;
        }
        self.learn_names(cells.keys())?;
        let mut harvest = Harvest { groups: self.fold(&cells), ..Harvest::default() };
        for (number, (cpu, throttled_ns)) in cpus {
            if self.by == By::Cpu {
                let group = harvest.groups.entry(Key::Cpu(number)).or_default();
                group.throttled_ns = throttled_ns;
                group.run_ns = cpu.busy_ns;
            }
            harvest.cpus.insert(number, cpu);
        }
        self.forget_the_gone()?;
        Ok(harvest)
    }

    /// What a CPU did on which no switch was seen yet, so that it has done the same all the time. Who runs there is not
    /// known.
    fn unseen(&self, ticks: Option<&Ticks>, end: u64) -> Option<Running> {
        let ticks = ticks.filter(|_| self.ended_began != 0)?;
        let ns = end - self.ended_began;
        let idle = ticks.idle_ns >= ns / 2;
        Some(Running { who: if idle { who::IDLE } else { who::UNKNOWN }, target: false, ns })
    }

    /// Who ran on a CPU when the epoch ended, and how long in the epoch already. A later switch has left it in the other
    /// half; without one it runs still.
    fn running_at(&self, number: u32, parity: u32, end: u64) -> Result<Option<Running>> {
        for _ in 0..2 {
            let other = self.halves.get(&(number << 1 | (parity ^ 1)), 0)?;
            if other.before_ns != 0 {
                return Ok(Some(Running {
                    who: other.before_who as u32,
                    target: other.before_who >> 32 != 0,
                    ns: other.before_ns,
                }));
            }
            let cpu = self.cpus.get(&number, 0)?;
            if cpu.start == 0 {
                return Ok(None);
            }
            if cpu.start <= end {
                let ns = end - cpu.start.max(self.ended_began);
                return Ok(Some(Running { who: cpu.who, target: cpu.target != 0, ns }));
            }
        }
        Ok(None)
    }

    fn fold(&self, cells: &StdHashMap<(u32, u64), Cell>) -> StdHashMap<Key, Group> {
        let mut groups: StdHashMap<Key, Group> = StdHashMap::new();
        for (&(kind, of), &cell) in cells {
            let (low, high) = (of as u32, (of >> 32) as u32);
            let key = match (self.by, kind >> kind::CPU_SHIFT) {
                (By::Cpu, 0) => continue,
                (By::Cpu, cpu) => Key::Cpu(cpu - 1),
                _ => self.names.group(self.by, low),
            };
            let kind = kind & ((1 << kind::CPU_SHIFT) - 1);
            let group = groups.entry(key).or_default();
            // Whoever waits for a CPU is told by for whom alone.
            let counts = self.by == By::Cpu || kind != kind::PAIR;
            if let Some(member) = self.names.who(low).filter(|_| counts) {
                *group.members.entry(member).or_default() += cell.ns;
            }
            match kind {
                kind::DELAY => group.add_waits(high, cell),
                kind::PAIR if high == who::WAKE => group.wake_ns += cell.ns,
                kind::PAIR => {
                    if let Some(runner) = self.names.runner(high) {
                        let own = self.names.is_own(self.by, low, high);
                        let own_ns = if own { cell.ns } else { 0 };
                        group.culprits.entry(runner).or_default().add(Had { ns: cell.ns, own_ns });
                    }
                }
                kind::RUN => group.run_ns += cell.ns,
                _ => group.throttled_ns += cell.ns,
            }
        }
        groups
    }

    /// Reads the identities behind numbers that are new.
    fn learn_names<'a>(&mut self, cells: impl Iterator<Item = &'a (u32, u64)>) -> Result<()> {
        let known = |number: u32| number < 1 << who::CPU_BITS || self.names.0.contains_key(&number);
        let mut numbers = cells.flat_map(|&(kind, of)| {
            let pair = kind & ((1 << kind::CPU_SHIFT) - 1) == kind::PAIR;
            let runner = if pair { (of >> 32) as u32 } else { 0 };
            [of as u32, runner]
        });
        if numbers.all(known) {
            return Ok(());
        }
        for entry in &self.identities {
            let (identity, number) = entry.context("cannot read the identities")?;
            self.names.0.insert(number, identity);
        }
        Ok(())
    }

    /// Makes room in the kernel side's table. Threads that are still there go on under the number that they know.
    fn forget_the_gone(&mut self) -> Result<()> {
        if self.names.0.len() - self.retired.len() < CROWDED {
            return Ok(());
        }
        let retired = std::mem::take(&mut self.retired);
        self.names.0.retain(|number, _| !retired.contains(number));
        for (&number, identity) in &self.names.0 {
            if !Path::new("/proc").join(identity.tgid.to_string()).exists() {
                // It may not be there any more, where the table was full.
                let _ = self.identities.remove(identity);
                self.retired.insert(number);
            }
        }
        Ok(())
    }
}

/// Who runs on a CPU.
struct Running {
    who: u32,
    target: bool,
    ns: u64,
}

fn cpu_count(half: &Half) -> CpuCount {
    CpuCount {
        switches: half.switches,
        busy_ns: half.busy_ns,
        idle_ns: half.idle_ns,
        irq_ns: half.irq_ns,
        steal_ns: None,
        bins: (0..).zip(half.bins).filter(|&(_, count)| count != 0).collect(),
        delay_ns: half.delay_ns,
        bounds: (half.waits != 0).then_some((!half.min_inverted, half.max_ns)),
    }
}
