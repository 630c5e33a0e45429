//! What ends a summary: waits that have not ended, the verdict, and what to look at next.

use anstyle::Style;

use super::Options;
use crate::{
    output::{bar, closing, page::Page, units},
    tools::lock::{Report, record::PendingWait, verdict::nothing_slow},
};

/// Pending waits that are named; more of them are counted.
const NAMED: usize = 5;

/// Draws the end of a summary.
pub(crate) fn verdict(page: &mut Page, options: &Options, report: &Report) {
    let body = &report.record.body;
    pending(page, &body.pending);
    match &body.verdict {
        None if !body.pending.is_empty() => {
            page.wrapped(bar::STRONG, "", "Nothing is slow of what ended; what did not end is the trouble");
        }
        None => page.wrapped(bar::STRONG, "", &nothing_slow(&body.locks, options.slow)),
        Some(verdict) => closing::verdict(page, &verdict.statement, &verdict.advice),
    }
}

/// What had not ended.
fn pending(page: &mut Page, pending: &[PendingWait]) {
    if pending.is_empty() {
        return;
    }
    let stuck = units::counted(pending.len() as u64, "wait");
    page.wrapped(bar::WARNING, "", &format!("{stuck} had not ended:"));
    for wait in pending.iter().take(NAMED) {
        let mut words = format!(
            "{}[{}] for {} ({}), since {}",
            wait.comm,
            wait.tid,
            wait.name,
            wait.kind.0.name(),
            units::time(wait.waited_ns)
        );
        if let (Some(tid), Some(comm)) = (wait.owner_tid, &wait.owner_comm) {
            words += &format!(", held by {comm}[{tid}]");
        }
        if let Some(stack) = &wait.stack {
            words += &format!(", in {}", stack.iter().take(3).cloned().collect::<Vec<_>>().join(" < "));
        }
        page.wrapped(Style::new(), "  - ", &words);
    }
    page.gap();
}
