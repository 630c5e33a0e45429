//! What the kernel side costs, by the kernel's own account.
//!
//! Keeping that costs two clock reads a run (`__bpf_prog_run`, include/linux/filter.h, 6.18). So the kernel keeps it as long
//! as programs run seldom; where they run often it does so at random moments, and what comes between is estimated from
//! those on either side.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fs,
    hash::BuildHasher as _,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    sys::{Stats, enable_stats},
};

/// Runs a second from which on they are not all counted: with some 50 ns each, half a percent of a CPU.
const MANY_RUNS: f64 = 100_000.0;
/// How long nothing is counted then: between these two, evenly spread. Counting goes on from one look at the session to the next, 50 ms,
/// so that one run in nineteen pays for it.
const AWAY: [Duration; 2] = [Duration::from_millis(450), Duration::from_millis(1_350)];
/// A shorter time tells nothing of how often programs run.
const TELLING: Duration = Duration::from_millis(5);

/// Time and runs of all programs of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KernelCost {
    /// Time, ns.
    pub(crate) run_ns: u64,
    /// Runs.
    pub(crate) events: u64,
}

impl KernelCost {
    /// What was added since an earlier moment.
    pub(crate) fn since(self, before: KernelCost) -> KernelCost {
        KernelCost {
            run_ns: self.run_ns.saturating_sub(before.run_ns),
            events: self.events.saturating_sub(before.events),
        }
    }
}

/// How often, and how long, programs run in a second.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    run_ns: f64,
    events: f64,
}

/// Adds up what was counted, and estimates what was not.
#[derive(Default)]
struct Account {
    sum: KernelCost,
    /// As it was counted last.
    rate: Rate,
    /// Time that was not counted, and is not yet estimated.
    gap: Duration,
}

impl Account {
    /// So much was counted in so long. What is open before it is estimated from the rates on either side.
    fn counted(&mut self, cost: KernelCost, length: Duration) {
        let before = self.rate;
        if length >= TELLING {
            let seconds = length.as_secs_f64();
            self.rate = Rate { run_ns: cost.run_ns as f64 / seconds, events: cost.events as f64 / seconds };
        }
        let between = Rate {
            run_ns: f64::midpoint(before.run_ns, self.rate.run_ns),
            events: f64::midpoint(before.events, self.rate.events),
        };
        self.fill(between);
        self.sum.run_ns += cost.run_ns;
        self.sum.events += cost.events;
    }

    /// Estimates what is open from the last rate alone.
    fn settle(&mut self) {
        self.fill(self.rate);
    }

    fn fill(&mut self, rate: Rate) {
        let seconds = std::mem::take(&mut self.gap).as_secs_f64();
        self.sum.run_ns += (rate.run_ns * seconds) as u64;
        self.sum.events += (rate.events * seconds) as u64;
    }
}

/// Whether the kernel counts.
#[derive(Default)]
enum State {
    /// It cannot, or is asked no more.
    #[default]
    Never,
    /// It does, since a moment at which its counters stood so.
    Counting(
        #[expect(dead_code, reason = "the kernel counts as long as it is open")] OwnedFd,
        Instant,
        KernelCost,
    ),
    /// It does not, since and until these moments.
    Away(Instant, Instant),
}

/// Samples the cost of an object's programs.
#[derive(Default)]
pub(crate) struct Sampler {
    state: State,
    account: Account,
    /// Whether anything was counted.
    knows: bool,
}

impl Sampler {
    /// Begins; nothing is counted where the kernel does not keep these statistics (before 5.8), or not for this user.
    pub(crate) fn begin(&mut self, ebpf: &Ebpf) {
        self.state = match enable_stats(Stats::RunTime) {
            Ok(statistics) => State::Counting(statistics, Instant::now(), total(ebpf)),
            Err(_) => State::Never,
        };
        self.knows |= matches!(self.state, State::Counting(..));
    }

    /// Takes what was counted, and looks away where that is much.
    pub(crate) fn turn(&mut self, ebpf: &Ebpf) {
        match &self.state {
            State::Never => {}
            State::Counting(..) => {
                self.take(ebpf);
                if self.account.rate.events > MANY_RUNS {
                    let now = Instant::now();
                    self.state = State::Away(now, now + away());
                }
            }
            State::Away(_, until) if Instant::now() < *until => {}
            State::Away(since, _) => {
                self.account.gap += since.elapsed();
                self.begin(ebpf);
            }
        }
    }

    /// Ends, while the programs are still there.
    pub(crate) fn end(&mut self, ebpf: &Ebpf) {
        self.take(ebpf);
        self.state = State::Never;
    }

    /// The cost up to now; none where it could not be counted.
    pub(crate) fn sum(&mut self, ebpf: &Ebpf) -> Option<KernelCost> {
        self.take(ebpf);
        self.knows.then_some(self.account.sum)
    }

    fn take(&mut self, ebpf: &Ebpf) {
        match &mut self.state {
            State::Never => {}
            State::Counting(_, since, before) => {
                let (now, counters) = (Instant::now(), total(ebpf));
                self.account.counted(counters.since(*before), now - *since);
                (*since, *before) = (now, counters);
            }
            State::Away(since, _) => {
                let now = Instant::now();
                self.account.gap += now - *since;
                self.account.settle();
                *since = now;
            }
        }
    }
}

/// A random time.
fn away() -> Duration {
    let [least, most] = AWAY;
    let random = RandomState::new().hash_one(0_u8) as f64 / u64::MAX as f64;
    least + (most - least).mul_f64(random)
}

fn total(ebpf: &Ebpf) -> KernelCost {
    let infos = ebpf.programs().filter_map(|(_, program)| program.info().ok());
    infos.fold(KernelCost::default(), |sum, info| KernelCost {
        run_ns: sum.run_ns + info.run_time().as_nanos() as u64,
        events: sum.events + info.run_count(),
    })
}

/// Memory of the kernel that this process' maps and programs take, bytes, by the kernel's own account; none where `/proc`
/// does not say. Before 6.4 a hash that is allocated as it fills counts as if it were full.
pub(crate) fn kernel_bytes() -> Option<u64> {
    let mut bytes = HashMap::new();
    for descriptor in fs::read_dir("/proc/self/fdinfo").ok()?.flatten() {
        // The one that this folder is read through is gone again.
        let Ok(info) = fs::read_to_string(descriptor.path()) else { continue };
        if let Some((what, size)) = memory(&info) {
            bytes.insert(what, size);
        }
    }
    Some(bytes.into_values().sum())
}

/// Whose memory a descriptor's `fdinfo` gives, of which several descriptors can stand for one, and how much
/// (`bpf_map_show_fdinfo`, `bpf_prog_show_fdinfo`, kernel/bpf/syscall.c, 5.10 to 6.18).
fn memory(info: &str) -> Option<(String, u64)> {
    let line =
        |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let size = line("memlock")?.parse().ok()?;
    let what = ["map_id", "prog_id"].into_iter().find_map(|key| Some(format!("{key} {}", line(key)?)))?;
    Some((what, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn cost(events: u64) -> KernelCost {
        KernelCost { run_ns: 300 * events, events }
    }

    #[test]
    fn what_is_counted_is_the_cost() {
        let mut account = Account::default();
        account.counted(cost(10), SECOND);
        account.counted(cost(0), Duration::ZERO);
        account.counted(cost(50_000), Duration::from_millis(50));
        account.settle();
        assert_eq!(account.sum, cost(50_010));
    }

    #[test]
    fn what_is_not_counted_is_as_on_either_side() {
        let mut account = Account::default();
        account.counted(cost(200_000), SECOND);
        account.gap += SECOND / 2;
        account.counted(cost(40_000), SECOND / 10);
        assert_eq!(account.sum, cost(200_000 + 150_000 + 40_000));
        // Nothing comes after the last: it is as before.
        account.gap += SECOND;
        account.settle();
        assert_eq!(account.sum, cost(390_000 + 400_000));
    }

    #[test]
    fn a_moment_says_nothing_of_the_rate() {
        let mut account = Account::default();
        account.counted(cost(1000), SECOND);
        account.counted(cost(100), Duration::from_micros(1));
        account.gap += SECOND;
        account.settle();
        assert_eq!(account.sum, cost(2100));
    }

    #[test]
    fn it_looks_away_for_a_random_time() {
        let times: Vec<Duration> = (0..64).map(|_| away()).collect();
        assert!(times.iter().all(|time| (AWAY[0]..=AWAY[1]).contains(time)));
        assert!(
            times.iter().max().unwrap().saturating_sub(*times.iter().min().unwrap())
                > Duration::from_millis(30)
        );
    }

    #[test]
    fn maps_and_programs_have_memory_and_other_descriptors_have_none() {
        let map = "pos:\t0\nmap_type:\t2\nmemlock:\t4096\nmap_id:\t17\nfrozen:\t0\n";
        assert_eq!(memory(map), Some(("map_id 17".to_owned(), 4096)));
        let program = "pos:\t0\nprog_type:\t17\nmemlock:\t8192\nprog_id:\t17\n";
        assert_eq!(memory(program), Some(("prog_id 17".to_owned(), 8192)));
        assert_eq!(memory("pos:\t0\nflags:\t02\n"), None);
        assert!(kernel_bytes().is_some());
    }
}
