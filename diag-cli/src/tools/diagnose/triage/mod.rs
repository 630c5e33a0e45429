//! What files of the kernel tell without any program in it: read in the first second, while programs are loaded, and once more
//! at the end.

mod cgroups;
mod machine;
mod threads;

use std::{
    cell::RefCell,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use self::{cgroups::Groups, machine::Machine};
pub(super) use self::{cgroups::Quota, machine::Disk, threads::Stuck};
use crate::target::{Hierarchies, Roots};

/// How long the first reading may take; what is left then is left out.
const BUDGET: Duration = Duration::from_millis(700);
/// How long the reading at the end may take.
const LAST_BUDGET: Duration = Duration::from_millis(300);
/// Between two looks at threads in uninterruptible sleep.
const BETWEEN: Duration = Duration::from_millis(300);

/// What was read at one moment.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// When.
    pub(super) at: Instant,
    pub(super) machine: Machine,
    pub(super) groups: Groups,
}

/// What the first second has shown.
#[derive(Debug, Clone)]
pub(super) struct First {
    pub(super) reading: Reading,
    /// Threads in uninterruptible sleep in both looks.
    pub(super) stuck: Vec<Stuck>,
    /// What there was no time or room for, in words.
    pub(super) left_out: Vec<String>,
}

/// The first reading, which goes on while programs are loaded.
#[derive(Debug, Default)]
pub(super) struct Triage(RefCell<Option<JoinHandle<First>>>);

impl Triage {
    /// Begins to read.
    pub(super) fn start(&self) {
        let thread = thread::Builder::new().name("triage".to_owned()).spawn(first);
        *self.0.borrow_mut() = thread.ok();
    }

    /// The same reading, for whoever lives longer.
    pub(super) fn hand_over(&self) -> Triage {
        Triage(RefCell::new(self.0.take()))
    }

    /// What was read; none where it could not be.
    pub(super) fn finish(&self) -> Option<First> {
        self.0.borrow_mut().take()?.join().ok()
    }
}

fn first() -> First {
    let deadline = Instant::now() + BUDGET;
    let hierarchies = Hierarchies::read(&Roots::default()).ok();
    let mut left_out = Vec::new();
    let at = Instant::now();
    let machine = Machine::read();
    let groups = Groups::read(hierarchies.as_ref(), deadline, &mut left_out);
    let seen = threads::uninterruptible(deadline, &mut left_out);
    let left = deadline.saturating_duration_since(Instant::now());
    thread::sleep(if seen.is_empty() { Duration::ZERO } else { left.min(BETWEEN) });
    First { reading: Reading { at, machine, groups }, stuck: threads::still(seen), left_out }
}

/// The same once more, of the cgroups that were there at first.
pub(super) fn last(first: &Reading) -> Reading {
    let deadline = Instant::now() + LAST_BUDGET;
    Reading { at: Instant::now(), machine: Machine::read(), groups: first.groups.again(deadline) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reading_keeps_its_time() {
        let triage = Triage::default();
        let began = Instant::now();
        triage.start();
        let first = triage.finish().unwrap();
        assert!(began.elapsed() < 2 * BUDGET, "{:?}", began.elapsed());
        assert!(first.reading.machine.cpu.total > 0);
        assert!(last(&first.reading).at > first.reading.at);
        assert!(triage.finish().is_none());
    }
}
