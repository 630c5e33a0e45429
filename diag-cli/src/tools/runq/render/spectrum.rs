//! The picture: a row for each range of waits, a bar for the time that they took together.

use anstyle::AnsiColor;

use crate::{
    output::{
        bar,
        page::Page,
        scale::{label, row_of},
        units,
    },
    tools::runq::model::Spectrum,
};

/// Columns before the bars: margin, range, waits, share of time.
const BEFORE: usize = 40;

/// Waits within a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Row {
    waits: u64,
    ns: u64,
}

/// Draws the waits of a group.
pub(super) fn draw(page: &mut Page, spectrum: &Spectrum) {
    let Some((first, rows)) = rows(spectrum) else { return };
    let all_ns: u64 = rows.iter().map(|row| row.ns).sum();
    let most_ns = rows.iter().map(|row| row.ns).max().unwrap_or(0);
    let width = page.columns() - BEFORE;
    page.line(&page.paint(bar::FAINT, &format!("    {:^15} {:>11} {:>6}", "waited", "times", "time")));
    let mut at = 0;
    while let Some(row) = rows.get(at) {
        let empty = rows[at..].iter().take_while(|row| row.waits == 0).count();
        if empty > 1 {
            page.line(&format!("{:>12}", "⋮"));
            at += empty;
            continue;
        }
        let range = format!("{:>6} – {:<6}", label(first + at), label(first + at + 1));
        let (waits, share) = match row.waits {
            0 => (String::new(), String::new()),
            waits => (units::count(waits), units::percent(row.ns as f64 / all_ns.max(1) as f64)),
        };
        let bar = solid(page, bar::length(row.ns, most_ns, width));
        page.line(&format!("    {range} {waits:>11} {share:>6}  {bar}"));
        at += 1;
    }
}

/// A bar of so many columns.
pub(super) fn solid(page: &Page, columns: usize) -> String {
    page.paint(bar::on(AnsiColor::Cyan), &"#".repeat(columns))
}

/// The rows from the first that has waits to the last, and the number of the first.
fn rows(spectrum: &Spectrum) -> Option<(usize, Vec<Row>)> {
    let mut cells = spectrum.values().filter(|cell| cell.count > 0).peekable();
    cells.peek()?;
    let numbered: Vec<(usize, Row)> =
        cells.map(|cell| (row_of(cell.ns / cell.count), Row { waits: cell.count, ns: cell.ns })).collect();
    let first = numbered.iter().map(|(number, _)| *number).min()?;
    let last = numbered.iter().map(|(number, _)| *number).max()?;
    let mut rows = vec![Row::default(); last - first + 1];
    for (number, more) in numbered {
        let row = &mut rows[number - first];
        row.waits += more.waits;
        row.ns += more.ns;
    }
    Some((first, rows))
}

#[cfg(test)]
mod tests {
    use diag_common::runq::Cell;

    use super::*;

    #[test]
    fn cells_keep_their_waits_and_their_time() {
        let spectrum: Spectrum =
            [(1, Cell { count: 2, ns: 3_000 }), (2, Cell { count: 1, ns: 30_000 })].into();
        let (first, rows) = rows(&spectrum).unwrap();
        assert_eq!((label(first), rows.len()), ("1 µs".to_owned(), 5));
        assert_eq!((rows[0], rows[4]), (Row { waits: 2, ns: 3_000 }, Row { waits: 1, ns: 30_000 }));
        assert!(super::rows(&Spectrum::new()).is_none());
    }
}
