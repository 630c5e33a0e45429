//! What is known of a thread.

use super::via;
use crate::runnable::Runnable;

/// What a thread does.
pub mod phase {
    /// Nothing is known yet.
    pub const UNKNOWN: u32 = 0;
    /// It runs.
    pub const ON_CPU: u32 = 1;
    /// It could run.
    pub const RUNNABLE: u32 = 2;
    /// It sleeps.
    pub const ASLEEP: u32 = 3;
    /// It is not counted: outside of the target.
    pub const OUTSIDE: u32 = 4;
}

/// What is known of a thread.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Thread {
    /// Not 0 where somebody has begun to count the thread.
    pub claimed: u64,
    /// When the piece began, ns.
    pub since: u64,
    /// When the wait began, ns: the same, or earlier where it is known from before the session.
    pub began: u64,
    /// When it was last woken while it ran, ns.
    pub woken: u64,
    /// [`phase`].
    pub phase: u32,
    /// The cell that the piece is counted in.
    pub what: u32,
    /// The group's number; 0 where there are too many.
    pub who: u32,
    /// What it is in, as bits: reclaim and the like.
    pub contexts: u32,
    /// The sleeping lock that it contends for; 0 for none.
    pub lock: u64,
    /// Its `css_set`, and its name, as of when it got its number.
    pub css: u64,
    /// Its name.
    pub comm: [u64; 2],
    /// What is known of its wait for a CPU, where it could run.
    pub wait: Runnable,
    /// Its latest waits for one of [`via`], where little else came between them: when they began, ns.
    pub hindered: u64,
    /// When they ended, ns, above [`Thread::VIA_BITS`] for what it was.
    pub hindered_until: u64,
    /// The stack that it took when it went to sleep, where it cannot be taken later; 0 for none.
    pub stack: u32,
    /// Not 0 where it sleeps interruptibly.
    pub interruptible: u32,
    /// The group of the task that had that lock when the thread went to sleep for it; 0 where that is not known.
    pub owner: u32,
    /// [`crate::contention::Kind`] of that lock.
    pub kind: u32,
    /// For how many waits that stack stands.
    pub stands_for: u32,
    /// Zero.
    pub reserved: u32,
}

impl Thread {
    /// Bits of [`via`] in [`Thread::hindered_until`].
    pub const VIA_BITS: u32 = 2;

    /// Notes a wait for one of [`via`].
    #[inline(always)]
    pub fn hinder(&mut self, via: u32, began: u64, until: u64) {
        let last_end = self.hindered_until >> Self::VIA_BITS;
        let last = last_end.saturating_sub(self.hindered);
        let between = began.saturating_sub(last_end);
        let same = self.hindered_until as u32 & ((1 << Self::VIA_BITS) - 1) == via;
        if same && between <= last / 4 {
            self.hindered_until = until << Self::VIA_BITS | u64::from(via);
        } else if until.saturating_sub(began) >= last / 2 || between > last {
            self.hindered = began;
            self.hindered_until = until << Self::VIA_BITS | u64::from(via);
        }
    }

    /// What it was waiting for in at least half of the time since `began`, until `until`; [`via::NONE`] where it was not.
    #[inline(always)]
    pub fn hindrance(&self, began: u64, until: u64) -> u32 {
        let end = (self.hindered_until >> Self::VIA_BITS).min(until);
        let ns = end.saturating_sub(self.hindered.max(began));
        if ns == 0 || ns < until.saturating_sub(began) / 2 {
            return via::NONE;
        }
        self.hindered_until as u32 & ((1 << Self::VIA_BITS) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ends_a_wait_hindered_it_if_it_waited_itself_for_half_of_it() {
        let mut waker = Thread::default();
        assert_eq!(waker.hindrance(1_000, 2_000), via::NONE);
        waker.hinder(via::DEVICE, 1_100, 1_500);
        // Not long after the last one, and for the same.
        waker.hinder(via::DEVICE, 1_550, 1_800);
        // Next to nothing beside that.
        waker.hinder(via::RUNQUEUE, 1_810, 1_820);
        assert_eq!(waker.hindrance(1_000, 2_000), via::DEVICE);
        assert_eq!(waker.hindrance(1_600, 2_000), via::DEVICE);
        assert_eq!(waker.hindrance(1_700, 2_000), via::NONE);
        assert_eq!(waker.hindrance(100, 2_000), via::NONE);
        waker.hinder(via::QUEUE, 5_000, 5_100);
        assert_eq!(waker.hindrance(5_000, 5_200), via::QUEUE);
    }
}
