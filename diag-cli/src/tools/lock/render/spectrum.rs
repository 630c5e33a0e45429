//! The picture of a lock: a row for each range of lengths, a bar for the time of its waits.

use anstyle::AnsiColor;

use crate::{
    output::{
        bar,
        page::Page,
        scale::{label, row_of},
        units,
    },
    tools::lock::Bin,
};

/// Columns before the bars: margin, range, waits, share of time.
const BEFORE: usize = 40;

/// Draws it.
pub(super) fn draw(page: &mut Page, bins: &[Bin]) {
    let Some((first, rows)) = rows(bins) else { return };
    let all_ns: u64 = rows.iter().map(|row| row.ns).sum();
    let most_ns = rows.iter().map(|row| row.ns).max().unwrap_or(0);
    let width = page.columns() - BEFORE;
    let names = format!("    {:^15} {:>11} {:>6}", "waited", "waits", "time");
    page.line(&page.paint(bar::FAINT, &names));
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
        let bar = "#".repeat(bar::length(row.ns, most_ns, width));
        let bar = page.paint(bar::on(AnsiColor::Cyan), &bar);
        page.line(&format!("    {range} {waits:>11} {share:>6}  {bar}"));
        at += 1;
    }
}

/// The rows from the first that has waits to the last, and the number of the first.
fn rows(bins: &[Bin]) -> Option<(usize, Vec<Bin>)> {
    let number = |bin: &Bin| row_of(bin.low_ns.midpoint(bin.high_ns));
    let bins: Vec<&Bin> = bins.iter().filter(|bin| bin.waits > 0).collect();
    let first = bins.iter().map(|bin| number(bin)).min()?;
    let last = bins.iter().map(|bin| number(bin)).max()?;
    let mut rows = vec![Bin::default(); last - first + 1];
    for bin in bins {
        let row = &mut rows[number(bin) - first];
        row.waits += bin.waits;
        row.ns += bin.ns;
    }
    Some((first, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::scale::edge;

    #[test]
    fn bins_keep_their_waits_and_their_time() {
        let bin = |low_ns, waits| Bin { low_ns, high_ns: low_ns + low_ns / 32, waits, ns: waits * low_ns };
        let (first, rows) = rows(&[bin(1_000, 5), bin(1_500, 5), bin(30_000, 1)]).unwrap();
        assert_eq!((edge(first), rows.len()), (1_000, 5));
        assert_eq!((rows[0].waits, rows[0].ns, rows[4].waits), (10, 12_500, 1));
        assert_eq!(super::rows(&[]), None);
    }
}
