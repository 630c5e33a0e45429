//! What the kernel side counted, before anything is named or explained.

use std::collections::HashMap;

use diag_common::delays::{Cell, SampleKey, Wait, via, what};

use super::{account::Stretch, disks::Share};

/// What was counted between two boundaries.
pub(super) struct Counted {
    /// Time by state.
    pub(super) stretch: Stretch,
    /// Waits that ended, and time of earlier stretches, by key.
    pub(super) waits: Vec<(u64, Cell)>,
    /// Time for which one group waited for a CPU that another had: the one above, the other below.
    pub(super) pairs: Vec<(u64, Cell)>,
    /// Time for which one group waited for what a disk did for another.
    pub(super) disks: Vec<Share>,
    /// Stacks of waits that nothing else explains.
    pub(super) samples: Vec<(SampleKey, Cell)>,
    /// Long waits that ended, and waits that go on.
    pub(super) ended: Vec<Wait>,
    pub(super) open: Vec<Wait>,
    /// The boundaries, ns.
    pub(super) since: u64,
    pub(super) until: u64,
}

impl Counted {
    /// Adds what was counted after the second boundary.
    pub(super) fn add(&mut self, more: Counted) {
        let mut times: HashMap<u64, i64> = self.stretch.times.drain(..).collect();
        for (of, cell) in more.waits {
            // What the first stretch shows in another state than the one that it turned out to be.
            let moved = earlier(of).map_or(0, |(from, to)| take(&mut times, from, to, cell.ns));
            let left = Cell { ns: cell.ns - moved, ..cell };
            if moved == 0 || left.ns > 0 {
                self.waits.push((of, left));
            }
        }
        for (of, ns) in more.stretch.times {
            *times.entry(of).or_default() += ns;
        }
        self.stretch.times = times.into_iter().collect();
        self.pairs.extend(more.pairs);
        self.disks.extend(more.disks);
        self.samples.extend(more.samples);
        self.ended.extend(more.ended);
        self.open = more.open;
        self.until = more.until;
    }
}

/// Of a key of [`what::LATE`], the keys of time where it stands, and where it belongs.
fn earlier(of: u64) -> Option<(u64, u64)> {
    let what = of as u32;
    let key = |state, via| {
        let time = what::with_via(what::time(state, what::place(what)), via);
        of >> 32 << 32 | u64::from(time)
    };
    let late = what::kind(what) == what::LATE;
    late.then(|| (key(what::bucket(what), via::NONE), key(what::state(what), what::via(what))))
}

/// Moves at most `ns` from one state to another, and returns how much.
fn take(times: &mut HashMap<u64, i64>, from: u64, to: u64, ns: u64) -> u64 {
    let Some(there) = times.get_mut(&from).filter(|there| **there > 0) else { return 0 };
    let moved = ns.min(there.cast_unsigned());
    *there -= moved.cast_signed();
    *times.entry(to).or_default() += moved.cast_signed();
    moved
}

#[cfg(test)]
mod tests {
    use diag_common::cause::Cause;

    use super::*;

    fn counted(times: &[(u64, i64)], waits: &[(u64, Cell)], since: u64, until: u64) -> Counted {
        Counted {
            stretch: Stretch { times: times.to_vec(), ..Stretch::default() },
            waits: waits.to_vec(),
            pairs: Vec::new(),
            disks: Vec::new(),
            samples: Vec::new(),
            ended: Vec::new(),
            open: Vec::new(),
            since,
            until,
        }
    }

    #[test]
    fn what_a_wait_turns_out_to_be_corrects_the_stretch_before() {
        let key = |what| 7 << 32 | u64::from(what);
        let (sleep, device) = (what::time(what::IOWAIT, 3), what::time(Cause::Device as u32, 3));
        let late = what::with_bucket(what::of_kind(device, what::LATE), what::IOWAIT);
        let mut sum = counted(&[(key(sleep), 30)], &[], 0, 100);
        let more = [(key(late), Cell { count: 0, ns: 40 })];
        sum.add(counted(&[(key(device), 5), (key(sleep), 2)], &more, 100, 200));
        let mut times = sum.stretch.times;
        times.sort_unstable();
        assert_eq!(times, [(key(device), 35), (key(sleep), 2)]);
        // What lies before the first stretch is for the records before.
        assert_eq!(sum.waits, [(key(late), Cell { count: 0, ns: 10 })]);
        assert_eq!((sum.since, sum.until), (0, 200));
    }
}
