//! What ends a summary: who still waits, the verdict, and what to look at next.

use anstyle::Style;

use crate::{
    output::{bar, closing, page::Page, record::parties::Task, units},
    tools::runq::{Report, policy::Policy, waiting::Waiting},
};

/// Tasks that are named; more of them are counted.
const NAMED: usize = 5;

/// Draws the end of a summary.
pub(crate) fn verdict(page: &mut Page, report: &Report) {
    let body = &report.record.body;
    let more = body.waiting_omitted.map_or(0, |omitted| omitted.count);
    waiting(page, body.waiting.as_deref().unwrap_or_default(), more);
    closing::verdict(page, &body.verdict);
}

/// Who still waited at the end.
fn waiting(page: &mut Page, waiting: &[Waiting], more: u64) {
    if waiting.is_empty() {
        return;
    }
    let tasks = units::counted(waiting.len() as u64 + more, "task");
    let words = format!("{tasks} still waited for a CPU in the end, which is in no number above:");
    page.wrapped(bar::WARNING, "", &words);
    for task in waiting.iter().take(NAMED) {
        let least = if task.since_known { "" } else { "at least " };
        let mut words = format!("{} for {least}{}", name(&task.task), units::time(task.waited_ns));
        if let Some(cpu) = task.cpu {
            words += &format!(" on CPU {cpu}");
        }
        if let Some(policy) = task.policy.and_then(Policy::name) {
            words += &format!(", as {policy}");
        }
        if task.throttled == Some(true) {
            words += ", held by a CPU quota";
        }
        page.wrapped(Style::new(), "  - ", &words);
    }
    let more = more + waiting.len().saturating_sub(NAMED) as u64;
    if more > 0 {
        page.wrapped(bar::FAINT, "  ", &format!("and {more} more"));
    }
    page.gap();
}

fn name(task: &Task) -> String {
    let comm = task.comm.as_deref().unwrap_or("?");
    match (task.pid, task.tid) {
        (Some(pid), Some(tid)) => format!("{comm}[{pid}/{tid}]"),
        _ => task.label(),
    }
}
