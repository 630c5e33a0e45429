//! The slowest single operations: who, on what, why.

use anstyle::Style;

use super::causes;
use crate::{
    output::{bar, page::Page, record::parties::Task, text, units},
    tools::iolat::record::SlowOperation,
};

/// Columns before an operation's words: margin and latency.
const BEFORE: usize = 12;
/// Columns of a line below which a file's name goes on the next one.
const FILE_COLUMNS: usize = 24;
/// Columns of a thread's name.
const COMM_COLUMNS: usize = 20;

/// Draws the first `most` of `operations`, which are sorted.
pub(super) fn draw(page: &mut Page, operations: &[SlowOperation], most: usize) {
    let shown = operations.len().min(most);
    if shown == 0 {
        return;
    }
    page.gap();
    page.line(&page.paint(bar::STRONG, "Slowest single operations"));
    let mut cgroup = Some("/");
    for operation in &operations[..shown] {
        one(page, operation);
        // Where all are of one cgroup, once is enough.
        if operation.task.cgroup.as_deref() != cgroup {
            cgroup = operation.task.cgroup.as_deref();
            in_cgroup(page, cgroup.unwrap_or("unknown"));
        }
    }
}

fn one(page: &mut Page, operation: &SlowOperation) {
    let indent = " ".repeat(BEFORE);
    let line = format!("{:>10}  {}  {}", units::time(operation.latency_ns), what(operation), who(operation));
    let room = page.columns().saturating_sub(text::width(&line) + 2);
    match operation.file.as_deref().map(text::for_terminal) {
        Some(file) if text::width(&file) <= room || room >= FILE_COLUMNS => {
            page.line(&format!("{line}  {}", text::shorten(&file, room)));
        }
        Some(file) => {
            page.line(&text::shorten(&line, page.columns()));
            page.line(&format!("{indent}{}", text::shorten(&file, page.columns() - BEFORE)));
        }
        None => page.line(&text::shorten(&line, page.columns())),
    }
    page.wrapped(Style::new(), &indent, &causes::top(&operation.causes, 3));
    if let Some(stack) = operation.stack.as_ref().filter(|_| operation.causes.iter().any(causes::needs_stack))
    {
        page.wrapped(bar::FAINT, &indent, &causes::stack_words(stack));
    }
}

fn in_cgroup(page: &mut Page, cgroup: &str) {
    let cgroup = text::for_terminal(cgroup);
    let cgroup = text::shorten(&cgroup, page.columns() - BEFORE - "in cgroup ".len());
    page.line(&page.paint(bar::FAINT, &format!("{:BEFORE$}in cgroup {cgroup}", "")));
}

/// `pwrite64 128 KiB at 4.5 MiB`.
fn what(operation: &SlowOperation) -> String {
    let mut words = operation.op.0.name().to_owned();
    if let Some(bytes) = operation.bytes {
        words += &format!(" {}", units::bytes(bytes));
    }
    if let Some(offset) = operation.offset_bytes {
        words += &format!(" at {}", units::bytes(offset));
    }
    words
}

/// `postgres[1234]`, with the thread where it is not the process's first.
fn who(operation: &SlowOperation) -> String {
    let Task { pid, tid, comm, .. } = &operation.task;
    let comm = text::for_terminal(comm.as_deref().unwrap_or("?"));
    let comm = text::shorten(&comm, COMM_COLUMNS);
    match (pid, tid) {
        (Some(pid), Some(tid)) if pid != tid => format!("{comm}[{pid}/{tid}]"),
        (Some(pid), _) => format!("{comm}[{pid}]"),
        (None, _) => comm.into_owned(),
    }
}
