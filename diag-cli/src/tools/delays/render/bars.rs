//! The bar of a group: its time by layer, lost time in capitals and in the layers' colours, the rest in small letters.

use anstyle::{AnsiColor, Style};
use diag_common::cause::{Cause, Class, Layer};

use crate::{
    output::{bar, layers, page::Page, record::layers::LAYERS},
    tools::delays::record::Group,
};

/// Lost time by layer, running, and waiting or being stopped by layer. What had nothing to do is in none.
const PARTS: usize = 2 * LAYERS + 1;

/// What a part of the bar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Lost(Layer),
    Running,
    Other(Layer),
}

fn parts() -> [What; PARTS] {
    std::array::from_fn(|at| match at {
        at if at < LAYERS => What::Lost(Layer::ALL[at]),
        LAYERS => What::Running,
        at => What::Other(Layer::ALL[at - LAYERS - 1]),
    })
}

fn ns(group: &Group) -> [u64; PARTS] {
    parts().map(|what| {
        group.ns_of(|cause: Cause| match (what, cause.class()) {
            (What::Lost(layer), Class::Lost) => cause.layer() == layer,
            (What::Running, Class::Busy) => true,
            (What::Other(layer), Class::Waiting | Class::Stopped) => cause.layer() == layer,
            _ => false,
        })
    })
}

fn letter(what: What) -> String {
    match what {
        What::Lost(layer) => layers::letter(layer).to_uppercase(),
        What::Running => "c".to_owned(),
        What::Other(layer) => layers::letter(layer).to_lowercase(),
    }
}

fn style(what: What) -> Style {
    match what {
        // Waiting for a CPU is not to look like having one.
        What::Lost(Layer::Cpu) => bar::on(AnsiColor::BrightRed),
        What::Lost(layer) => layers::style(layer),
        What::Running => layers::style(Layer::Cpu),
        What::Other(_) => bar::FAINT,
    }
}

/// The bar of a group in so many cells: the whole of it is the time in which its threads had something to do.
pub(super) fn stacked(page: &Page, group: &Group, cells: usize) -> (String, usize) {
    let split = bar::split(cells, &ns(group));
    let paint = |(what, cells): (What, usize)| page.paint(style(what), &letter(what).repeat(cells));
    (parts().into_iter().zip(split).map(paint).collect(), split.iter().sum())
}

/// What the letters in the bars of these groups are, in words.
pub(super) fn legend(page: &mut Page, groups: &[Group]) {
    let mut all = [0; PARTS];
    for group in groups {
        for (sum, ns) in all.iter_mut().zip(ns(group)) {
            *sum += ns;
        }
    }
    let words: Vec<String> =
        parts().into_iter().zip(all).filter(|&(_, ns)| ns > 0).map(|(what, _)| word(what)).collect();
    if !words.is_empty() {
        page.wrapped(bar::FAINT, "capitals are lost time: ", &words.join(", "));
    }
}

fn word(what: What) -> String {
    let name = match what {
        What::Lost(Layer::Cpu) => "waiting\u{a0}for\u{a0}a\u{a0}CPU",
        What::Running => "running",
        What::Other(Layer::Lock) => "futex",
        What::Lost(layer) | What::Other(layer) => layer.name(),
    };
    format!("{}\u{a0}{name}", letter(what))
}

/// A bar of a single cause.
pub(super) fn solid(page: &Page, cause: Cause, cells: usize) -> String {
    let what = match cause.class() {
        Class::Lost => What::Lost(cause.layer()),
        Class::Busy => What::Running,
        Class::Waiting | Class::Stopped | Class::Idle => What::Other(cause.layer()),
    };
    page.paint(style(what), &letter(what).repeat(cells))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        output::terminal::Screen,
        tools::delays::sample::{busy, calm, web},
    };

    fn bar_of(group: &Group) -> String {
        let page = Page::new(Screen { columns: 80, colour: false });
        let (bar, cells) = stacked(&page, group, 20);
        assert_eq!(bar.len(), cells);
        bar
    }

    #[test]
    fn capitals_are_lost_time_and_idle_is_left_out() {
        assert_eq!(bar_of(&busy()), "CCCCCCCCCCcccccccccc");
        assert_eq!(bar_of(&web()), "BBBcclllllnnnnnnnnnn");
        assert_eq!(bar_of(&calm("sshd")), "CCcccccccccccccccccc");
    }

    #[test]
    fn every_part_has_a_letter_of_its_own() {
        let mut letters: Vec<String> = parts().into_iter().map(letter).collect();
        letters.sort_unstable();
        // Running, and other time of the CPU layer, of which there is none.
        letters.dedup();
        assert_eq!(letters.len(), PARTS - 2, "{letters:?}");
    }
}
