//! Layers as letters and colours, and bars made of them.

use anstyle::{AnsiColor, Color, Style};
use diag_common::cause::Layer;

use crate::output::page::Page;

/// Headings, and what matters most.
pub(super) const STRONG: Style = Style::new().bold();
/// What is there for completeness.
pub(super) const FAINT: Style = Style::new().dimmed();
/// What makes the answer less than whole.
pub(super) const WARNING: Style = Style::new().bold().fg_color(Some(Color::Ansi(AnsiColor::Yellow)));

/// The letter of a layer, so that a bar can be read without colour.
fn letter(layer: Layer) -> &'static str {
    match layer {
        Layer::Memory => "M",
        Layer::Filesystem => "F",
        Layer::Block => "B",
        Layer::Cpu => "c",
        Layer::Hypervisor => "H",
        Layer::Other => "?",
    }
}

/// The style of a layer: black on the layer's colour.
fn style(layer: Layer) -> Style {
    let colour = match layer {
        Layer::Memory => AnsiColor::Yellow,
        Layer::Filesystem => AnsiColor::Cyan,
        Layer::Block => AnsiColor::Magenta,
        Layer::Cpu => AnsiColor::Green,
        Layer::Hypervisor => AnsiColor::Red,
        Layer::Other => AnsiColor::White,
    };
    Style::new().fg_color(Some(Color::Ansi(AnsiColor::Black))).bg_color(Some(Color::Ansi(colour)))
}

/// A bar of `cells`, split among the layers as `ns`, in the order of [`Layer::ALL`].
pub(super) fn stacked(page: &Page, cells: usize, ns: &[u64; 6]) -> String {
    Layer::ALL.into_iter().zip(split(cells, ns)).map(|(layer, cells)| solid(page, layer, cells)).collect()
}

/// A bar of one layer.
pub(super) fn solid(page: &Page, layer: Layer, cells: usize) -> String {
    page.paint(style(layer), &letter(layer).repeat(cells))
}

/// How long a bar for `ns` is where one for `most_ns` fills `width`; anything at all is one cell.
pub(super) fn length(ns: u64, most_ns: u64, width: usize) -> usize {
    if ns == 0 {
        return 0;
    }
    let exact = ns as f64 / most_ns.max(1) as f64 * width as f64;
    (exact.round() as usize).min(width).max(1)
}

/// `cells` in proportion to `ns`: each part its whole cells, those left over to the largest remainders.
fn split(cells: usize, ns: &[u64; 6]) -> [usize; 6] {
    let total: u64 = ns.iter().sum();
    if total == 0 {
        return [0; 6];
    }
    let exact = ns.map(|ns| ns as f64 / total as f64 * cells as f64);
    let mut split = exact.map(|cells| cells.floor() as usize);
    let mut order = [0, 1, 2, 3, 4, 5];
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()).then(ns[b].cmp(&ns[a])));
    let left = cells.saturating_sub(split.iter().sum());
    for &at in order.iter().take(left) {
        split[at] += 1;
    }
    split
}

/// `M memory  B block`: the layers that have any time, and the columns that this takes.
pub(super) fn legend(page: &Page, ns: &[u64; 6]) -> (String, usize) {
    let mut legend = String::new();
    let mut columns = 0;
    for (layer, _) in Layer::ALL.into_iter().zip(ns).filter(|&(_, &ns)| ns > 0) {
        if columns > 0 {
            legend.push_str("  ");
            columns += 2;
        }
        legend += &format!("{} {}", solid(page, layer, 1), layer.name());
        columns += 2 + layer.name().len();
    }
    (legend, columns)
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
