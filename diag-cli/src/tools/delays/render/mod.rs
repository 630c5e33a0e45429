//! What `osdiag delays` shows on a terminal: a block each interval, and the summary, which ends with the verdict, so that
//! it is what stands above the prompt.

mod bars;
mod group;
mod interval;
mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::record::{Delays, Group};
use crate::output::{
    bar, closing,
    page::Page,
    record::{Record, parties::GroupType},
    text, units,
};

pub(super) use self::interval::interval;

/// Groups that are told of in full at most.
const PICTURES: usize = 3;

/// The whole session.
pub(super) fn summary(page: &mut Page, slow: Duration, record: &Record<Delays>) {
    let Record { envelope, body, .. } = record;
    let words = format!(
        "{} of {} in {}, by {}",
        heading(&body.groups, body.groups_omitted.count),
        envelope.target,
        units::time(envelope.duration_ns),
        envelope.settings.by.unwrap_or("container"),
    );
    page.gap();
    page.wrapped(bar::STRONG, "", &words);
    table::draw(page, &body.groups, body.groups_omitted, envelope.duration_ns);
    let losers = body.groups.iter().filter(|group| group.group.kind != GroupType::Rest && group.loss_ns > 0);
    for (at, group) in losers.take(PICTURES).enumerate() {
        if at == 0 || lost_in_each_second(group, envelope.duration_ns) >= slow {
            group::draw(page, group, envelope.duration_ns);
        }
    }
}

fn lost_in_each_second(group: &Group, duration_ns: u64) -> Duration {
    Duration::from_secs_f64(group.loss_ns as f64 / duration_ns.max(1) as f64)
}

/// The answer, and what to look at next.
pub(super) fn verdict(page: &mut Page, record: &Record<Delays>) {
    closing::verdict(page, &record.body.verdict);
}

/// `318 threads in 41 groups`; the last group can take `omitted` together.
fn heading(groups: &[Group], omitted: u64) -> String {
    let threads = groups.iter().map(|group| group.thread_count).sum();
    let count = groups.len() as u64 + omitted.saturating_sub(1);
    format!("{} in {}", units::counted(threads, "thread"), units::counted(count, "group"))
}

/// A group's name in so many columns, and the spaces that it lacks.
fn name(group: &Group, columns: usize) -> String {
    let name = text::for_terminal(&group.group.label()).into_owned();
    let name = text::shorten(&name, columns);
    let padding = columns - text::width(&name);
    format!("{name}{:padding$}", "")
}

/// A share beside other words, without a break in it.
fn percent(share: f64) -> String {
    units::percent(share).replace(' ', "\u{a0}")
}
