//! The picture of a lock: a row for each range of lengths, a bar for the time of its waits.

use crate::{
    output::{
        page::Page,
        spectrum::{self, Times},
    },
    tools::lock::Bin,
};

/// Draws it.
pub(super) fn draw(page: &mut Page, bins: &[Bin]) {
    spectrum::waits(page, "waits", bins.iter().map(part));
}

/// The waits of a bin, and the time that tells their row.
fn part(bin: &Bin) -> (u64, Times) {
    (bin.low_ns.midpoint(bin.high_ns), Times { count: bin.waits, ns: bin.ns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{scale::edge, spectrum::Rows};

    #[test]
    fn bins_keep_their_waits_and_their_time() {
        let bin = |low_ns, waits| Bin { low_ns, high_ns: low_ns + low_ns / 32, waits, ns: waits * low_ns };
        let rows = |bins: &[Bin]| Rows::of(bins.iter().map(part));
        let Rows { first, rows: found } = rows(&[bin(1_000, 5), bin(1_500, 5), bin(30_000, 1)]).unwrap();
        assert_eq!((edge(first), found.len()), (1_000, 5));
        assert_eq!((found[0].count, found[0].ns, found[4].count), (10, 12_500, 1));
        assert_eq!(rows(&[]), None);
    }
}
