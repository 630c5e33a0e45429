//! Styles of a page's text, and bars.

use anstyle::{AnsiColor, Color, Style};

use super::page::Page;

/// Headings, and what matters most.
pub(crate) const STRONG: Style = Style::new().bold();
/// What is there for completeness.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// What makes the answer less than whole.
pub(crate) const WARNING: Style = Style::new().bold().fg_color(Some(Color::Ansi(AnsiColor::Yellow)));

/// The style of a bar: black on a colour.
pub(crate) const fn on(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(AnsiColor::Black))).bg_color(Some(Color::Ansi(colour)))
}

/// A bar of so many cells, where there is nothing to tell apart in it.
pub(crate) fn solid(page: &Page, cells: usize) -> String {
    page.paint(on(AnsiColor::Cyan), &"#".repeat(cells))
}

/// How long a bar for `part` is where one for `most` fills `width`; anything at all is one cell.
pub(crate) fn length(part: u64, most: u64, width: usize) -> usize {
    if part == 0 {
        return 0;
    }
    let exact = part as f64 / most.max(1) as f64 * width as f64;
    (exact.round() as usize).min(width).max(1)
}

/// `cells` in proportion to `ns`: each part its whole cells, those left over to the largest remainders.
pub(crate) fn split<const PARTS: usize>(cells: usize, ns: &[u64; PARTS]) -> [usize; PARTS] {
    let total: u64 = ns.iter().sum();
    if total == 0 {
        return [0; PARTS];
    }
    let exact = ns.map(|ns| ns as f64 / total as f64 * cells as f64);
    let mut split = exact.map(|cells| cells.floor() as usize);
    let mut order: [usize; PARTS] = std::array::from_fn(|part| part);
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()).then(ns[b].cmp(&ns[a])));
    let left = cells.saturating_sub(split.iter().sum());
    for &at in order.iter().take(left) {
        split[at] += 1;
    }
    split
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bar_has_all_its_cells(cells in 0usize..100, ns in proptest::array::uniform6(0u64..1 << 50)) {
            let split = split(cells, &ns);
            let expected = if ns.iter().all(|&ns| ns == 0) { 0 } else { cells };
            prop_assert_eq!(split.iter().sum::<usize>(), expected);
            for (cells, ns) in split.iter().zip(ns) {
                prop_assert!(ns > 0 || *cells == 0);
            }
        }
    }

    #[test]
    fn one_cell_goes_to_the_largest() {
        assert_eq!(split(1, &[40, 0, 60, 0, 0, 0]), [0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn anything_at_all_can_be_seen() {
        assert_eq!(length(1, 1_000_000, 40), 1);
        assert_eq!(length(0, 1_000_000, 40), 0);
        assert_eq!(length(7, 7, 40), 40);
    }
}
