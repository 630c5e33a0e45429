//! The picture: a row for each range of waits, a bar for the time that they took together.

use diag_common::runq::Cell;

use crate::{
    output::{
        page::Page,
        spectrum::{self, Times},
    },
    tools::runq::model::Spectrum,
};

/// Draws the waits of a group.
pub(super) fn draw(page: &mut Page, spectrum: &Spectrum) {
    spectrum::waits(page, "times", spectrum.values().map(part));
}

/// The waits of a cell, and the time that tells their row: their mean.
fn part(cell: &Cell) -> (u64, Times) {
    (cell.ns / cell.count.max(1), Times { count: cell.count, ns: cell.ns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{scale::label, spectrum::Rows};

    #[test]
    fn cells_keep_their_waits_and_their_time() {
        let spectrum: Spectrum =
            [(1, Cell { count: 2, ns: 3_000 }), (2, Cell { count: 1, ns: 30_000 })].into();
        let rows_of = |spectrum: &Spectrum| Rows::of(spectrum.values().map(part));
        let Rows { first, rows } = rows_of(&spectrum).unwrap();
        assert_eq!((label(first), rows.len()), ("1 µs".to_owned(), 5));
        assert_eq!((rows[0], rows[4]), (Times { count: 2, ns: 3_000 }, Times { count: 1, ns: 30_000 }));
        assert!(rows_of(&Spectrum::new()).is_none());
    }
}
