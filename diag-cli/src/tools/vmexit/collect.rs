//! Reading what the kernel side counted, and what the kernel counts itself.

use std::{collections::HashMap as StdHashMap, fs};

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    maps::{HashMap, MapData, PerCpuArray, PerCpuValues},
};
use diag_common::{
    hist,
    vmexit::{CellKey, IDLE_STATES, Idle, IdleBin, LEVELS, Sending},
};

use super::{
    guest::kernel::{IdleState, polling},
    record::Interrupts,
};
use crate::{
    ebpf::{epoch::Epoch, maps::take},
    output::record::Unavailable,
};

const NO_IDLE: Idle = Idle {
    entered: [0; IDLE_STATES],
    min_inverted: 0,
    max_ns: 0,
    bins: [IdleBin { count: 0, sum_ns: 0 }; hist::BUCKETS as usize],
};

/// What the kernel counts since boot.
#[derive(Debug, Clone, Copy, Default)]
struct Clocks {
    steal_ns: u64,
    polls: u64,
    polling_ns: u64,
    interrupts: Interrupts,
}

/// What was counted in one epoch, or in several.
pub(super) struct Harvest {
    /// By what and who; the key's half is 0.
    pub(super) counts: StdHashMap<CellKey, u64>,
    /// All CPUs' idle loops.
    pub(super) idle: Idle,
    /// Time that the hypervisor ran something else on this guest's CPUs, ns.
    pub(super) steal_ns: u64,
    /// How often idle CPUs polled, and how long, ns.
    pub(super) polls: u64,
    pub(super) polling_ns: u64,
    /// Interrupts that came.
    pub(super) interrupts: Interrupts,
}

impl Default for Harvest {
    fn default() -> Harvest {
        Harvest {
            counts: StdHashMap::new(),
            idle: NO_IDLE,
            steal_ns: 0,
            polls: 0,
            polling_ns: 0,
            interrupts: Interrupts::default(),
        }
    }
}

impl Harvest {
    /// Adds a later epoch.
    pub(super) fn add(&mut self, epoch: &Harvest) {
        for (key, count) in &epoch.counts {
            *self.counts.entry(*key).or_default() += count;
        }
        add_idle(&mut self.idle, &epoch.idle);
        self.steal_ns += epoch.steal_ns;
        self.polls += epoch.polls;
        self.polling_ns += epoch.polling_ns;
        let (mine, theirs) = (&mut self.interrupts, &epoch.interrupts);
        mine.timer += theirs.timer;
        mine.reschedule += theirs.reschedule;
        mine.call += theirs.call;
        mine.tlb += theirs.tlb;
    }
}

fn add_idle(sum: &mut Idle, more: &Idle) {
    for (sum, more) in sum.entered.iter_mut().zip(more.entered) {
        *sum += more;
    }
    sum.min_inverted = sum.min_inverted.max(more.min_inverted);
    sum.max_ns = sum.max_ns.max(more.max_ns);
    for (sum, more) in sum.bins.iter_mut().zip(&more.bins) {
        sum.count += more.count;
        sum.sum_ns += more.sum_ns;
    }
}

/// The maps of a loaded object.
pub(super) struct Collector {
    epoch: Epoch,
    cells: HashMap<MapData, CellKey, u64>,
    idle: PerCpuArray<MapData, Idle>,
    sending: PerCpuArray<MapData, Sending>,
    states: Vec<IdleState>,
    before: Clocks,
    /// The last harvest, where it was taken before it was asked for.
    last: Option<Result<Harvest>>,
}

impl Collector {
    /// Takes the maps out of `ebpf`.
    pub(super) fn new(ebpf: &mut Ebpf, states: Vec<IdleState>) -> Result<Collector> {
        Ok(Collector {
            epoch: Epoch::of(ebpf)?,
            cells: take(ebpf, "VMEXIT_CELLS")?,
            idle: take(ebpf, "VMEXIT_IDLE")?,
            sending: take(ebpf, "VMEXIT_SENDING")?,
            before: Clocks::read(&states),
            states,
            last: None,
        })
    }

    /// Ends the last epoch before its time.
    pub(super) fn end(&mut self) {
        self.last = Some(self.harvest().and_then(|mut harvest| {
            self.settle(&mut harvest)?;
            Ok(harvest)
        }));
    }

    /// Counts the IPIs that were announced last, and that no register sent.
    fn settle(&self, harvest: &mut Harvest) -> Result<()> {
        for level in 0..LEVELS {
            let per_cpu = self.sending.get(&level, 0).context("cannot read what CPUs send")?;
            for sending in per_cpu.iter().filter(|sending| sending.is_announced != 0) {
                *harvest.counts.entry(sending.announced).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Why counts may have been read while programs still wrote them.
    pub(super) fn unsettled(&self) -> Option<Unavailable> {
        self.epoch.unsettled()
    }

    /// Ends the epoch: takes everything that was counted in it, and leaves its half of the maps clear.
    pub(super) fn harvest(&mut self) -> Result<Harvest> {
        if let Some(last) = self.last.take() {
            return last;
        }
        let now = Clocks::read(&self.states);
        let parity = self.epoch.turn()?;
        let before = std::mem::replace(&mut self.before, now);
        let mut harvest = now.since(&before);
        let keys: Vec<CellKey> =
            self.cells.keys().collect::<Result<_, _>>().context("cannot read the counts")?;
        for key in keys.into_iter().filter(|key| u32::from(key.parity) == parity) {
            harvest.counts.insert(CellKey { parity: 0, ..key }, self.cells.get(&key, 0)?);
            self.cells.remove(&key)?;
        }
        let per_cpu = self.idle.get(&parity, 0)?;
        per_cpu.iter().for_each(|idle| add_idle(&mut harvest.idle, idle));
        self.idle.set(parity, PerCpuValues::try_from(vec![NO_IDLE; per_cpu.len()])?, 0)?;
        Ok(harvest)
    }
}

impl Clocks {
    fn read(states: &[IdleState]) -> Clocks {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let (polls, polling_ns) = polling(states);
        // Last, so that as little as can be comes between them and the turn of the epoch.
        let interrupts = fs::read_to_string("/proc/interrupts").unwrap_or_default();
        Clocks {
            steal_ns: steal_ns(&stat, rustix::param::clock_ticks_per_second()),
            polls,
            polling_ns,
            interrupts: interrupts_in(&interrupts),
        }
    }

    /// A harvest with no more than the clocks in it. A CPU that goes away takes its counts along.
    fn since(&self, before: &Clocks) -> Harvest {
        let (now, then) = (&self.interrupts, &before.interrupts);
        Harvest {
            steal_ns: self.steal_ns.saturating_sub(before.steal_ns),
            polls: self.polls.saturating_sub(before.polls),
            polling_ns: self.polling_ns.saturating_sub(before.polling_ns),
            interrupts: Interrupts {
                timer: now.timer.saturating_sub(then.timer),
                reschedule: now.reschedule.saturating_sub(then.reschedule),
                call: now.call.saturating_sub(then.call),
                tlb: now.tlb.saturating_sub(then.tlb),
            },
            ..Harvest::default()
        }
    }
}

/// The steal clock of all CPUs, the eighth of `/proc/stat` (proc(5)).
fn steal_ns(stat: &str, ticks_per_second: u64) -> u64 {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "));
    let ticks = all.and_then(|all| all.split_whitespace().nth(7)?.parse::<u64>().ok()).unwrap_or(0);
    ticks * (1_000_000_000 / ticks_per_second.max(1))
}

fn interrupts_in(table: &str) -> Interrupts {
    let row = |name: &str| {
        let line = table.lines().find_map(|line| line.trim_start().strip_prefix(name));
        let counts = line.map(|line| line.split_whitespace().map_while(|word| word.parse::<u64>().ok()));
        counts.map_or(0, Iterator::sum)
    };
    Interrupts { timer: row("LOC:"), reschedule: row("RES:"), call: row("CAL:"), tlb: row("TLB:") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_clock() {
        assert_eq!(steal_ns("cpu  1 2 3 4 5 6 7 80 9 10\ncpu0 1 2 3 4 5 6 7 8\n", 100), 800_000_000);
        assert_eq!(steal_ns("intr 5\n", 100), 0);
    }

    #[test]
    fn interrupts_are_summed_over_cpus() {
        let table = "            CPU0       CPU1\n  8:          0         1   IO-APIC   8-edge      rtc0\n\
                     LOC:       1000         24   Local timer interrupts\nRES:  3 4   Rescheduling interrupts\n\
                     CAL:          5          6   Function call interrupts\nTLB: 7 8   TLB shootdowns\n";
        let expected = Interrupts { timer: 1024, reschedule: 7, call: 11, tlb: 15 };
        assert_eq!(interrupts_in(table), expected);
        assert_eq!(interrupts_in(""), Interrupts::default());
    }

    #[test]
    fn epochs_add_up() {
        let mut idle = NO_IDLE;
        (idle.entered[1], idle.min_inverted, idle.max_ns) = (3, !10, 500);
        idle.bins[7] = IdleBin { count: 3, sum_ns: 21 };
        let key = CellKey { detail: 7, ..CellKey::default() };
        let epoch = Harvest { counts: [(key, 4)].into(), idle, steal_ns: 9, ..Harvest::default() };
        let mut total = Harvest::default();
        total.add(&epoch);
        total.add(&epoch);
        assert_eq!((total.counts[&key], total.steal_ns), (8, 18));
        assert_eq!((total.idle.entered[1], !total.idle.min_inverted, total.idle.max_ns), (6, 10, 500));
        assert_eq!(total.idle.bins[7], IdleBin { count: 6, sum_ns: 42 });
    }
}
