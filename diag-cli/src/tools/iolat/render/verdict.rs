//! What ends a summary: what had not returned, the verdict, and what to look at next.

use anstyle::Style;

use crate::{
    output::{
        bar, closing,
        page::Page,
        record::{cause::CauseWord, parties::Omitted},
        units,
    },
    tools::iolat::{Report, pending::PendingOperation},
};

/// Draws the end of a summary.
pub(crate) fn verdict(page: &mut Page, report: &Report) {
    let body = &report.record.body;
    pending(page, body.pending.as_deref().unwrap_or_default(), body.pending_omitted);
    closing::verdict(page, &body.verdict);
}

/// Pending operations that are named; more of them are counted.
const NAMED: usize = 5;

/// What had not returned.
fn pending(page: &mut Page, pending: &[PendingOperation], omitted: Option<Omitted>) {
    if pending.is_empty() {
        return;
    }
    let more = omitted.map_or(0, |omitted| omitted.count);
    let stuck = units::counted(pending.len() as u64 + more, "operation");
    page.wrapped(bar::WARNING, "", &format!("{stuck} had not returned, and stayed asleep:"));
    for operation in pending.iter().take(NAMED) {
        let mut words = format!("{} by {}", operation.op.0.name(), operation.task.label());
        if let Some(file) = &operation.file {
            words += &format!(" on {file}");
        }
        if let Some(CauseWord(cause)) = operation.cause {
            words += &format!(": {}", cause.path());
        }
        if let Some(stack) = &operation.stack {
            words += &format!(", in {}", stack.iter().take(3).cloned().collect::<Vec<_>>().join(" < "));
        }
        page.wrapped(Style::new(), "  - ", &words);
    }
    page.gap();
}
