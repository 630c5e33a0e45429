//! What the kernel side counted, before anything is named or explained.

use std::{cmp::Reverse, collections::HashMap, hash::Hash};

use diag_common::delays::{Cell, SampleKey, Wait, via, what};

use super::{account::Stretch, harvest::LONGEST};

/// Of waits that ended, so many at least are kept, however many epochs there are: the stacks of some will say that they lost nothing.
const ENDED: usize = 4 * LONGEST;

/// What was counted between two boundaries.
pub(super) struct Counted {
    /// Time by state.
    pub(super) stretch: Stretch,
    /// Waits that ended, and time of earlier stretches, by key.
    pub(super) waits: HashMap<u64, Cell>,
    /// Time for which one group waited for a CPU that another had: the one above, the other below.
    pub(super) pairs: HashMap<u64, Cell>,
    /// Time for which one group waited for what a disk did for another, ns: the former's number and the latter's.
    pub(super) disks: HashMap<(u32, u32), u64>,
    /// Time for which one group slept for a lock that another had: the one above, the other below.
    pub(super) locks: HashMap<u64, Cell>,
    /// Stacks of waits that nothing else explains; of no half.
    pub(super) samples: HashMap<SampleKey, Cell>,
    /// Long waits that ended, the longest [`ENDED`] at least, and waits that go on.
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
                add(&mut self.waits, of, left);
            }
        }
        for (of, ns) in more.stretch.times {
            *times.entry(of).or_default() += ns;
        }
        self.stretch.times = times.into_iter().collect();
        more.pairs.into_iter().for_each(|(of, cell)| add(&mut self.pairs, of, cell));
        more.disks.into_iter().for_each(|(of, ns)| *self.disks.entry(of).or_default() += ns);
        more.locks.into_iter().for_each(|(of, cell)| add(&mut self.locks, of, cell));
        more.samples.into_iter().for_each(|(key, cell)| add(&mut self.samples, key, cell));
        self.ended.extend(more.ended);
        if self.ended.len() > 2 * ENDED {
            self.ended.sort_unstable_by_key(|wait| Reverse(wait.ns));
            self.ended.truncate(ENDED);
        }
        self.open = more.open;
        self.until = more.until;
    }
}

/// Adds to a cell.
pub(super) fn add<K: Eq + Hash>(cells: &mut HashMap<K, Cell>, key: K, more: Cell) {
    *cells.entry(key).or_default() += more;
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
            waits: waits.iter().copied().collect(),
            pairs: HashMap::new(),
            disks: HashMap::new(),
            locks: HashMap::new(),
            samples: HashMap::new(),
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
        assert_eq!(sum.waits, HashMap::from([(key(late), Cell { count: 0, ns: 10 })]));
        assert_eq!((sum.since, sum.until), (0, 200));
    }

    #[test]
    fn epochs_of_the_same_need_no_more_room() {
        let wait = Cell { count: 2, ns: 30 };
        let epoch = || {
            let mut epoch = counted(&[(1, 5)], &[(2, wait)], 0, 100);
            epoch.pairs.insert(3, wait);
            epoch.disks.insert((4, 5), 7);
            epoch.samples.insert(SampleKey { who: 1, what: 2, stack: 3, flags: 0 }, wait);
            epoch
        };
        let mut sum = epoch();
        (1..50).for_each(|_| sum.add(epoch()));
        let all = Cell { count: 100, ns: 1_500 };
        assert_eq!((sum.waits, sum.pairs), (HashMap::from([(2, all)]), HashMap::from([(3, all)])));
        assert_eq!(sum.disks, HashMap::from([((4, 5), 350)]));
        assert_eq!(sum.samples.into_values().collect::<Vec<_>>(), [all]);
        assert_eq!(sum.stretch.times, [(1, 250)]);
    }
}
