//! How long idle CPUs halt: a row for each range of times.

use anstyle::AnsiColor;
use diag_common::hist;

use crate::{
    output::{
        bar,
        page::Page,
        scale::{label, row_of},
        units,
    },
    tools::vmexit::record::Vmexit,
};

/// Columns before the bars: margin, range, halts, share.
const BEFORE: usize = 40;

/// Draws the spectrum of halts; nothing where no CPU halted.
pub(super) fn draw(page: &mut Page, body: &Vmexit, halted: &[(u32, u64)], duration_ns: u64) {
    let idle = &body.idle;
    if idle.halted.count == 0 && idle.polls == 0 {
        return;
    }
    let rate = idle.halted.count as f64 * 1e9 / duration_ns.max(1) as f64;
    let rate = if rate < 1.0 { "less than 1".to_owned() } else { units::count(rate.round() as u64) };
    let mut words = format!("{rate} halts a second");
    if idle.halted.count > 0 {
        words += &format!(
            ", half of them shorter than {}",
            units::time(idle.halted.p50_ns).replace(' ', "\u{a0}")
        );
    }
    words += &format!("; {}", polling(body));
    page.gap();
    page.wrapped(bar::STRONG, "Idle CPUs: ", &words);
    rows(page, halted);
}

/// Whether idle CPUs poll before they halt.
fn polling(body: &Vmexit) -> String {
    let idle = &body.idle;
    if idle.polls > 0 {
        let polled = units::time(idle.polling_ns).replace(' ', "\u{a0}");
        return format!("{} by polling instead, {polled} long", units::counted(idle.polls, "time"));
    }
    match idle.halt_poll_ns {
        Some(0) => "no polling before (haltpoll with guest_halt_poll_ns=0)".to_owned(),
        Some(ns) => format!("haltpoll may poll for {} before, and did not", units::time(ns)),
        None => "no polling before (no haltpoll)".to_owned(),
    }
}

fn rows(page: &mut Page, halted: &[(u32, u64)]) {
    let number = |bucket| row_of(hist::lowest(bucket).midpoint(hist::highest(bucket)));
    let bins: Vec<(usize, u64)> = halted
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|&(bucket, count)| (number(bucket), count))
        .collect();
    let (Some(&(first, _)), Some(&(last, _))) = (bins.iter().min(), bins.iter().max()) else { return };
    let mut counts = vec![0; last - first + 1];
    for (row, count) in bins {
        counts[row - first] += count;
    }
    let all: u64 = counts.iter().sum();
    let most = counts.iter().copied().max().unwrap_or(0);
    let width = page.columns() - BEFORE;
    let names = format!("    {:^15} {:>11} {:>6}", "halted for", "times", "");
    page.line(&page.paint(bar::FAINT, names.trim_end()));
    let mut at = 0;
    while at < counts.len() {
        let empty = counts[at..].iter().take_while(|&&count| count == 0).count();
        if empty > 1 {
            page.line(&format!("{:>12}", "⋮"));
            at += empty;
            continue;
        }
        let count = counts[at];
        let range = format!("{:>6} – {:<6}", label(first + at), label(first + at + 1));
        let (times, share) = match count {
            0 => (String::new(), String::new()),
            count => (units::count(count), units::percent(count as f64 / all.max(1) as f64)),
        };
        let bar = page.paint(bar::on(AnsiColor::Cyan), &"h".repeat(bar::length(count, most, width)));
        page.line(&format!("    {range} {times:>11} {share:>6}  {bar}"));
        at += 1;
    }
}
