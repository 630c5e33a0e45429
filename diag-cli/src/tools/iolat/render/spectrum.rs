//! The picture: a row for each range of latencies, a bar for the time that its operations took, stacked by layer.

use super::layers;
use crate::{
    output::{
        bar,
        page::Page,
        scale::{label, row_of},
        units,
    },
    tools::iolat::record::SpectrumBin,
};

/// Columns before the bars: margin, range, operations, share of time.
const BEFORE: usize = 40;

/// Operations of which the latency lies in a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Row {
    ops: u64,
    ns: [u64; 6],
    /// Whether some of them are in the tail.
    tail: bool,
}

impl Row {
    fn total_ns(&self) -> u64 {
        self.ns.iter().sum()
    }
}

/// Draws the spectrum; `threshold_ns` is where the tail begins.
pub(super) fn draw(page: &mut Page, bins: &[SpectrumBin], threshold_ns: u64) {
    let Some((first, rows)) = rows(bins, threshold_ns) else { return };
    let all_ns: u64 = rows.iter().map(Row::total_ns).sum();
    let most_ns = rows.iter().map(Row::total_ns).max().unwrap_or(0);
    let width = page.columns() - BEFORE;
    head(page, &rows, width);

    let mut at = 0;
    while let Some(row) = rows.get(at) {
        let empty = rows[at..].iter().take_while(|row| row.ops == 0).count();
        if empty > 1 {
            page.line(&format!("{:>12}", "⋮"));
            at += empty;
            continue;
        }
        let range = format!("{:>6} – {:<6}", label(first + at), label(first + at + 1));
        let mark = if row.tail { '>' } else { ' ' };
        let (ops, share) = match row.ops {
            0 => (String::new(), String::new()),
            ops => (units::count(ops), units::percent(row.total_ns() as f64 / all_ns.max(1) as f64)),
        };
        let bar = layers::stacked(page, bar::length(row.total_ns(), most_ns, width), &row.ns);
        page.line(&format!("  {mark} {range} {ops:>11} {share:>6}  {bar}"));
        at += 1;
    }
}

/// What the columns are, and which letter is which layer.
fn head(page: &mut Page, rows: &[Row], width: usize) {
    let mut ns = [0; 6];
    for row in rows {
        for (sum, ns) in ns.iter_mut().zip(row.ns) {
            *sum += ns;
        }
    }
    let (legend, columns) = layers::legend(page, &ns);
    let names = format!("    {:^15} {:>11} {:>6}  ", "latency", "operations", "time");
    if columns <= width {
        page.line(&format!("{}{legend}", page.paint(bar::FAINT, &names)));
    } else {
        page.line(&format!("    {legend}"));
        page.line(&page.paint(bar::FAINT, names.trim_end()));
    }
}

/// The rows from the first that has operations to the last, and the number of the first.
fn rows(bins: &[SpectrumBin], threshold_ns: u64) -> Option<(usize, Vec<Row>)> {
    let number = |bin: &SpectrumBin| row_of(bin.low_ns.midpoint(bin.high_ns));
    let bins: Vec<&SpectrumBin> = bins.iter().filter(|bin| bin.ops > 0).collect();
    let first = bins.iter().map(|bin| number(bin)).min()?;
    let last = bins.iter().map(|bin| number(bin)).max()?;
    let mut rows = vec![Row::default(); last - first + 1];
    for bin in bins {
        let row = &mut rows[number(bin) - first];
        row.ops += bin.ops;
        row.tail |= bin.high_ns >= threshold_ns;
        for (sum, ns) in row.ns.iter_mut().zip(bin.ns_by_layer) {
            *sum += ns;
        }
    }
    Some((first, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::scale::edge;

    #[test]
    fn bins_keep_their_operations_and_their_time() {
        let bin = |low_ns, ops| {
            let ns_by_layer = [0, 0, 0, ops * low_ns, 0, 0];
            SpectrumBin { low_ns, high_ns: low_ns + low_ns / 32, ops, ns_by_layer }
        };
        let (first, rows) = rows(&[bin(1_000, 5), bin(1_500, 5), bin(30_000, 1)], 30_500).unwrap();
        assert_eq!((edge(first), rows.len()), (1_000, 5));
        assert_eq!((rows[0].ops, rows[0].ns[3], rows[0].tail), (10, 12_500, false));
        assert_eq!((rows[4].ops, rows[4].tail), (1, true));
    }
}
