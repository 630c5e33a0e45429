//! The picture: a row for each range of latencies, a bar for the time that its operations took, stacked by layer.

use crate::{
    output::{
        bar, layers,
        page::Page,
        record::layers::LAYERS,
        spectrum::{Part, Rows, bar_columns, names},
    },
    tools::iolat::record::SpectrumBin,
};

/// Operations of which the latency lies in a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Row {
    ops: u64,
    ns: [u64; LAYERS],
    /// Whether some of them are in the tail.
    tail: bool,
}

impl Part for Row {
    fn count(&self) -> u64 {
        self.ops
    }

    fn weight(&self) -> u64 {
        self.ns.iter().sum()
    }

    fn add(&mut self, more: &Row) {
        self.ops += more.ops;
        self.tail |= more.tail;
        for (sum, ns) in self.ns.iter_mut().zip(more.ns) {
            *sum += ns;
        }
    }
}

/// Draws the spectrum; `threshold_ns` is where the tail begins.
pub(super) fn draw(page: &mut Page, bins: &[SpectrumBin], threshold_ns: u64) {
    let Some(rows) = rows(bins, threshold_ns) else { return };
    head(page, &rows);
    let mark = |row: &Row| if row.tail { '>' } else { ' ' };
    rows.draw(page, mark, |page, row, cells| layers::stacked(page, cells, &row.ns));
}

/// What the columns are, and which letter is which layer.
fn head(page: &mut Page, rows: &Rows<Row>) {
    let mut all = Row::default();
    rows.rows.iter().for_each(|row| all.add(row));
    let (legend, columns) = layers::legend(page, &all.ns);
    let names = names("latency", "operations", "time");
    if columns <= bar_columns(page) {
        page.line(&format!("{}{legend}", page.paint(bar::FAINT, &format!("{names}  "))));
    } else {
        page.line(&format!("    {legend}"));
        page.line(&page.paint(bar::FAINT, &names));
    }
}

fn rows(bins: &[SpectrumBin], threshold_ns: u64) -> Option<Rows<Row>> {
    let part = |bin: &SpectrumBin| {
        let row = Row { ops: bin.ops, ns: bin.ns_by_layer, tail: bin.high_ns >= threshold_ns };
        (bin.low_ns.midpoint(bin.high_ns), row)
    };
    Rows::of(bins.iter().map(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::scale::edge;

    #[test]
    fn bins_keep_their_operations_and_their_time() {
        let bin = |low_ns, ops| {
            let mut ns_by_layer = [0; LAYERS];
            ns_by_layer[3] = ops * low_ns;
            SpectrumBin { low_ns, high_ns: low_ns + low_ns / 32, ops, ns_by_layer }
        };
        let Rows { first, rows } = rows(&[bin(1_000, 5), bin(1_500, 5), bin(30_000, 1)], 30_500).unwrap();
        assert_eq!((edge(first), rows.len()), (1_000, 5));
        assert_eq!((rows[0].ops, rows[0].ns[3], rows[0].tail), (10, 12_500, false));
        assert_eq!((rows[4].ops, rows[4].tail), (1, true));
    }
}
