//! What `osdiag vmexit` shows on a terminal: a block each interval, and the summary, which ends with the verdict, so that
//! it is what stands above the prompt.

mod activities;
mod guest;
mod idle;
#[cfg(test)]
mod tests;

use super::Report;
use crate::output::{bar, closing, page::Page, text, units};

/// Activities of an interval with lines of their own at most.
const SHOWN: usize = 4;
/// Columns of an activity's name in an interval.
const NAME_COLUMNS: usize = 31;

/// The whole session, with so many rows at most.
pub(super) fn summary(page: &mut Page, report: &Report, rows: usize) {
    let (envelope, body) = (&report.record.envelope, &report.record.body);
    let all = body.event_count();
    let may = if report.picture.hypervisor.is_none() { "would in a virtual machine" } else { "may" };
    let words = format!(
        "{} that {may} exit, of {} in {}",
        units::counted(all, "event"),
        envelope.target,
        units::time(envelope.duration_ns)
    );
    page.gap();
    page.wrapped(bar::STRONG, "", &words);
    guest::cost(page, body);
    activities::draw(page, body, rows, envelope.duration_ns);
    idle::draw(page, body, &report.picture.halted, envelope.duration_ns);
    guest::draw(page, report);
}

/// One interval in a few lines.
pub(super) fn interval(page: &mut Page, report: &Report) {
    let (envelope, body) = (&report.record.envelope, &report.record.body);
    let all = body.event_count();
    let mut words = format!("{} in {}", units::counted(all, "event"), units::time(envelope.duration_ns));
    if let Some(share) = body.cpu_share {
        words += &format!(", exits about {} of CPU time", units::fine_percent(share).replace(' ', "\u{a0}"));
    }
    let time = page.paint(bar::STRONG, &envelope.end.time_of_day());
    page.line(&format!("{time}  {}", words.replace('\u{a0}', " ")));
    for activity in body.activities.iter().take(SHOWN) {
        let name = activities::name(activity, NAME_COLUMNS);
        let padding = NAME_COLUMNS - text::width(&name);
        let rate = units::count(activity.events_per_second.round() as u64);
        let share = activities::share(activity);
        let line = format!("  {name}{:padding$} {rate:>9}/s {share:>6}  ", "");
        let room = page.columns() - text::width(&line);
        page.line(format!("{line}{}", activities::most(activity, room)).trim_end());
    }
}

/// Draws the end of a summary.
pub(super) fn verdict(page: &mut Page, report: &Report) {
    closing::verdict(page, &report.record.body.verdict);
}
