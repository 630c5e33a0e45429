//! What `osdiag vmexit` shows on a terminal: a block each interval, and the summary, which ends with the verdict, so that
//! it is what stands above the prompt.

mod causes;
mod guest;
mod idle;
#[cfg(test)]
mod tests;

use super::{Report, record::Vmexit};
use crate::output::{bar, closing, page::Page, text, units};

/// Causes of an interval with lines of their own at most.
const SHOWN: usize = 4;
/// Columns of a cause's name in an interval.
const NAME_COLUMNS: usize = 31;

/// The whole session.
pub(super) fn summary(page: &mut Page, report: &Report) {
    let (envelope, body) = (&report.record.envelope, &report.record.body);
    let all: u64 = body.causes.iter().map(|cause| cause.count).sum();
    let may = if body.features.hypervisor == "none" { "would in a virtual machine" } else { "may" };
    let words = format!(
        "{} that {may} exit, of {} in {}",
        units::counted(all, "event"),
        envelope.target,
        units::time(envelope.duration_ns)
    );
    page.gap();
    page.wrapped(bar::STRONG, "", &words);
    guest::cost(page, body);
    causes::draw(page, &body.causes);
    idle::draw(page, body, &report.picture.halted, envelope.duration_ns);
    guest::draw(page, envelope, body);
}

/// One interval in a few lines.
pub(super) fn interval(page: &mut Page, report: &Report) {
    let (envelope, body) = (&report.record.envelope, &report.record.body);
    let all: u64 = body.causes.iter().map(|cause| cause.count).sum();
    let mut words = format!("{} in {}", units::counted(all, "event"), units::time(envelope.duration_ns));
    if let Some(share) = body.vcpu_share {
        words += &format!(", exits about {} of CPU time", units::fine_percent(share).replace(' ', "\u{a0}"));
    }
    let time = page.paint(bar::STRONG, &envelope.end.time_of_day());
    page.line(&format!("{time}  {}", words.replace('\u{a0}', " ")));
    for cause in body.causes.iter().take(SHOWN) {
        let name = causes::name(cause, NAME_COLUMNS);
        let padding = NAME_COLUMNS - text::width(&name);
        let rate = units::count(cause.per_second.round() as u64);
        let share = cause.vcpu_share.map(units::fine_percent).unwrap_or_default();
        let line = format!("  {name}{:padding$} {rate:>9}/s {share:>6}  ", "");
        let room = page.columns() - text::width(&line);
        page.line(format!("{line}{}", causes::most(cause, room)).trim_end());
    }
}

/// Draws the end of a summary.
pub(super) fn verdict(page: &mut Page, report: &Report) {
    let Vmexit { verdict, advice, .. } = &report.record.body;
    match verdict {
        None => page.wrapped(bar::STRONG, "", &report.picture.nothing),
        Some(verdict) => closing::statement(page, &verdict.statement),
    }
    closing::advice(page, "What would stop it", advice.iter().map(|advice| advice.text.as_str()));
}
