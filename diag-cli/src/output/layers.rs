//! Layers as letters and colours, and bars made of them.

use anstyle::{AnsiColor, Style};
use diag_common::cause::Layer;

use super::{bar, page::Page, record::layers::LAYERS};

/// The letter of a layer, so that a bar can be read without colour.
pub(crate) fn letter(layer: Layer) -> &'static str {
    match layer {
        Layer::Memory => "M",
        Layer::Filesystem => "F",
        Layer::Block => "B",
        Layer::Uring => "U",
        Layer::Cpu => "c",
        Layer::Hypervisor => "H",
        Layer::Lock => "L",
        Layer::Network => "N",
        Layer::Ipc => "P",
        Layer::Stopped => "S",
        Layer::Idle => "i",
        Layer::Other => "?",
    }
}

/// The style of a layer: black on the layer's colour.
pub(crate) fn style(layer: Layer) -> Style {
    let colour = match layer {
        Layer::Memory => AnsiColor::Yellow,
        Layer::Filesystem => AnsiColor::Cyan,
        Layer::Block | Layer::Uring => AnsiColor::Magenta,
        Layer::Cpu => AnsiColor::Green,
        Layer::Hypervisor => AnsiColor::Red,
        Layer::Lock => AnsiColor::Blue,
        Layer::Network | Layer::Ipc => AnsiColor::BrightBlue,
        Layer::Stopped | Layer::Idle => AnsiColor::BrightBlack,
        Layer::Other => AnsiColor::White,
    };
    bar::on(colour)
}

/// A bar of `cells`, split among the layers as `ns`, in the order of [`Layer::ALL`].
pub(crate) fn stacked(page: &Page, cells: usize, ns: &[u64; LAYERS]) -> String {
    Layer::ALL
        .into_iter()
        .zip(bar::split(cells, ns))
        .map(|(layer, cells)| solid(page, layer, cells))
        .collect()
}

/// A bar of one layer.
pub(crate) fn solid(page: &Page, layer: Layer, cells: usize) -> String {
    page.paint(style(layer), &letter(layer).repeat(cells))
}

/// `M memory  B block`: the layers that have any time, and the columns that this takes.
pub(crate) fn legend(page: &Page, ns: &[u64; LAYERS]) -> (String, usize) {
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
