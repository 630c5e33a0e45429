//! An operation's lines: what it is, how often, how long.

use crate::{
    output::{bar, page::Page, text, units},
    tools::iolat::record::Operation,
};

/// The heading and the latencies of an operation, over `duration_ns`.
pub(super) fn heading(page: &mut Page, operation: &Operation, duration_ns: u64) {
    let latency = &operation.latency;
    let mut counts = units::counted(latency.count, "operation");
    if operation.failed_count > 0 {
        counts += &format!(", {} failed", units::count(operation.failed_count));
    }
    if operation.op.0.moves_bytes() {
        counts += &format!(", {}", units::byte_rate(operation.bytes, duration_ns));
    }
    let name = operation.op.0.name();
    let place = operation.place();
    let place = text::for_terminal(&place);
    let room = page.columns().saturating_sub(name.len() + " on : ".len() + text::width(&counts));
    let place = text::shorten(&place, room);
    page.gap();
    page.line(&format!("{} on {place}: {counts}", page.paint(bar::STRONG, name)));
    page.line(&format!("  {}", latency.percentiles()));
    if operation.stopped_ns > 0 {
        let stopped = units::time(operation.stopped_ns);
        page.wrapped(
            bar::FAINT,
            "  ",
            &format!("stopped by a signal, the freezer or a tracer: {stopped}, in no latency"),
        );
    }
}

/// One line for all operations that are not shown.
pub(super) fn left_out<'a>(page: &mut Page, operations: impl Iterator<Item = &'a Operation>) {
    let (mut groups, mut ops, mut ns) = (0, 0, 0);
    for operation in operations {
        groups += 1;
        ops += operation.latency.count;
        ns += operation.latency.sum_ns;
    }
    if groups > 0 {
        let (ops, time) = (units::counted(ops, "operation"), units::time(ns));
        let words = format!("and {groups} more, of less time: {ops}, {time} together; --json has them");
        page.gap();
        page.wrapped(bar::FAINT, "", &words);
    }
}
