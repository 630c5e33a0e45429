//! When to look, and what a look has shown that is new.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use diag_common::hung::{AWAKE, BLOCKED, IN_TARGET, Sleeper};

use super::scan::Sleepers;

/// The least time between two looks, and the time between them while something is stuck, so that its end is seen soon.
const SOON: Duration = Duration::from_millis(50);
const WHILE_STUCK: Duration = Duration::from_millis(100);
/// Looks and what follows from them may take this share of a CPU: one in so many parts. It is 4 %, so that all stays below the 5 %
/// that are promised, with what was saved up and a last look that takes more than there is left.
const SHARE: u32 = 25;
/// CPU time that can be saved up for a costly look: what little more than a second without any earns.
const MOST_CREDIT: Duration = Duration::from_millis(50);

/// Which sleep of which thread: a thread, and how often it has been switched out.
pub(super) type Sleep = (u32, u64);

/// Decides when to look. A task that sleeps now crosses the threshold no sooner than the rest of its time, and one that does
/// not sleep yet no sooner than after the whole of it.
pub(super) struct Watch {
    threshold: Duration,
    /// When the next look is called for by what is known of the sleeps; the first one, at once.
    wanted: Option<Instant>,
    /// When there is CPU time for it.
    affordable: Instant,
    stuck: BTreeMap<u32, u64>,
    /// CPU time that may be spent before the next look has to wait, or that was spent too much, ns; as of `credited`.
    credit_ns: i64,
    credited: Instant,
}

/// What a look has shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Threads that have crossed the threshold.
    pub(super) crossed: BTreeSet<u32>,
    /// Sleeps that have ended.
    pub(super) ended: Vec<Sleep>,
}

impl Watch {
    /// The first look is due at once.
    pub(super) fn new(threshold: Duration, now: Instant) -> Watch {
        Watch {
            threshold,
            wanted: None,
            affordable: now,
            stuck: BTreeMap::new(),
            credit_ns: 0,
            credited: now,
        }
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.wanted.is_none_or(|wanted| now >= wanted.max(self.affordable))
    }

    /// How late the next look is by now.
    pub(super) fn delay(&self, now: Instant) -> Duration {
        self.wanted.map_or(Duration::ZERO, |wanted| now.saturating_duration_since(wanted))
    }

    /// Takes a look, which has ended `now`.
    pub(super) fn look(&mut self, sleepers: &Sleepers, now: Instant) -> News {
        let mut next = if self.stuck.is_empty() { self.threshold } else { WHILE_STUCK };
        let mut news = News::default();
        let blocked = |sleeper: &Sleeper| sleeper.flags & BLOCKED != 0;
        self.stuck.retain(|&tid, &mut switches| {
            let same = sleepers.get(&tid).is_some_and(|now| blocked(now) && now.switches == switches);
            if !same {
                news.ended.push((tid, switches));
            }
            same
        });
        for sleeper in sleepers.values().filter(|sleeper| blocked(sleeper) && sleeper.flags & IN_TARGET != 0)
        {
            if self.stuck.contains_key(&sleeper.pid) {
                continue;
            }
            let asleep = Duration::from_nanos(sleeper.asleep_ns);
            if sleeper.flags & AWAKE != 0 {
                // Just woken, or about to sleep.
                next = next.min(self.threshold.saturating_sub(asleep).max(SOON));
            } else if asleep >= self.threshold {
                self.stuck.insert(sleeper.pid, sleeper.switches);
                news.crossed.insert(sleeper.pid);
                next = next.min(WHILE_STUCK);
            } else {
                next = next.min(self.threshold - asleep);
            }
        }
        self.wanted = Some(now + next.max(SOON));
        news
    }

    /// So much CPU time was spent, up to `now`: the next look comes once all of them have had no more than their share. What was
    /// not used is there for a while, so that one costly look does not put off the next.
    pub(super) fn spent(&mut self, now: Instant, cost: Duration) {
        let ns = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let earned = ns(now.saturating_duration_since(self.credited) / SHARE);
        self.credit_ns = self.credit_ns.saturating_add(earned).min(ns(MOST_CREDIT)).saturating_sub(ns(cost));
        self.credited = now;
        let owed = Duration::from_nanos(self.credit_ns.min(0).unsigned_abs());
        self.affordable = now + owed * SHARE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: Duration = Duration::from_secs(10);

    fn sleeper(pid: u32, asleep: Duration, switches: u64) -> (u32, Sleeper) {
        // SAFETY: all of its fields are integers.
        let zero: Sleeper = unsafe { std::mem::zeroed() };
        let asleep_ns = asleep.as_nanos() as u64;
        (pid, Sleeper { pid, asleep_ns, switches, flags: BLOCKED | IN_TARGET, ..zero })
    }

    fn after(watch: &Watch, now: Instant) -> Duration {
        watch.wanted.unwrap_or(now).max(watch.affordable).saturating_duration_since(now)
    }

    #[test]
    fn a_quiet_machine_is_looked_at_once_in_a_threshold() {
        let now = Instant::now();
        let mut watch = Watch::new(THRESHOLD, now);
        assert!(watch.is_due(now));
        assert_eq!(watch.look(&Sleepers::new(), now), News::default());
        assert_eq!(after(&watch, now), THRESHOLD);
    }

    #[test]
    fn the_next_look_is_when_the_oldest_sleep_crosses() {
        let now = Instant::now();
        let mut watch = Watch::new(THRESHOLD, now);
        let ages = [Duration::from_secs(3), Duration::from_secs(7), Duration::from_millis(1)];
        let sleepers = (1..).zip(ages).map(|(pid, age)| sleeper(pid, age, 1)).collect();
        assert_eq!(watch.look(&sleepers, now), News::default());
        assert_eq!(after(&watch, now), Duration::from_secs(3));
    }

    #[test]
    fn a_sleep_is_told_once_when_it_crosses_and_once_when_it_ends() {
        let now = Instant::now();
        let mut watch = Watch::new(THRESHOLD, now);
        let stuck = Sleepers::from([sleeper(7, THRESHOLD, 3)]);
        assert_eq!(watch.look(&stuck, now).crossed, BTreeSet::from([7]));
        assert_eq!(after(&watch, now), WHILE_STUCK);
        assert_eq!(watch.look(&stuck, now), News::default());
        // It went on, and is stuck again.
        let again = Sleepers::from([sleeper(7, THRESHOLD, 5)]);
        let expected = News { crossed: BTreeSet::from([7]), ended: vec![(7, 3)] };
        assert_eq!(watch.look(&again, now), expected);
        assert_eq!(watch.look(&Sleepers::new(), now).ended, vec![(7, 5)]);
    }

    #[test]
    fn whoever_is_awake_or_elsewhere_is_not_stuck() {
        let now = Instant::now();
        let mut watch = Watch::new(THRESHOLD, now);
        let (_, old) = sleeper(7, 2 * THRESHOLD, 3);
        let others = [Sleeper { flags: old.flags | AWAKE, ..old }, Sleeper { pid: 8, flags: BLOCKED, ..old }];
        let sleepers = others.map(|sleeper| (sleeper.pid, sleeper)).into();
        assert_eq!(watch.look(&sleepers, now), News::default());
        assert_eq!(after(&watch, now), SOON);
    }

    #[test]
    fn looks_that_cost_much_are_rare() {
        let now = Instant::now();
        let mut watch = Watch::new(Duration::from_millis(100), now);
        watch.look(&Sleepers::new(), now);
        watch.spent(now, Duration::from_millis(20));
        assert_eq!(after(&watch, now), Duration::from_millis(500));
        // What was not used before is there for a while, but not for ever.
        let later = now + Duration::from_secs(60);
        watch.look(&Sleepers::new(), later);
        watch.spent(later, Duration::from_millis(40));
        assert_eq!(after(&watch, later), Duration::from_millis(100));
        watch.spent(later, Duration::from_millis(40));
        assert_eq!(after(&watch, later), Duration::from_millis(750));
    }

    #[test]
    fn all_that_is_spent_stays_within_the_share() {
        // For a minute each look takes 7 ms, what follows from it 5, and each turn of the session's loop 100 µs.
        let (start, turn) = (Instant::now(), Duration::from_millis(50));
        let mut watch = Watch::new(Duration::from_millis(100), start);
        let (mut spent, mut looks) = (Duration::ZERO, 0);
        for now in (0..1200).map(|number| start + number * turn) {
            let mut cost = Duration::from_micros(100);
            if watch.is_due(now) {
                watch.look(&Sleepers::new(), now);
                looks += 1;
                cost += Duration::from_millis(12);
            }
            watch.spent(now, cost);
            spent += cost;
        }
        assert!(spent <= 1200 * turn / SHARE + Duration::from_millis(12), "{spent:?}");
        assert!(looks > 150, "{looks} looks");
    }

    #[test]
    fn a_look_that_is_put_off_is_late_by_that() {
        let now = Instant::now();
        let mut watch = Watch::new(Duration::from_millis(100), now);
        watch.look(&Sleepers::new(), now);
        watch.spent(now, Duration::from_millis(20));
        assert_eq!(watch.delay(now), Duration::ZERO);
        assert!(!watch.is_due(now + Duration::from_millis(499)));
        assert_eq!(watch.delay(now + Duration::from_millis(500)), Duration::from_millis(400));
    }
}
