//! What ends a summary: who still waits, the verdict, and what to look at next.

use std::time::Duration;

use anstyle::Style;

use crate::{
    output::{bar, closing, page::Page, units},
    tools::runq::{Report, verdict::nothing_slow, waiting::Waiting},
};

/// Tasks that are named; more of them are counted.
const NAMED: usize = 5;

/// Draws the end of a summary.
pub(crate) fn verdict(page: &mut Page, slow: Duration, report: &Report) {
    let body = &report.record.body;
    waiting(page, &body.waiting);
    match &body.verdict {
        None if !body.waiting.is_empty() => {
            let words = "No wait that ended was slow; those that have not ended are the trouble";
            page.wrapped(bar::STRONG, "", words);
        }
        None => page.wrapped(bar::STRONG, "", &nothing_slow(&body.groups, slow)),
        Some(verdict) => closing::verdict(page, &verdict.statement, &verdict.advice),
    }
}

/// Who still waited at the end.
fn waiting(page: &mut Page, waiting: &[Waiting]) {
    if waiting.is_empty() {
        return;
    }
    let tasks = units::counted(waiting.len() as u64, "task");
    let words = format!("{tasks} still waited for a CPU in the end, which is in no number above:");
    page.wrapped(bar::WARNING, "", &words);
    for task in waiting.iter().take(NAMED) {
        let least = if task.since_known { "" } else { "at least " };
        let mut words =
            format!("{}[{}/{}] for {least}{}", task.comm, task.pid, task.tid, units::time(task.waited_ns));
        if let Some(cpu) = task.cpu {
            words += &format!(" on CPU {cpu}");
        }
        if let Some(policy) = task.policy.name() {
            words += &format!(", as {policy}");
        }
        if task.throttled {
            words += ", held by a CPU quota";
        }
        page.wrapped(Style::new(), "  - ", &words);
    }
    if waiting.len() > NAMED {
        page.wrapped(bar::FAINT, "  ", &format!("and {} more", waiting.len() - NAMED));
    }
    page.gap();
}
