//! The CPU time that may be spent.

use std::time::{Duration, Instant};

/// This share of a CPU for looks: one in so many parts. It is 4 %, so that all stays below the 5 % that are promised, with what was saved
/// up, a last look that takes more than there is left, and the session's loop.
pub(super) const SHARE: u32 = 25;
/// What can be saved up for a costly look: what little more than a second without any earns. It is there from the beginning.
const MOST: Duration = Duration::from_millis(50);
/// What is saved up to describe a part of a crowd: each part costs a pass over all tasks, too.
const PART: Duration = Duration::from_millis(40);
/// Tasks that are described whatever they cost, and from how many on it is known what one costs.
const FEW: usize = 32;
/// What describing a task costs until that is known.
const TASK: Duration = Duration::from_micros(200);

/// What is left of the share.
pub(super) struct Budget {
    /// CPU time that may be spent, or that was spent too much, ns; as of `credited`.
    credit_ns: i64,
    credited: Instant,
    /// What one pass over all tasks costs, and what describing one of them does, with writing what is told of it.
    pass: Duration,
    task: Duration,
}

fn ns(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

impl Budget {
    pub(super) fn new(now: Instant) -> Budget {
        Budget { credit_ns: ns(MOST), credited: now, pass: Duration::ZERO, task: TASK }
    }

    /// So much was spent up to `now`. What was not used before is there for a while, so that one costly look does not put off the
    /// next.
    pub(super) fn spent(&mut self, now: Instant, cost: Duration) {
        let earned = ns(now.saturating_duration_since(self.credited) / SHARE);
        self.credit_ns = self.credit_ns.saturating_add(earned).min(ns(MOST)).saturating_sub(ns(cost));
        self.credited = now;
    }

    /// When nothing is owed any more, or there is enough for the next part of a crowd.
    pub(super) fn affordable(&self, part: bool) -> Instant {
        let wanted = if part { ns(PART) } else { 0 };
        let missing = Duration::from_nanos(wanted.saturating_sub(self.credit_ns).max(0).unsigned_abs());
        self.credited + missing * SHARE
    }

    /// How many tasks can be described for what there is, after another pass.
    pub(super) fn tasks(&self) -> usize {
        let credit = Duration::from_nanos(self.credit_ns.max(0).unsigned_abs());
        let affordable = credit.saturating_sub(self.pass).as_nanos() / self.task.as_nanos().max(1);
        usize::try_from(affordable).unwrap_or(usize::MAX).max(FEW)
    }

    /// What a look has cost: its pass, and in all, with so many tasks described.
    pub(super) fn looked(&mut self, pass: Duration, all: Duration, tasks: usize) {
        self.pass = pass;
        if tasks >= FEW {
            self.task = all.saturating_sub(pass) / u32::try_from(tasks).unwrap_or(u32::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_spent_is_earned_first() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        budget.spent(now, 50 * MS);
        assert_eq!(budget.affordable(false), now);
        assert_eq!(budget.affordable(true), now + 1000 * MS);
        budget.spent(now, 20 * MS);
        assert_eq!(budget.affordable(false), now + 500 * MS);
        // What was not used before is there for a while, but not for ever.
        let later = now + Duration::from_secs(60);
        budget.spent(later, 40 * MS);
        assert_eq!(budget.affordable(false), later);
        budget.spent(later, 40 * MS);
        assert_eq!(budget.affordable(false), later + 750 * MS);
    }

    #[test]
    fn a_crowd_is_described_as_far_as_there_is_time() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        assert_eq!(budget.tasks(), 250);
        // What a few cost is no measure.
        budget.looked(10 * MS, 30 * MS, 1);
        assert_eq!(budget.tasks(), 200);
        budget.looked(10 * MS, 20 * MS, 100);
        assert_eq!(budget.tasks(), 400);
        budget.spent(now, 60 * MS);
        assert_eq!(budget.tasks(), FEW);
    }
}
