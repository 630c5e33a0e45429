//! What ends a summary: what is missing from it, what it cost, the verdict, and what to look at next.

use anstyle::Style;

use super::{Options, bar};
use crate::{
    output::{cost::SelfCost, page::Page, record::Unavailable, units},
    tools::iolat::{
        pending::PendingOperation,
        record::{CauseName, Report},
        verdict::nothing_slow,
    },
};

/// Draws the end of a summary.
pub(super) fn draw(page: &mut Page, options: &Options, report: &Report) {
    let envelope = &report.record.envelope;
    page.gap();
    unavailable(page, &envelope.unavailable);
    let lost: Vec<String> = envelope
        .lost
        .iter()
        .filter(|&(_, &count)| count > 0)
        .map(|(what, &count)| format!("{what} {}", units::count(count)))
        .collect();
    if !lost.is_empty() {
        page.wrapped(bar::WARNING, "not complete, lost: ", &lost.join(", "));
    }
    page.wrapped(bar::FAINT, "osdiag itself: ", &cost(&envelope.cost, envelope.duration_ns));
    page.gap();
    let stuck = &report.record.body.pending;
    pending(page, stuck);
    match &report.record.body.verdict {
        None if !stuck.is_empty() => {
            let words = "Nothing is slow of what returned; what did not return is the trouble";
            page.wrapped(bar::STRONG, "", words);
        }
        None => {
            let words = nothing_slow(&report.record.body.operations, options.slow);
            page.wrapped(bar::STRONG, "", &words);
        }
        Some(verdict) => {
            page.wrapped(bar::STRONG, "Verdict: ", &verdict.statement.replace(" %", "\u{a0}%"));
            page.line("Look next at");
            for advice in &verdict.advice {
                page.wrapped(Style::new(), "  - ", advice);
            }
        }
    }
}

/// Pending operations that are named; more of them are counted.
const NAMED: usize = 5;

/// What had not returned.
fn pending(page: &mut Page, pending: &[PendingOperation]) {
    if pending.is_empty() {
        return;
    }
    let stuck = units::counted(pending.len() as u64, "operation");
    page.wrapped(bar::WARNING, "", &format!("{stuck} had not returned, and stayed asleep:"));
    for operation in pending.iter().take(NAMED) {
        let mut words = format!("{} by {}[{}]", operation.op.0.name(), operation.comm, operation.tid);
        if let Some(file) = &operation.file {
            words += &format!(" on {file}");
        }
        if let Some(CauseName(cause)) = operation.cause {
            words += &format!(": {}.{}", cause.layer().name(), cause.name());
        }
        if let Some(stack) = &operation.stack {
            words += &format!(", in {}", stack.iter().take(3).cloned().collect::<Vec<_>>().join(" < "));
        }
        page.wrapped(Style::new(), "  - ", &words);
    }
    page.gap();
}

/// What could not be attached or read.
fn unavailable(page: &mut Page, unavailable: &[Unavailable]) {
    for missing in unavailable {
        let words = format!("{} ({}): {}", missing.name, missing.why, missing.effect);
        page.wrapped(bar::WARNING, "not available: ", &words);
    }
}

/// What the tool itself took.
fn cost(cost: &SelfCost, duration_ns: u64) -> String {
    let of_a_cpu = |ns: u64| units::percent(ns as f64 / duration_ns.max(1) as f64).replace(' ', "\u{a0}");
    let mut words = String::new();
    if cost.run_ns > 0 {
        words += &format!(
            "{} of a CPU in the kernel ({}), ",
            of_a_cpu(cost.run_ns),
            units::counted(cost.events, "event")
        );
    }
    words + &format!("{} in user space, {} of memory", of_a_cpu(cost.cpu_ns), units::bytes(cost.rss_bytes))
}
