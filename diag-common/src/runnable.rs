//! A wait for a CPU. Shared by every tool that says who had the CPU meanwhile.

use crate::quota::Hold;

/// What is known of a wait for a CPU, beside since when it goes on.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Runnable {
    /// Up to when it is settled who had the CPU, where the task has changed queues, ns; else of an earlier wait.
    pub settled: u64,
    /// What was known of its CPU quota when the wait began.
    pub hold: Hold,
}

impl Runnable {
    /// From when on it is not settled yet who had the CPU, in a wait since `since` of which a quota has had `held`: that came first,
    /// while no other task was in its way.
    #[inline(always)]
    pub fn unsettled(&self, since: u64, held: u64) -> u64 {
        self.settled.max(since + held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_a_quota_holds_a_thread_no_other_is_in_its_way() {
        let mut wait = Runnable { settled: 500, ..Runnable::default() };
        // What was settled of an earlier wait is none of this one.
        assert_eq!(wait.unsettled(1_000, 0), 1_000);
        assert_eq!(wait.unsettled(1_000, 300), 1_300);
        wait.settled = 1_200;
        assert_eq!(wait.unsettled(1_000, 300), 1_300);
        assert_eq!(wait.unsettled(1_000, 100), 1_200);
    }
}
