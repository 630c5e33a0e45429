//! The axis of a picture of latencies: 1, 2, 5, 10, 20, 50…

use super::units;

/// The lower end of a row, ns: 1, 2, 5, 10, 20, 50…
pub(crate) fn edge(row: usize) -> u64 {
    let tens = u32::try_from(row / 3).ok().and_then(|tens| 10u64.checked_pow(tens));
    tens.and_then(|tens| tens.checked_mul([1, 2, 5][row % 3])).unwrap_or(u64::MAX)
}

/// The lower end of a row, for people: round, so without a fraction.
pub(crate) fn label(row: usize) -> String {
    units::time(edge(row)).replace(".0", "")
}

/// The row of a latency.
pub(crate) fn row_of(ns: u64) -> usize {
    let ns = ns.max(1);
    let tens = ns.ilog10() as usize;
    (tens * 3..tens * 3 + 3).rfind(|&row| edge(row) <= ns).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_one_two_five() {
        let cases = [(1, 1, 2), (9, 5, 10), (1_999, 1_000, 2_000), (2_000, 2_000, 5_000), (99, 50, 100)];
        for (ns, low, high) in cases {
            let row = row_of(ns);
            assert_eq!((edge(row), edge(row + 1)), (low, high), "{ns}");
        }
        row_of(u64::MAX);
    }
}
