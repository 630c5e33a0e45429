//! What ends a summary: waits that have not ended, the verdict, and what to look at next.

use anstyle::Style;

use crate::{
    output::{bar, closing, page::Page, units},
    tools::lock::{Report, record::PendingWait, verdict::named},
};

/// Pending waits that are named; more of them are counted.
const NAMED: usize = 5;

/// Draws the end of a summary.
pub(crate) fn verdict(page: &mut Page, report: &Report) {
    let body = &report.record.body;
    pending(page, body.pending.as_deref().unwrap_or_default());
    closing::verdict(page, &body.verdict);
}

/// What had not ended.
fn pending(page: &mut Page, pending: &[PendingWait]) {
    if pending.is_empty() {
        return;
    }
    let stuck = units::counted(pending.len() as u64, "wait");
    page.wrapped(bar::WARNING, "", &format!("{stuck} had not ended:"));
    for wait in pending.iter().take(NAMED) {
        let lock = named(wait.name.as_deref(), wait.lock_type);
        let mut words = format!("{} for {lock}, since {}", wait.task.label(), units::time(wait.waited_ns));
        if let Some(owner) = &wait.owner {
            words += &format!(", held by {}", owner.label());
        }
        if let Some(stack) = &wait.stack {
            words += &format!(", in {}", stack.iter().take(3).cloned().collect::<Vec<_>>().join(" < "));
        }
        page.wrapped(Style::new(), "  - ", &words);
    }
    page.gap();
}
