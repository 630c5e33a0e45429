//! What `osdiag iolat` shows on a terminal: a block each interval, and the summary, which ends with the verdict, so that
//! it is what stands above the prompt.

mod causes;
mod interval;
mod operation;
mod slowest;
mod spectrum;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::Duration;

use super::{Report, record::Operation};
use crate::output::{bar, page::Page, units};

pub(super) use self::{interval::interval, verdict::verdict};

/// How a report is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// From which mean on a tail is slow (`--slow`).
    pub(crate) slow: Duration,
    /// Slow operations to show.
    pub(crate) slowest: usize,
}

impl Options {
    /// Whether the operation's tail is slow.
    fn is_slow(&self, operation: &Operation) -> bool {
        operation.tail.operation_count > 0 && u128::from(operation.tail.mean_ns) >= self.slow.as_nanos()
    }
}

/// Operations with a picture at most.
const PICTURES: usize = 3;
/// Operations with a line at most.
const LINES: usize = 6;

/// The whole session.
pub(super) fn summary(page: &mut Page, options: &Options, report: &Report) {
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
        operation::heading(page, operation, envelope.duration_ns);
        if pictures < PICTURES && (at == shown[0] || options.is_slow(operation)) {
            pictures += 1;
            if let Some(spectrum) = report.picture.get(at) {
                spectrum::draw(page, &spectrum.bins, operation.tail.threshold_ns);
            }
            causes::draw(page, operation);
        } else {
            causes::brief(page, &operation.tail);
        }
    }
    operation::left_out(page, shown.iter().skip(LINES).map(|&at| &operations[at]));
    slowest::draw(page, &report.record.body.slowest, options.slowest);
}
