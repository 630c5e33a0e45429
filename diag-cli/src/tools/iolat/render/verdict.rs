//! What ends a summary: what had not returned, the verdict, and what to look at next.

use anstyle::Style;

use super::Options;
use crate::{
    output::{bar, closing, page::Page, units},
    tools::iolat::{Report, pending::PendingOperation, record::CauseName, verdict::nothing_slow},
};

/// Draws the end of a summary.
pub(crate) fn verdict(page: &mut Page, options: &Options, report: &Report) {
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
        Some(verdict) => closing::verdict(page, &verdict.statement, &verdict.advice),
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
