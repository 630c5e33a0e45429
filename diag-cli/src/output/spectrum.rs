//! The picture of how times are spread: a row for each range of them, with how many there are, a share and a bar: of all
//! time, or of whatever else counts.

use super::{
    bar,
    page::Page,
    scale::{label, row_of},
    units,
};

/// Columns before the bars: margin, range, count, share.
const BEFORE: usize = 40;

/// What a row is made of.
pub(crate) trait Part: Clone + Default {
    /// How many.
    fn count(&self) -> u64;
    /// Of what it has a share, and what its bar is as long as: mostly how long together, ns.
    fn weight(&self) -> u64;
    /// Adds what falls into the same row.
    fn add(&mut self, more: &Self);
}

/// So many times, so long together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) count: u64,
    pub(crate) ns: u64,
}

impl Part for Times {
    fn count(&self) -> u64 {
        self.count
    }

    fn weight(&self) -> u64 {
        self.ns
    }

    fn add(&mut self, more: &Times) {
        self.count += more.count;
        self.ns += more.ns;
    }
}

/// Columns that the longest bar has on a page.
pub(crate) fn bar_columns(page: &Page) -> usize {
    page.columns() - BEFORE
}

/// What the columns before the bars are; `share` says of what the shares are.
pub(crate) fn names(times: &str, counted: &str, share: &str) -> String {
    format!("    {times:^15} {counted:>11} {share:>6}")
}

/// The rows from the first that has anything to the last.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rows<P> {
    /// The number of the first.
    pub(crate) first: usize,
    /// All of them; some can be empty.
    pub(crate) rows: Vec<P>,
}

impl<P: Part> Rows<P> {
    /// From parts and the time that tells each one's row, ns; none of nothing.
    pub(crate) fn of(parts: impl Iterator<Item = (u64, P)>) -> Option<Rows<P>> {
        let numbered: Vec<(usize, P)> =
            parts.filter(|(_, part)| part.count() > 0).map(|(ns, part)| (row_of(ns), part)).collect();
        let first = numbered.iter().map(|&(number, _)| number).min()?;
        let last = numbered.iter().map(|&(number, _)| number).max()?;
        let mut rows = vec![P::default(); last - first + 1];
        for (number, part) in &numbered {
            rows[number - first].add(part);
        }
        Some(Rows { first, rows })
    }

    /// Draws them: of each row a mark in its margin, and a bar of so many cells.
    pub(crate) fn draw(
        &self,
        page: &mut Page,
        mark: impl Fn(&P) -> char,
        bar: impl Fn(&Page, &P, usize) -> String,
    ) {
        let all: u64 = self.rows.iter().map(P::weight).sum();
        let most = self.rows.iter().map(P::weight).max().unwrap_or(0);
        let mut at = 0;
        while let Some(row) = self.rows.get(at) {
            let empty = self.rows[at..].iter().take_while(|row| row.count() == 0).count();
            if empty > 1 {
                page.line(&format!("{:>12}", "⋮"));
                at += empty;
                continue;
            }
            let number = self.first + at;
            let range = format!("{:>6} – {:<6}", label(number), label(number + 1));
            let (count, share) = match row.count() {
                0 => (String::new(), String::new()),
                count => (units::count(count), units::percent(row.weight() as f64 / all.max(1) as f64)),
            };
            let cells = bar::length(row.weight(), most, bar_columns(page));
            let bar = bar(page, row, cells);
            page.line(&format!("  {} {range} {count:>11} {share:>6}  {bar}", mark(row)));
            at += 1;
        }
    }
}

/// Draws waits, each with the time that tells its row, ns; `counted` is what the column of their number is called.
pub(crate) fn waits(page: &mut Page, counted: &str, waits: impl Iterator<Item = (u64, Times)>) {
    let Some(rows) = Rows::of(waits) else { return };
    page.line(&page.paint(bar::FAINT, &names("waited", counted, "time")));
    rows.draw(page, |_| ' ', |page, _, cells| bar::solid(page, cells));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::scale::edge;

    #[test]
    fn parts_keep_their_count_and_their_time() {
        let times = |count, ns| Times { count, ns };
        let parts = [(1_015, times(5, 5_000)), (1_522, times(5, 7_500)), (30_468, times(1, 30_000))];
        let rows = Rows::of(parts.into_iter()).unwrap();
        assert_eq!((edge(rows.first), rows.rows.len()), (1_000, 5));
        assert_eq!((rows.rows[0], rows.rows[4]), (times(10, 12_500), times(1, 30_000)));
        assert_eq!(Rows::of([(7, Times::default())].into_iter()), None);
    }
}
