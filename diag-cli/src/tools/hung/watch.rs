//! When to look, and what a look has shown that is new.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use diag_common::hung::{AWAKE, BLOCKED, IN_TARGET, Sleeper};

use super::{budget::Budget, scan::Sleepers};

/// The least time between two looks, and the time between them while something is stuck, so that its end is seen soon.
const SOON: Duration = Duration::from_millis(50);
const WHILE_STUCK: Duration = Duration::from_millis(100);
/// Which sleep of which thread: a thread, and how often it has been switched out.
pub(super) type Sleep = (u32, u64);

/// Decides when to look. A task that sleeps now crosses the threshold no sooner than the rest of its time, and one that does
/// not sleep yet no sooner than after the whole of it.
pub(super) struct Watch {
    threshold: Duration,
    /// When the next look is called for by what is known of the sleeps; the first one, at once.
    wanted: Option<Instant>,
    stuck: BTreeMap<u32, u64>,
    /// Tasks that have crossed the threshold and for which there was no room, and since when there are any.
    left: usize,
    left_since: Option<Instant>,
    /// What it costs.
    pub(super) budget: Budget,
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
        let budget = Budget::new(now);
        Watch { threshold, wanted: None, stuck: BTreeMap::new(), left: 0, left_since: None, budget }
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let affordable = self.budget.affordable(self.left > 0);
        self.wanted.is_none_or(|wanted| now >= wanted.max(affordable))
    }

    /// Tasks that had crossed the threshold at the last look and have not been told of.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// How late the next look is by now.
    pub(super) fn delay(&self, now: Instant) -> Duration {
        self.wanted.map_or(Duration::ZERO, |wanted| now.saturating_duration_since(wanted))
    }

    /// Takes a look, which has ended `now`. Of the tasks that have crossed the threshold it tells of so many, the longest first, and
    /// leaves the others to the next looks.
    pub(super) fn look(&mut self, sleepers: &Sleepers, now: Instant, room: usize) -> News {
        let mut next = if self.stuck.is_empty() { self.threshold } else { WHILE_STUCK };
        let mut news = News::default();
        let mut crossed = Vec::new();
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
                crossed.push(sleeper);
                next = next.min(WHILE_STUCK);
            } else {
                next = next.min(self.threshold - asleep);
            }
        }
        crossed.sort_by_key(|sleeper| Reverse(sleeper.asleep_ns));
        for sleeper in crossed.iter().take(room) {
            self.stuck.insert(sleeper.pid, sleeper.switches);
            news.crossed.insert(sleeper.pid);
        }
        self.left = crossed.len().saturating_sub(room);
        self.left_since = (self.left > 0).then(|| self.left_since.unwrap_or(now));
        self.wanted = Some(self.left_since.unwrap_or(now + next.max(SOON)));
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::hung::budget::SHARE;

    const THRESHOLD: Duration = Duration::from_secs(10);

    fn sleeper(pid: u32, asleep: Duration, switches: u64) -> (u32, Sleeper) {
        // SAFETY: all of its fields are integers.
        let zero: Sleeper = unsafe { std::mem::zeroed() };
        let asleep_ns = asleep.as_nanos() as u64;
        (pid, Sleeper { pid, asleep_ns, switches, flags: BLOCKED | IN_TARGET, ..zero })
    }

    fn after(watch: &Watch, now: Instant) -> Duration {
        watch.wanted.unwrap_or(now).saturating_duration_since(now)
    }

    #[test]
    fn a_quiet_machine_is_looked_at_once_in_a_threshold() {
        let now = Instant::now();
        let mut watch = Watch::new(THRESHOLD, now);
        assert!(watch.is_due(now));
        assert_eq!(watch.look(&Sleepers::new(), now, usize::MAX), News::default());
        assert_eq!(after(&watch, now), THRESHOLD);
    }

    #[test]
    fn the_next_look_is_when_the_oldest_sleep_crosses() {
        let now = Instant::now();
        let mut watch = Watch::new(THRESHOLD, now);
        let ages = [Duration::from_secs(3), Duration::from_secs(7), Duration::from_millis(1)];
        let sleepers = (1..).zip(ages).map(|(pid, age)| sleeper(pid, age, 1)).collect();
        assert_eq!(watch.look(&sleepers, now, usize::MAX), News::default());
        assert_eq!(after(&watch, now), Duration::from_secs(3));
    }

    #[test]
    fn a_sleep_is_told_once_when_it_crosses_and_once_when_it_ends() {
        let now = Instant::now();
        let mut watch = Watch::new(THRESHOLD, now);
        let stuck = Sleepers::from([sleeper(7, THRESHOLD, 3)]);
        assert_eq!(watch.look(&stuck, now, usize::MAX).crossed, BTreeSet::from([7]));
        assert_eq!(after(&watch, now), WHILE_STUCK);
        assert_eq!(watch.look(&stuck, now, usize::MAX), News::default());
        // It went on, and is stuck again.
        let again = Sleepers::from([sleeper(7, THRESHOLD, 5)]);
        let expected = News { crossed: BTreeSet::from([7]), ended: vec![(7, 3)] };
        assert_eq!(watch.look(&again, now, usize::MAX), expected);
        assert_eq!(watch.look(&Sleepers::new(), now, usize::MAX).ended, vec![(7, 5)]);
    }

    #[test]
    fn whoever_is_awake_or_elsewhere_is_not_stuck() {
        let now = Instant::now();
        let mut watch = Watch::new(THRESHOLD, now);
        let (_, old) = sleeper(7, 2 * THRESHOLD, 3);
        let others = [Sleeper { flags: old.flags | AWAKE, ..old }, Sleeper { pid: 8, flags: BLOCKED, ..old }];
        let sleepers = others.map(|sleeper| (sleeper.pid, sleeper)).into();
        assert_eq!(watch.look(&sleepers, now, usize::MAX), News::default());
        assert_eq!(after(&watch, now), SOON);
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
                watch.look(&Sleepers::new(), now, usize::MAX);
                looks += 1;
                cost += Duration::from_millis(12);
            }
            watch.budget.spent(now, cost);
            spent += cost;
        }
        assert!(spent <= 1200 * turn / SHARE + Duration::from_millis(50 + 12), "{spent:?}");
        assert!(looks > 150, "{looks} looks");
    }

    #[test]
    fn a_look_that_is_put_off_is_late_by_that() {
        let now = Instant::now();
        let mut watch = Watch::new(Duration::from_millis(100), now);
        watch.look(&Sleepers::new(), now, usize::MAX);
        watch.budget.spent(now, Duration::from_millis(70));
        assert_eq!(watch.delay(now), Duration::ZERO);
        assert!(!watch.is_due(now + Duration::from_millis(499)));
        assert!(watch.is_due(now + Duration::from_millis(500)));
        assert_eq!(watch.delay(now + Duration::from_millis(500)), Duration::from_millis(400));
    }

    #[test]
    fn a_crowd_is_told_in_parts_the_longest_first_and_the_rest_is_late() {
        let now = Instant::now();
        let mut watch = Watch::new(THRESHOLD, now);
        let stuck: Sleepers =
            (1..=5).map(|pid| sleeper(pid, THRESHOLD + Duration::from_millis(u64::from(pid)), 1)).collect();
        assert_eq!(watch.look(&stuck, now, 2).crossed, BTreeSet::from([4, 5]));
        assert_eq!(watch.left(), 3);
        let later = now + Duration::from_secs(1);
        assert_eq!(watch.delay(later), Duration::from_secs(1));
        assert_eq!(watch.look(&stuck, later, 2).crossed, BTreeSet::from([2, 3]));
        assert_eq!(watch.delay(later), Duration::from_secs(1));
        assert_eq!(watch.look(&stuck, later, 2).crossed, BTreeSet::from([1]));
        assert_eq!((watch.left(), watch.delay(later)), (0, Duration::ZERO));
    }
}
