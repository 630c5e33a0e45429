//! One interval in a few lines.

use anstyle::Style;

use super::{Options, lock::who_and_where, total};
use crate::{
    output::{bar, page::Page, text, units},
    tools::lock::{Report, record::Lock, verdict::title},
};

/// Locks of an interval with lines of their own at most.
const SHOWN: usize = 3;
/// Columns of a lock's name.
const NAME_COLUMNS: usize = 28;

/// A compact block for the interval.
pub(crate) fn interval(page: &mut Page, options: &Options, report: &Report) {
    let envelope = &report.record.envelope;
    let locks = &report.record.body.locks;
    let (waits, ns) = total(locks);
    let mut words = format!(
        "{} in {}, {} together",
        units::counted(waits, "wait"),
        units::time(envelope.duration_ns),
        units::time(ns)
    );
    if locks.len() > SHOWN {
        words += &format!("; {SHOWN} of {} locks:", locks.len());
    }
    page.line(&format!("{}  {words}", page.paint(bar::STRONG, &envelope.end.time_of_day())));
    for lock in locks.iter().take(SHOWN) {
        one(page, lock);
        if options.is_slow(lock, envelope.duration_ns) {
            page.wrapped(Style::new(), "    > ", &who_and_where(lock));
        }
    }
}

fn one(page: &mut Page, lock: &Lock) {
    let name = title(lock);
    let name = text::for_terminal(&name);
    let name = text::shorten(&name, NAME_COLUMNS);
    let padding = NAME_COLUMNS - text::width(&name);
    let wait = &lock.wait;
    page.line(&format!(
        "  {name}{:padding$} {:>7}  sum {:<7} p99 {:<7} max {}",
        "",
        units::count(wait.count),
        units::time(wait.sum_ns),
        units::time_or_dash(wait.p99_ns),
        units::time_or_dash(wait.max_ns),
    ));
}
