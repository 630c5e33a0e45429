//! From cells that count since the beginning to the time in each state between two boundaries.

use std::collections::HashMap;

use diag_common::delays::{Cell, place, what};

/// Cells of time, added up since programs began to count.
#[derive(Default)]
pub(super) struct Totals {
    cells: HashMap<u64, Total>,
}

/// One of them.
#[derive(Clone, Copy, Default)]
struct Total {
    cell: Cell,
    /// Its value at the last boundary, ns, modulo 2^64.
    value: u64,
}

/// Time between two boundaries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    /// By key, ns. Little below zero where a boundary fell into a program.
    pub(super) times: Vec<(u64, i64)>,
    /// Threads that were in a group at the first boundary, by the group's number.
    pub(super) present: HashMap<u32, u64>,
}

/// A key of the time for which threads are in a group.
pub(super) fn is_presence(of: u64) -> bool {
    of == presence((of >> 32) as u32)
}

fn presence(who: u32) -> u64 {
    u64::from(who) << 32 | u64::from(what::time(what::THREADS, place::NONE))
}

impl Totals {
    /// Threads that are in groups.
    pub(super) fn threads(&self) -> u64 {
        let present = self.cells.iter().filter(|(of, _)| is_presence(**of));
        present.map(|(_, total)| total.cell.count.cast_signed().max(0).cast_unsigned()).sum()
    }

    /// Adds what was counted up to the boundary `until`, and returns the time since the one before.
    pub(super) fn take(&mut self, cells: &HashMap<u64, Cell>, until: u64) -> Stretch {
        let mut stretch = Stretch::default();
        for (&of, total) in &self.cells {
            if is_presence(of) && total.cell.count.cast_signed() > 0 {
                stretch.present.insert((of >> 32) as u32, total.cell.count);
            }
        }
        for (&of, cell) in cells.iter().filter(|(of, _)| what::kind(**of as u32) <= what::ON_CPU) {
            let total = &mut self.cells.entry(of).or_default().cell;
            total.count = total.count.wrapping_add(cell.count);
            total.ns = total.ns.wrapping_add(cell.ns);
        }
        for (&of, total) in &mut self.cells {
            let value = total.cell.ns.wrapping_add(total.cell.count.wrapping_mul(until));
            let since_last = value.wrapping_sub(total.value).cast_signed();
            total.value = value;
            if since_last != 0 {
                stretch.times.push((of, since_last));
            }
        }
        // What stands still needs no memory: only differences count.
        self.cells.retain(|_, total| total.cell.count != 0);
        stretch
    }

    /// Whether threads are in a group at the last boundary: they will leave it under the same number.
    pub(super) fn has(&self, who: u32) -> bool {
        self.cells.contains_key(&presence(who))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u64 = 7 << 32 | 3;

    fn enter(at: u64) -> Cell {
        Cell { count: 1, ns: 0u64.wrapping_sub(at) }
    }

    fn leave(at: u64) -> Cell {
        Cell { count: u64::MAX, ns: at }
    }

    fn sum(cells: &[Cell]) -> HashMap<u64, Cell> {
        let add =
            |a: Cell, b: &Cell| Cell { count: a.count.wrapping_add(b.count), ns: a.ns.wrapping_add(b.ns) };
        HashMap::from([(RUN, cells.iter().fold(Cell::default(), add))])
    }

    #[test]
    fn what_goes_on_counts_up_to_each_boundary() {
        let mut totals = Totals::default();
        assert_eq!(totals.take(&sum(&[enter(1_000)]), 1_500).times, [(RUN, 500)]);
        assert_eq!(totals.take(&HashMap::new(), 2_500).times, [(RUN, 1_000)]);
        let left = sum(&[leave(2_600), enter(2_900)]);
        assert_eq!(totals.take(&left, 3_000).times, [(RUN, 200)]);
        assert_eq!(totals.take(&sum(&[leave(3_001)]), 4_000).times, [(RUN, 1)]);
        assert!(totals.cells.is_empty());
        assert_eq!(totals.take(&HashMap::new(), 5_000).times, []);
    }

    #[test]
    fn a_sum_may_pass_the_end_of_its_range() {
        let mut totals = Totals::default();
        let late = 1 << 60;
        let many: Vec<Cell> = (0..100).map(|_| enter(late)).collect();
        assert_eq!(totals.take(&sum(&many), late + 10).times, [(RUN, 1_000)]);
        let all: Vec<Cell> = (0..100).map(|_| leave(late + 15)).collect();
        assert_eq!(totals.take(&sum(&all), late + 20).times, [(RUN, 500)]);
    }

    #[test]
    fn threads_that_were_there_are_those_of_the_first_boundary() {
        let mut totals = Totals::default();
        totals.take(&HashMap::from([(presence(7), enter(10))]), 20);
        assert_eq!(totals.threads(), 1);
        assert_eq!(totals.take(&HashMap::new(), 30).present, HashMap::from([(7, 1)]));
        assert!(totals.has(7) && !totals.has(8));
        totals.take(&HashMap::from([(presence(7), leave(35))]), 40);
        assert!(!totals.has(7));
    }
}
