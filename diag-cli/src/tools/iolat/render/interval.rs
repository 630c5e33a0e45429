//! One interval in a few lines.

use anstyle::Style;

use super::{Options, causes};
use crate::{
    output::{bar, page::Page, text, units},
    tools::iolat::{Report, record::Operation},
};

/// Operations of an interval with lines of their own at most.
const SHOWN: usize = 3;
/// Columns of an operation's name.
const NAME_COLUMNS: usize = 20;

/// A compact block for the interval.
pub(crate) fn interval(page: &mut Page, options: &Options, report: &Report) {
    let envelope = &report.record.envelope;
    let mut operations: Vec<&Operation> = report.record.body.operations.iter().collect();
    operations
        .sort_by_key(|operation| std::cmp::Reverse((options.is_slow(operation), operation.latency.sum_ns)));
    let ops: u64 = operations.iter().map(|operation| operation.latency.count).sum();
    let mut words = format!("{} in {}", units::counted(ops, "operation"), units::time(envelope.duration_ns));
    if operations.len() > SHOWN {
        words += &format!("; {SHOWN} of {} groups:", operations.len());
    }
    page.line(&format!("{}  {words}", page.paint(bar::STRONG, &envelope.end.time_of_day())));
    for operation in operations.into_iter().take(SHOWN) {
        one(page, options, operation, envelope.duration_ns);
    }
}

fn one(page: &mut Page, options: &Options, operation: &Operation, duration_ns: u64) {
    let latency = &operation.latency;
    let name = format!("{} {}", operation.op.0.name(), operation.device.label());
    let name = text::for_terminal(&name);
    let name = text::shorten(&name, NAME_COLUMNS);
    let padding = NAME_COLUMNS - text::width(&name);
    let per_second = (latency.count as f64 * 1e9 / duration_ns.max(1) as f64).round() as u64;
    page.line(&format!(
        "  {name}{:padding$} {:>9}/s  p50 {:<7} p99 {:<7} max {}",
        "",
        units::count(per_second),
        units::time_or_dash(latency.p50_ns),
        units::time_or_dash(latency.p99_ns),
        units::time_or_dash(latency.max_ns),
    ));
    if options.is_slow(operation) {
        let tail = &operation.tail;
        let words = format!(
            "{}: {}, {}",
            causes::slowest(tail),
            units::time(tail.mean_ns),
            causes::top(&tail.causes, 2)
        );
        page.wrapped(Style::new(), "    > ", &words);
    }
}
