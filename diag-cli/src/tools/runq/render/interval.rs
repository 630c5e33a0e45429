//! One interval in a few lines.

use anstyle::Style;

use super::group;
use crate::{
    output::{bar, page::Page, text, units},
    tools::runq::{Report, record::Group},
};

/// Groups of an interval with lines of their own at most.
const SHOWN: usize = 3;
/// Columns of a group's name.
const NAME_COLUMNS: usize = 22;
/// Below this time a group's culprits are not worth a line.
const WORTH_A_LINE_NS: u64 = 1_000_000;

/// A compact block for the interval.
pub(crate) fn interval(page: &mut Page, report: &Report) {
    let envelope = &report.record.envelope;
    let body = &report.record.body;
    let busy: f64 = body.cpu_times.iter().map(|cpu| cpu.busy_share).sum();
    let waits: u64 = body.groups.iter().map(|group| group.delay.count).sum();
    let mut words = format!(
        "{} in {}; {:.1} of {} busy",
        units::counted(waits, "wait"),
        units::time(envelope.duration_ns),
        busy,
        units::counted(body.cpu_times.len() as u64, "CPU"),
    );
    if let Some(steal_ns) = body.steal_ns.filter(|&ns| ns > 0) {
        words += &format!(", {} stolen", units::time(steal_ns));
    }
    page.line(&format!("{}  {words}", page.paint(bar::STRONG, &envelope.end.time_of_day())));
    for group in body.groups.iter().filter(|group| group.delay.count + group.throttled_ns > 0).take(SHOWN) {
        one(page, group);
    }
}

fn one(page: &mut Page, group: &Group) {
    let delay = &group.delay;
    let name = group::name(group);
    let name = text::shorten(&name, NAME_COLUMNS);
    let padding = NAME_COLUMNS - text::width(&name);
    let mut line = format!(
        "  {name}{:padding$} {:>9}x  p50 {:<7} p99 {:<7} max {:<7}",
        "",
        units::count(delay.count),
        units::time_or_dash(delay.p50_ns),
        units::time_or_dash(delay.p99_ns),
        units::time_or_dash(delay.max_ns),
    );
    if group.throttled_ns > 0 {
        line += &format!(" quota {}", units::time(group.throttled_ns));
    }
    page.line(text::shorten(line.trim_end(), page.columns()).as_ref());
    let culprits = group::top(group, 3);
    if delay.sum_ns >= WORTH_A_LINE_NS && !culprits.is_empty() {
        page.wrapped(Style::new(), "    < ", &format!("{} for {culprits}", units::time(delay.sum_ns)));
    }
}
