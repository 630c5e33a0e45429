//! Reading what the kernel side counted.

use std::collections::{BTreeMap, HashMap as StdHashMap};

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use diag_common::runq::{Cell, Cpu, Half, kind, who};

use super::{
    args::By,
    clock::{TickClock, Ticks},
    group::{CpuCount, Group, Had, Harvest, Key, Names},
};
use crate::{
    ebpf::{cells::Cells, clock, epoch::Epoch, maps::take, who::People},
    kernel::cpus,
    output::record::Unavailable,
};

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
    cells: Cells,
    people: People,
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
            cells: Cells::of(ebpf)?,
            people: People::of(ebpf)?,
            ticks: TickClock::now(),
            early: Harvest::default(),
        })
    }

    /// Reads ahead of time where the kernel side's tables fill.
    pub(crate) fn read_when_crowded(&mut self) -> Result<()> {
        if !self.cells.is_crowded(self.epoch.parity())? && !self.people.is_crowded()? {
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
        let ticks = self.ticks.advance();
        let mut cells: StdHashMap<(u32, u64), Cell> = StdHashMap::new();
        let mut add = |kind: u32, of: u64, more: Cell| *cells.entry((kind, of)).or_default() += more;
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
            for (kind, slots) in
                [(kind::DELAY, &half.delays[..]), (pair, &half.pairs), (kind::RUN, &half.runs)]
            {
                slots.iter().filter(|slot| slot.of != 0).for_each(|slot| add(kind, slot.of, slot.cell));
            }
            let mut cpu = cpu_count(&half);
            if let Some(Running { who, target, ns }) = running {
                // Its run is counted where it ends, however long that takes.
                self.people.get(who);
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
        self.cells.take(parity, &mut add)?;
        let names = self.names(cells.keys());
        let mut harvest = Harvest { groups: self.fold(&cells, &names), ..Harvest::default() };
        for (number, (cpu, throttled_ns)) in cpus {
            if self.by == By::Cpu {
                let group = harvest.groups.entry(Key::Cpu(number)).or_default();
                group.throttled_ns = throttled_ns;
                group.run_ns = cpu.busy_ns;
            }
            harvest.cpus.insert(number, cpu);
        }
        self.people.release(|_| false)?;
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
            if cpu.running.start == 0 {
                return Ok(None);
            }
            if cpu.running.start <= end {
                let ns = end - cpu.running.start.max(self.ended_began);
                return Ok(Some(Running { who: cpu.running.who as u32, target: cpu.target != 0, ns }));
            }
        }
        Ok(None)
    }

    fn fold(&self, cells: &StdHashMap<(u32, u64), Cell>, names: &Names) -> StdHashMap<Key, Group> {
        let mut groups: StdHashMap<Key, Group> = StdHashMap::new();
        for (&(kind, of), &cell) in cells {
            let (low, high) = (of as u32, (of >> 32) as u32);
            let key = match (self.by, kind >> kind::CPU_SHIFT) {
                (By::Cpu, 0) => continue,
                (By::Cpu, cpu) => Key::Cpu(cpu - 1),
                _ => names.group(self.by, low),
            };
            let kind = kind & ((1 << kind::CPU_SHIFT) - 1);
            let group = groups.entry(key).or_default();
            // Whoever waits for a CPU is told by for whom alone.
            let counts = self.by == By::Cpu || kind != kind::PAIR;
            if let Some(member) = names.who(low).filter(|_| counts) {
                *group.members.entry(member).or_default() += cell.ns;
            }
            match kind {
                kind::DELAY => group.add_waits(high, cell),
                kind::PAIR if high == who::WAKE => group.wake_ns += cell.ns,
                kind::PAIR => {
                    if let Some(runner) = names.runner(high) {
                        let own = names.is_own(self.by, low, high);
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

    /// The identities behind the numbers of cells.
    fn names<'a>(&mut self, cells: impl Iterator<Item = &'a (u32, u64)>) -> Names {
        let mut names = Names::default();
        for &(kind, of) in cells {
            let pair = kind & ((1 << kind::CPU_SHIFT) - 1) == kind::PAIR;
            let runner = if pair { (of >> 32) as u32 } else { 0 };
            for number in [of as u32, runner] {
                if let Some(who) = self.people.get(number) {
                    names.0.insert(number, who);
                }
            }
        }
        names
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
