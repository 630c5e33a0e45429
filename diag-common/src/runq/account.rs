//! Who ran on a CPU, in sum: for waits that are longer than what the ring of single runs holds.
//!
//! A CPU keeps running totals by who ran, and marks: copies of them, one a millisecond at most. Marks of which every
//! second one is forgotten after a while, and of those every second one again, reach back for minutes with few of them. What
//! a wait was for is the difference of the totals now and at the first mark after it began, and before that mark a part of
//! what ran between the two marks around the beginning.

use super::{Run, who};

/// Whom a CPU's totals can tell apart, a power of two.
pub const HOLDERS: usize = 64;
/// Places in which one of them may be.
const WAYS: usize = 4;
/// Marks that a CPU keeps, a power of two.
pub const MARKS: usize = 64;
/// Marks of one level; those of the next one are twice as far apart.
const OF_A_LEVEL: usize = 4;
const LAST_LEVEL: u32 = (MARKS / OF_A_LEVEL - 1) as u32;
/// The least time between two marks, ns.
const STEP_NS: u64 = 1_000_000;

/// Time by who ran.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Totals {
    /// Time that the CPU was idle, ns.
    pub idle_ns: u64,
    /// Time in interrupts, ns.
    pub irq_ns: u64,
    /// Time that the hypervisor took, ns.
    pub steal_ns: u64,
    /// Who; 0 for nobody.
    pub who: [u32; HOLDERS],
    /// For how long, ns, since they are in the table.
    pub ns: [u64; HOLDERS],
}

/// What a CPU remembers of a long time.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Account {
    /// The totals.
    pub now: Totals,
    /// Up to when they are, ns.
    pub until: u64,
    /// When the last mark was made, ns.
    pub marked: u64,
    /// How many marks were made.
    pub marks: u64,
    /// When each holder ran last, ns.
    pub last: [u64; HOLDERS],
    /// When each mark that is kept was made, ns; 0 for none.
    pub at: [u64; MARKS],
    /// The totals at that time.
    pub kept: [Totals; MARKS],
}

/// `part * ns / whole`, rounded down: how much of a part of `whole` falls on `ns` of it. Exact as long as `whole` is below
/// 2^32, 4.3 s; to nine digits beyond. Never above `part`, nor above `ns`.
#[inline(always)]
pub fn proportion(ns: u64, part: u64, whole: u64) -> u64 {
    if part == 0 || ns == 0 || whole == 0 {
        return 0;
    }
    if ns == whole {
        return part;
    }
    let least = if ns < part { ns } else { part };
    let shift = 32u32.saturating_sub(whole.leading_zeros());
    let scaled = ((ns >> shift) * (part >> shift) / (whole >> shift)) << shift;
    if scaled < least { scaled } else { least }
}

/// A store that the compiler does not make a call of `memcpy` of, together with its neighbours.
#[inline(always)]
fn store<T>(target: &mut T, value: T) {
    // SAFETY: a reference is valid for writes.
    unsafe { core::ptr::write_volatile(target, value) };
}

impl Account {
    /// Adds a run that has ended.
    #[inline(always)]
    pub fn add(&mut self, run: &Run) {
        if self.until == 0 {
            self.until = run.start;
            self.mark();
        }
        let ns = run.end.saturating_sub(run.start).saturating_sub(run.irq_ns + run.steal_ns);
        self.now.irq_ns += run.irq_ns;
        self.now.steal_ns += run.steal_ns;
        if run.who as u32 == who::IDLE {
            self.now.idle_ns += ns;
        } else {
            let place = self.place(run.who as u32);
            self.now.ns[place] += ns;
            self.last[place] = run.end;
        }
        self.until = run.end;
        if run.end.saturating_sub(self.marked) >= STEP_NS {
            self.mark();
        }
    }

    /// The place of somebody in the totals; who ran least lately of those who might be there makes room.
    #[inline(always)]
    fn place(&mut self, who: u32) -> usize {
        let first = (u64::from(who).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize;
        let mut oldest = first & (HOLDERS - 1);
        for way in 0..WAYS {
            let place = (first + way) & (HOLDERS - 1);
            if self.now.who[place] == who {
                return place;
            }
            if self.last[place] < self.last[oldest] {
                oldest = place;
            }
        }
        self.now.who[oldest] = who;
        self.now.ns[oldest] = 0;
        oldest
    }

    /// Keeps the totals as they are.
    #[inline(never)]
    fn mark(&mut self) {
        let number = self.marks;
        self.marks = number + 1;
        self.marked = self.until;
        let zeros = number.trailing_zeros();
        let level = if zeros < LAST_LEVEL { zeros } else { LAST_LEVEL };
        let within = (number >> ((level + 1) & 63)) as usize & (OF_A_LEVEL - 1);
        let place = (level as usize * OF_A_LEVEL + within) & (MARKS - 1);
        self.at[place] = self.until;
        let kept = &mut self.kept[place];
        store(&mut kept.idle_ns, self.now.idle_ns);
        store(&mut kept.irq_ns, self.now.irq_ns);
        store(&mut kept.steal_ns, self.now.steal_ns);
        for holder in 0..HOLDERS {
            store(&mut kept.who[holder], self.now.who[holder]);
            store(&mut kept.ns[holder], self.now.ns[holder]);
        }
    }

    /// Tells of each who ran since `from`, and how long, ns. What is not told is not known: who made room for others
    /// meanwhile, and what was before the first mark.
    #[inline(always)]
    pub fn since(&self, from: u64, mut tell: impl FnMut(u32, u64)) {
        let (mut before, mut before_at) = (0, 0);
        let (mut after, mut after_at) = (0, u64::MAX);
        for place in 0..MARKS {
            let at = self.at[place];
            if at == 0 {
                continue;
            }
            if at <= from {
                if at > before_at {
                    (before, before_at) = (place, at);
                }
            } else if at < after_at {
                (after, after_at) = (place, at);
            }
        }
        // Without a mark since, there is one slice, up to now.
        let marked = after_at != u64::MAX;
        let slice_end = if marked { after_at } else { self.until };
        let right = if marked { &self.kept[after & (MARKS - 1)] } else { &self.now };
        let left = &self.kept[before & (MARKS - 1)];
        let slice = slice_end.saturating_sub(before_at);
        let here = if before_at == 0 { 0 } else { slice_end.saturating_sub(from) };
        for holder in 0..HOLDERS {
            let (now, then) = (self.now.who[holder], right.who[holder]);
            // Who is in the table since the mark has been counted since then.
            let base = if now == then { right.ns[holder] } else { 0 };
            let whole = if marked { self.now.ns[holder].saturating_sub(base) } else { 0 };
            let base = if left.who[holder] == then { left.ns[holder] } else { 0 };
            let part = proportion(here, right.ns[holder].saturating_sub(base), slice);
            let (mine, theirs) = if now == then { (whole + part, 0) } else { (whole, part) };
            if mine != 0 {
                tell(now, mine);
            }
            if theirs != 0 {
                tell(then, theirs);
            }
        }
        let scalar = |now: u64, right: u64, left: u64| {
            let whole = if marked { now.saturating_sub(right) } else { 0 };
            whole + proportion(here, right.saturating_sub(left), slice)
        };
        let others = [
            (who::IDLE, scalar(self.now.idle_ns, right.idle_ns, left.idle_ns)),
            (who::IRQ, scalar(self.now.irq_ns, right.irq_ns, left.irq_ns)),
            (who::STEAL, scalar(self.now.steal_ns, right.steal_ns, left.steal_ns)),
        ];
        for (who, ns) in others {
            if ns != 0 {
                tell(who, ns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{boxed::Box, collections::BTreeMap, vec::Vec};

    use super::*;

    /// A sequence of numbers that looks like chance, and is the same each time.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }
    }

    #[test]
    fn a_proportion_is_exact() {
        let mut chance = Chance(1);
        for _ in 0..200_000 {
            let bits = 1 + chance.below(40);
            let whole = 1 + chance.below(1 << 30) * (1 << 10) % (1 << bits);
            let (ns, part) = (chance.below(whole + 1), chance.below(whole + 1));
            let exact = u128::from(part) * u128::from(ns) / u128::from(whole);
            let got = proportion(ns, part, whole);
            assert!(got <= ns && got <= part);
            let off = u64::try_from(exact).unwrap().abs_diff(got);
            let least = if whole < 1 << 32 { 0 } else { whole >> 30 };
            assert!(off <= least, "{part} * {ns} / {whole}: {got}, not {exact}");
        }
        assert_eq!((proportion(5, 5, 0), proportion(0, 5, 9), proportion(u64::MAX, 7, u64::MAX)), (0, 0, 7));
    }

    #[test]
    fn parts_of_a_run_are_never_more_than_it() {
        let mut chance = Chance(2);
        for _ in 0..100_000 {
            let whole = 1 + chance.below(400_000);
            let (ns, irq) = (chance.below(whole + 1), chance.below(whole + 1));
            let steal = chance.below(whole - irq + 1);
            assert!(proportion(ns, irq, whole) + proportion(ns, steal, whole) <= ns);
        }
    }

    fn empty() -> Box<Account> {
        let totals = Totals { idle_ns: 0, irq_ns: 0, steal_ns: 0, who: [0; HOLDERS], ns: [0; HOLDERS] };
        Box::new(Account {
            now: totals,
            until: 0,
            marked: 0,
            marks: 0,
            last: [0; HOLDERS],
            at: [0; MARKS],
            kept: [totals; MARKS],
        })
    }

    /// Runs of some microseconds each, of `people` one after the other as chance has it, for so long.
    fn run(account: &mut Account, people: u64, for_ns: u64, each_ns: u64) -> Vec<Run> {
        let mut chance = Chance(people);
        let mut runs = Vec::new();
        let (begin, mut at) = (1_000_000_000, 1_000_000_000);
        while at < begin + for_ns {
            let end = at + 1 + chance.below(2 * each_ns);
            let number = chance.below(people);
            let who = if number == 0 { who::IDLE } else { (number as u32) << who::CPU_BITS };
            let irq_ns = chance.below((end - at) / 4 + 1);
            let run = Run { start: at, end, who: u64::from(who), irq_ns, steal_ns: irq_ns / 2 };
            account.add(&run);
            runs.push(run);
            at = end;
        }
        runs
    }

    fn truth(runs: &[Run], from: u64) -> BTreeMap<u32, u64> {
        let mut sums = BTreeMap::new();
        for run in runs.iter().filter(|run| run.end > from) {
            let (whole, ns) = (run.end - run.start, run.end - run.start.max(from));
            let irq = proportion(ns, run.irq_ns, whole);
            let steal = proportion(ns, run.steal_ns, whole);
            for (who, ns) in [(run.who as u32, ns - irq - steal), (who::IRQ, irq), (who::STEAL, steal)] {
                *sums.entry(who).or_default() += ns;
            }
        }
        sums
    }

    fn told(account: &Account, from: u64) -> BTreeMap<u32, u64> {
        let mut sums: BTreeMap<u32, u64> = BTreeMap::new();
        account.since(from, |who, ns| *sums.entry(who).or_default() += ns);
        sums
    }

    #[test]
    fn a_long_wait_beside_short_runs_is_for_those_who_ran() {
        let mut account = empty();
        let runs = run(&mut account, 21, 4_000_000_000, 5_000);
        let end = runs.last().unwrap().end;
        for wait in [200_000, 900_000, 5_000_000, 40_000_000, 333_000_000, 1_700_000_000, 3_900_000_000] {
            let (told, truth) = (told(&account, end - wait), truth(&runs, end - wait));
            let sum: u64 = told.values().sum();
            assert!(sum <= wait && sum + 100 + wait / 10_000 >= wait, "{sum} of {wait}");
            for (who, ns) in truth {
                // Between two marks who ran when is not known.
                let off = told.get(&who).copied().unwrap_or(0).abs_diff(ns);
                assert!(off <= wait / 50 + 50_000, "{who}: off by {off} of {ns} in {wait}");
            }
        }
    }

    #[test]
    fn one_who_runs_all_the_time_has_it_all() {
        let mut account = empty();
        account.add(&Run { start: 5_000, end: 3_000_000_000, who: 8_192, irq_ns: 0, steal_ns: 0 });
        for from in [5_000, 1_000_000, 2_999_999_000] {
            assert_eq!(told(&account, from), [(8_192, 3_000_000_000 - from)].into());
        }
        // What was before is not known.
        assert_eq!(told(&account, 1_000).values().sum::<u64>(), 3_000_000_000 - 5_000);
    }

    #[test]
    fn who_finds_no_room_is_not_somebody_else() {
        let mut account = empty();
        let runs = run(&mut account, 3_000, 500_000_000, 5_000);
        let end = runs.last().unwrap().end;
        for wait in [1_000_000, 100_000_000] {
            let (told, truth) = (told(&account, end - wait), truth(&runs, end - wait));
            assert!(told.values().sum::<u64>() <= wait);
            for (who, ns) in told.iter().filter(|(who, _)| **who > who::UNKNOWN) {
                // A part of a slice may be of one who ran at another time in it.
                assert!(*ns <= truth.get(who).copied().unwrap_or(0) + 60_000, "{who}: {ns} of {truth:?}");
            }
        }
    }
}
