//! Reading what the kernel side counted, and what the kernel counts itself.

use std::{collections::HashMap as StdHashMap, fs};

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray, PerCpuValues},
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
    ebpf::{epoch::Epoch, hash::Hash, maps::take},
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
    steal_ns: Option<u64>,
    /// How often idle CPUs polled, and how long, ns.
    polled: Option<(u64, u64)>,
    interrupts: Interrupts,
}

/// Halts shorter than this, ns, are over before a host has made use of the CPU: the default of `guest_halt_poll_ns`
/// (drivers/cpuidle/governors/haltpoll.c, 6.18).
pub(super) const SHORT_HALT_NS: u64 = 200_000;

/// A CPU's halts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Halts {
    /// How often it halted.
    pub(super) count: u64,
    /// How often for less than [`SHORT_HALT_NS`].
    pub(super) short_count: u64,
}

impl Halts {
    fn of(idle: &Idle) -> Halts {
        let mut halts = Halts::default();
        for (bucket, bin) in (0u32..).zip(&idle.bins) {
            halts.count += bin.count;
            halts.short_count += if hist::highest(bucket) < SHORT_HALT_NS { bin.count } else { 0 };
        }
        halts
    }
}

/// What was counted in one epoch, or in several.
pub(super) struct Harvest {
    /// By what and who; the key's half is 0.
    pub(super) counts: StdHashMap<CellKey, u64>,
    /// All CPUs' idle loops.
    pub(super) idle: Idle,
    /// Each CPU's halts, by its number.
    pub(super) halts: Vec<Halts>,
    /// Time that the hypervisor ran something else on this guest's CPUs, ns; none where the kernel does not tell.
    pub(super) steal_ns: Option<u64>,
    /// Whether that clock has ever gone on since boot.
    pub(super) steal_goes_on: bool,
    /// How often idle CPUs polled, and how long, ns; none where there is no idle state that polls.
    pub(super) polled: Option<(u64, u64)>,
    /// Interrupts that came.
    pub(super) interrupts: Interrupts,
}

impl Default for Harvest {
    fn default() -> Harvest {
        Harvest {
            counts: StdHashMap::new(),
            idle: NO_IDLE,
            halts: Vec::new(),
            steal_ns: None,
            steal_goes_on: false,
            polled: None,
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
        self.halts.resize(self.halts.len().max(epoch.halts.len()), Halts::default());
        for (sum, more) in self.halts.iter_mut().zip(&epoch.halts) {
            sum.count += more.count;
            sum.short_count += more.short_count;
        }
        add_known(&mut self.steal_ns, epoch.steal_ns);
        self.steal_goes_on |= epoch.steal_goes_on;
        if let Some((count, ns)) = epoch.polled {
            let (all, all_ns) = self.polled.get_or_insert((0, 0));
            *all += count;
            *all_ns += ns;
        }
        let (mine, theirs) = (&mut self.interrupts, &epoch.interrupts);
        add_known(&mut mine.timer_count, theirs.timer_count);
        add_known(&mut mine.reschedule_count, theirs.reschedule_count);
        add_known(&mut mine.call_count, theirs.call_count);
        add_known(&mut mine.tlb_count, theirs.tlb_count);
    }
}

fn add_known(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum.get_or_insert(0) += more;
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
    cells: Hash<CellKey, u64>,
    idle: PerCpuArray<MapData, Idle>,
    sending: PerCpuArray<MapData, Sending>,
    states: Vec<IdleState>,
    /// The clocks when the epoch that runs began.
    began: Clocks,
    /// What they counted in the one before it.
    ended: Harvest,
    /// The last harvest, where it was taken before it was asked for.
    last: Option<Result<Harvest>>,
}

impl Collector {
    /// Takes the maps out of `ebpf`.
    pub(super) fn new(ebpf: &mut Ebpf, states: Vec<IdleState>) -> Result<Collector> {
        Ok(Collector {
            epoch: Epoch::of(ebpf)?,
            cells: Hash::take(ebpf, "VMEXIT_CELLS")?,
            idle: take(ebpf, "VMEXIT_IDLE")?,
            sending: take(ebpf, "VMEXIT_SENDING")?,
            began: Clocks::read(&states),
            ended: Harvest::default(),
            states,
            last: None,
        })
    }

    /// Takes what was counted in the last epoch before it is asked for.
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

    /// Ends the epoch, and returns when that was.
    pub(super) fn turn(&mut self) -> Result<u64> {
        let now = Clocks::read(&self.states);
        let turned = self.epoch.turn()?;
        self.ended = now.since(&self.began);
        self.began = now;
        Ok(turned)
    }

    /// Takes everything that was counted in the epoch that ended, and leaves its half of the maps clear.
    pub(super) fn harvest(&mut self) -> Result<Harvest> {
        if let Some(last) = self.last.take() {
            return last;
        }
        let parity = self.epoch.ended();
        let mut harvest = std::mem::take(&mut self.ended);
        for (key, count) in self.cells.take_out(|key| u32::from(key.parity) == parity)? {
            harvest.counts.insert(CellKey { parity: 0, ..key }, count);
        }
        let per_cpu = self.idle.get(&parity, 0)?;
        per_cpu.iter().for_each(|idle| add_idle(&mut harvest.idle, idle));
        harvest.halts = per_cpu.iter().map(Halts::of).collect();
        self.idle.set(parity, PerCpuValues::try_from(vec![NO_IDLE; per_cpu.len()])?, 0)?;
        Ok(harvest)
    }
}

impl Clocks {
    fn read(states: &[IdleState]) -> Clocks {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let polled = polling(states);
        // Last, so that as little as can be comes between them and the turn of the epoch.
        let interrupts = fs::read_to_string("/proc/interrupts").unwrap_or_default();
        Clocks {
            steal_ns: steal_ns(&stat, rustix::param::clock_ticks_per_second()),
            polled,
            interrupts: interrupts_in(&interrupts),
        }
    }

    /// A harvest with no more than the clocks in it. A CPU that goes away takes its counts along.
    fn since(&self, before: &Clocks) -> Harvest {
        let passed = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        let (now, then) = (&self.interrupts, &before.interrupts);
        let polled = self.polled.zip(before.polled);
        Harvest {
            steal_ns: passed(self.steal_ns, before.steal_ns),
            steal_goes_on: self.steal_ns.is_some_and(|ns| ns > 0),
            polled: polled.map(|(now, then)| (now.0.saturating_sub(then.0), now.1.saturating_sub(then.1))),
            interrupts: Interrupts {
                timer_count: passed(now.timer_count, then.timer_count),
                reschedule_count: passed(now.reschedule_count, then.reschedule_count),
                call_count: passed(now.call_count, then.call_count),
                tlb_count: passed(now.tlb_count, then.tlb_count),
            },
            ..Harvest::default()
        }
    }
}

/// The steal clock of all CPUs, the eighth of `/proc/stat` (proc(5)); none where it has none.
fn steal_ns(stat: &str, ticks_per_second: u64) -> Option<u64> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: u64 = all.split_whitespace().nth(7)?.parse().ok()?;
    Some(ticks * (1_000_000_000 / ticks_per_second.max(1)))
}

fn interrupts_in(table: &str) -> Interrupts {
    let row = |name: &str| {
        let line = table.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
        let counts = line.split_whitespace().map_while(|word| word.parse::<u64>().ok());
        Some(counts.sum())
    };
    Interrupts {
        timer_count: row("LOC:"),
        reschedule_count: row("RES:"),
        call_count: row("CAL:"),
        tlb_count: row("TLB:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_clock() {
        assert_eq!(steal_ns("cpu  1 2 3 4 5 6 7 80 9 10\ncpu0 1 2 3 4 5 6 7 8\n", 100), Some(800_000_000));
        assert_eq!(steal_ns("intr 5\n", 100), None);
    }

    #[test]
    fn interrupts_are_summed_over_cpus() {
        let table = "            CPU0       CPU1\n  8:          0         1   IO-APIC   8-edge      rtc0\n\
                     LOC:       1000         24   Local timer interrupts\nRES:  3 4   Rescheduling interrupts\n\
                     CAL:          5          6   Function call interrupts\nTLB: 7 8   TLB shootdowns\n";
        let expected = Interrupts {
            timer_count: Some(1024),
            reschedule_count: Some(7),
            call_count: Some(11),
            tlb_count: Some(15),
        };
        assert_eq!(interrupts_in(table), expected);
        assert_eq!(interrupts_in(""), Interrupts::default());
    }

    #[test]
    fn epochs_add_up() {
        let mut idle = NO_IDLE;
        (idle.entered[1], idle.min_inverted, idle.max_ns) = (3, !10, 500);
        idle.bins[7] = IdleBin { count: 3, sum_ns: 21 };
        let key = CellKey { detail: 7, ..CellKey::default() };
        let halts = vec![Halts { count: 2, short_count: 1 }];
        let epoch =
            Harvest { counts: [(key, 4)].into(), idle, halts, steal_ns: Some(9), ..Harvest::default() };
        let mut total = Harvest::default();
        total.add(&epoch);
        total.add(&epoch);
        assert_eq!((total.counts[&key], total.steal_ns), (8, Some(18)));
        assert_eq!((total.idle.entered[1], !total.idle.min_inverted, total.idle.max_ns), (6, 10, 500));
        assert_eq!(total.idle.bins[7], IdleBin { count: 6, sum_ns: 42 });
        assert_eq!(total.halts, [Halts { count: 4, short_count: 2 }]);
    }

    #[test]
    fn halts_are_short_below_what_polling_would_cover() {
        let mut idle = NO_IDLE;
        for (ns, count) in [(20_000, 5), (SHORT_HALT_NS, 2), (5_000_000, 1)] {
            idle.bins[hist::bucket(ns) as usize].count += count;
        }
        assert_eq!(Halts::of(&idle), Halts { count: 8, short_count: 5 });
    }
}
