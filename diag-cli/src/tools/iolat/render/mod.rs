//! What `osdiag iolat` shows on a terminal: what is traced, a block each interval, and the summary, which ends with
//! the verdict, so that it is what stands above the prompt.

mod bar;
mod causes;
mod closing;
mod interval;
mod operation;
mod slowest;
mod spectrum;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::record::{Operation, Report};
use crate::output::{
    page::Page,
    record::{Probe, Target, Unavailable},
    terminal::Screen,
    units,
};

pub(crate) use self::interval::interval;

/// How a report is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Where.
    pub(crate) screen: Screen,
    /// From which mean on a tail is slow (`--slow`).
    pub(crate) slow: Duration,
    /// Slow operations to show.
    pub(crate) slowest: usize,
}

impl Options {
    /// Whether the operation's tail is slow.
    fn is_slow(&self, operation: &Operation) -> bool {
        operation.tail.ops > 0 && u128::from(operation.tail.mean_ns) >= self.slow.as_nanos()
    }
}

/// Operations with a picture at most.
const PICTURES: usize = 3;
/// Operations with a line at most.
const LINES: usize = 6;

/// What to say when tracing begins.
pub(crate) fn start(
    screen: Screen,
    target: &Target,
    duration: Option<Duration>,
    probes: &[Probe],
    unavailable: &[Unavailable],
) -> String {
    let mut page = Page::new(screen);
    let time = match (duration, target) {
        (Some(time), _) => format!("for {}; Ctrl-C ends it sooner", humantime::format_duration(time)),
        (None, Target::Command { .. }) => "until it ends".to_owned(),
        (None, _) => "until Ctrl-C".to_owned(),
    };
    let mut probes = units::counted(probes.len() as u64, "probe");
    if !unavailable.is_empty() {
        probes += &format!(", {}\u{a0}not\u{a0}available", unavailable.len());
    }
    let words = format!("tracing file I/O of {target} {time} ({probes})");
    page.wrapped(bar::STRONG, "osdiag iolat: ", &words);
    page.into_text()
}

/// The whole session.
pub(crate) fn summary(options: &Options, report: &Report) -> String {
    let mut page = Page::new(options.screen);
    let envelope = &report.record.envelope;
    let operations = &report.record.body.operations;
    let mut shown: Vec<usize> = (0..operations.len()).collect();
    shown.sort_by_key(|&at| std::cmp::Reverse(operations[at].latency.sum_ns));
    let all: u64 = operations.iter().map(|operation| operation.latency.count).sum();
    let words = format!(
        "{} of {} in {}",
        units::counted(all, "operation"),
        envelope.target,
        units::time(envelope.duration_ns)
    );
    page.gap();
    page.wrapped(bar::STRONG, "", &words);

    let mut pictures = 0;
    for &at in shown.iter().take(LINES) {
        let operation = &operations[at];
        operation::heading(&mut page, operation, envelope.duration_ns);
        if pictures < PICTURES && (at == shown[0] || options.is_slow(operation)) {
            pictures += 1;
            if let Some(spectrum) = report.spectra.get(at) {
                spectrum::draw(&mut page, &spectrum.bins, operation.tail.threshold_ns);
            }
            causes::draw(&mut page, operation);
        } else {
            causes::brief(&mut page, &operation.tail);
        }
    }
    operation::left_out(&mut page, shown.iter().skip(LINES).map(|&at| &operations[at]));
    slowest::draw(&mut page, &report.record.body.slowest, options.slowest);
    closing::draw(&mut page, options, report);
    page.into_text()
}
