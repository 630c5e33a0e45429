//! Who ran on a CPU, in sum: for waits that are longer than what the ring of single runs holds.
//!
//! A CPU keeps running totals by who ran, and marks: copies of them, one a millisecond at most. Marks of which every
//! second one is forgotten after a while, and of those every second one again, reach back for minutes with few of them. What
//! a wait was for is the difference of the totals now and at the first mark after it began, and before that mark a part of
//! what ran between the two marks around the beginning.

use super::{Run, who};

/// Whom a CPU's totals can tell apart by who ran, a power of two.
pub const HOLDERS: usize = 64;
/// Behind them stand the times of no task: idle, interrupts, the hypervisor.
const IDLE: usize = HOLDERS;
const IRQ: usize = HOLDERS + 1;
const STEAL: usize = HOLDERS + 2;
const ENTRIES: usize = HOLDERS + 4;
/// Places in which one of them may be.
const WAYS: usize = 4;
/// Totals that a CPU keeps, a power of two: marks, and the running ones.
pub const KEPT: usize = 64;
/// Bits of a place's number.
const PLACE_BITS: u32 = KEPT.trailing_zeros();
/// The place of the running ones.
const NOW: usize = KEPT - 1;
/// Marks of one level; those of the next one are twice as far apart. The last level has one less.
const OF_A_LEVEL: u64 = 4;
const LAST_LEVEL: u32 = (KEPT as u64 / OF_A_LEVEL - 1) as u32;
/// The least time between two marks, ns.
const STEP_NS: u64 = 1_000_000;

/// Time by who ran.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Totals {
    /// Who; 0 for a free place.
    pub who: [u32; ENTRIES],
    /// For how long, ns, since they are in the table.
    pub ns: [u64; ENTRIES],
}

/// What a CPU remembers of a long time.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Account {
    /// When the last mark was made, ns.
    pub marked: u64,
    /// How many marks were made.
    pub marks: u64,
    /// When each holder ran last, ns.
    pub last: [u64; HOLDERS],
    /// Up to when the totals of each place are, ns; 0 for none.
    pub at: [u64; KEPT],
    /// The number of each place that is in use: to the verifier a number that it does not know, so that it need not tell the
    /// ends of a search from each other.
    pub number: [u64; KEPT],
    /// The totals.
    pub kept: [Totals; KEPT],
}

/// `part * ns / whole`, rounded down: how much of a part of `whole` falls on `ns` of it. Exact as long as `whole` is below
/// 2^32, 4.3 s; to four digits beyond. Never above `part`, nor above `ns`.
///
/// It has no ways of its own for special cases: each would be a state that the verifier follows to the end.
#[inline(always)]
pub fn proportion(ns: u64, part: u64, whole: u64) -> u64 {
    let shift = excess(whole);
    let scaled = ((ns >> shift) * (part >> shift) / (whole >> shift).max(1)) << shift;
    scaled.min(ns).min(part)
}

/// All ones for a negative number, else 0. In assembly, lest the compiler make a branch of what is done with it: in a loop each
/// of them is a way of its own to the verifier.
#[inline(always)]
fn sign(number: i64) -> i64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut bits = number;
        // SAFETY: arithmetic alone.
        unsafe { core::arch::asm!("{bits} s>>= 63", bits = inout(reg) bits, options(nostack, nomem, pure)) };
        bits
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        number >> 63
    }
}

/// The larger of two numbers that are not negative.
#[inline(always)]
fn larger(one: i64, other: i64) -> i64 {
    let less = one.wrapping_sub(other);
    one.wrapping_sub(less & sign(less))
}

/// By how many bits numbers of this length are to be shortened, so that a product of two has room.
#[inline(always)]
fn excess(number: u64) -> u32 {
    if number >> 32 == 0 { 0 } else { 16 }
}

/// A place of totals. In assembly, since the compiler knows that the number is one, and the verifier does not: to it the `|` of
/// two numbers can be any (before 6.9, `adjust_scalar_min_max_vals` in kernel/bpf/verifier.c).
#[inline(always)]
fn kept(place: u64) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut place = place;
        // SAFETY: arithmetic alone; what it leaves is below.
        unsafe {
            core::arch::asm!("{place} &= {last}", place = inout(reg) place, last = const KEPT - 1, options(nostack, nomem, pure));
            core::hint::assert_unchecked(place < KEPT as u64);
        }
        place as usize
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        place as usize & (KEPT - 1)
    }
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
        if self.at[NOW] == 0 {
            self.at[NOW] = run.start;
            self.number[NOW] = NOW as u64;
            let now = &mut self.kept[NOW];
            (now.who[IDLE], now.who[IRQ], now.who[STEAL]) = (who::IDLE, who::IRQ, who::STEAL);
            self.mark();
        }
        let ns = run.end.saturating_sub(run.start).saturating_sub(run.irq_ns + run.steal_ns);
        self.kept[NOW].ns[IRQ] += run.irq_ns;
        self.kept[NOW].ns[STEAL] += run.steal_ns;
        if run.who as u32 == who::IDLE {
            self.kept[NOW].ns[IDLE] += ns;
        } else {
            let place = self.place(run.who as u32);
            self.kept[NOW].ns[place] += ns;
            self.last[place] = run.end;
        }
        self.at[NOW] = run.end;
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
            if self.kept[NOW].who[place] == who {
                return place;
            }
            if self.last[place] < self.last[oldest] {
                oldest = place;
            }
        }
        self.kept[NOW].who[oldest] = who;
        self.kept[NOW].ns[oldest] = 0;
        oldest
    }

    /// Keeps the totals as they are.
    #[inline(never)]
    fn mark(&mut self) {
        let number = self.marks;
        self.marks = number + 1;
        self.marked = self.at[NOW];
        let zeros = number.trailing_zeros();
        let level = if zeros < LAST_LEVEL { zeros } else { LAST_LEVEL };
        let within = (number >> (level + 1)) & (OF_A_LEVEL - 1);
        let place = u64::from(level) * OF_A_LEVEL + within;
        // The running totals have the last place.
        let place = kept(if place == NOW as u64 { place - 1 } else { place });
        self.at[place] = self.at[NOW];
        self.number[place] = place as u64;
        for entry in 0..ENTRIES {
            let (who, ns) = (self.kept[NOW].who[entry], self.kept[NOW].ns[entry]);
            store(&mut self.kept[place].who[entry], who);
            store(&mut self.kept[place].ns[entry], ns);
        }
    }

    /// The places of the last totals up to a moment, and of the first after it, which are the running ones where there was no
    /// mark since. Without any before, the first is that of totals which were never made.
    ///
    /// A search by comparisons has more ways through 64 places than the verifier goes; this one has a single way.
    #[inline(always)]
    fn around(&self, moment: u64) -> (usize, usize) {
        let (mut last, mut first) = (0_i64, 0_i64);
        for place in 0..KEPT {
            let at = self.at[place];
            // Ordered by time, with the place below it; positive, at a resolution of 256 ns.
            let key = ((at >> 8) << PLACE_BITS | self.number[place]) as i64;
            // All ones where it is later.
            let later = sign(moment.wrapping_sub(at) as i64);
            last = larger(last, key & !later);
            first = larger(first, !key & i64::MAX & later);
        }
        (last as usize & (KEPT - 1), !first as usize & (KEPT - 1))
    }

    /// Tells of each who ran since `from`, and how long, ns. What is not told is not known: who made room for others
    /// meanwhile, and what was before the first mark.
    #[inline(always)]
    pub fn since(&self, from: u64, tell: &mut impl FnMut(u32, u64)) {
        let (left, right) = self.around(from);
        let (before_at, after_at) = (self.at[left], self.at[right]);
        let (left, right) = (&self.kept[left], &self.kept[right]);
        if before_at != 0 && before_at <= from && after_at > from {
            grown(right, left, after_at - from, after_at - before_at, tell);
        }
        grown(&self.kept[NOW], right, 1, 1, tell);
    }
}

/// Tells by how much the totals of each have grown from `older` to `newer`: `ns` of `whole` of it.
#[inline(never)]
fn grown(newer: &Totals, older: &Totals, ns: u64, whole: u64, tell: &mut impl FnMut(u32, u64)) {
    let shift = excess(whole);
    let (ns, whole) = (ns >> shift, (whole >> shift).max(1));
    for entry in 0..ENTRIES {
        let who = newer.who[entry];
        // Who is in the table since then has been counted since then.
        let another = sign(-i64::from(older.who[entry] ^ who)) as u64;
        let growth = newer.ns[entry].wrapping_sub(older.ns[entry] & !another);
        let growth = growth & !sign(growth as i64) as u64;
        let part = ((growth >> shift) * ns / whole) << shift;
        if part != 0 {
            tell(who, part);
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
            let least = if whole < 1 << 32 { 0 } else { whole >> 14 };
            assert!(off <= least, "{part} * {ns} / {whole}: {got}, not {exact}");
        }
        assert_eq!((proportion(0, 5, 9), proportion(5, 0, 9), proportion(9, 5, 9)), (0, 0, 5));
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
        Box::new(Account {
            marked: 0,
            marks: 0,
            last: [0; HOLDERS],
            at: [0; KEPT],
            number: [0; KEPT],
            kept: [Totals { who: [0; ENTRIES], ns: [0; ENTRIES] }; KEPT],
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
            let who = if number == 0 { who::IDLE } else { (number as u32) << 13 };
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
        account.since(from, &mut |who, ns| *sums.entry(who).or_default() += ns);
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
