//! One interval in a few lines.

use diag_common::cause::Class;

use super::{bars, heading, name, table};
use crate::{
    output::{
        bar,
        page::Page,
        record::parties::GroupType,
        text,
        units::{self, share},
    },
    tools::delays::{
        Report,
        record::{Group, GroupCause},
    },
};

/// Groups of an interval with a line at most.
const SHOWN: usize = 4;
/// Columns of a group's name, and of its bar.
const NAME: usize = 22;
const BAR: usize = 12;
/// Causes that are named at most.
const CAUSES: usize = 2;
/// Below this share of the lost time a further cause is not worth a word.
const LEAST: f64 = 0.05;

/// A compact block for the interval.
pub(crate) fn interval(page: &mut Page, report: &Report) {
    let envelope = &report.record.envelope;
    let body = &report.record.body;
    let lost_ns = body.groups.iter().map(|group| group.loss_ns).sum();
    let words = format!(
        "{} lost by {}",
        units::per_second(lost_ns, envelope.duration_ns),
        heading(&body.groups, body.groups_omitted.count)
    );
    page.line(&format!("{}  {words}", page.paint(bar::STRONG, &envelope.end.time_of_day())));
    let mut losers: Vec<&Group> = body.groups.iter().filter(|group| group.loss_ns > 0).collect();
    losers.sort_by_key(|group| (group.group.kind == GroupType::Rest, std::cmp::Reverse(group.loss_ns)));
    let named = losers.iter().filter(|group| group.group.kind != GroupType::Rest).count();
    let (shown, others) = losers.split_at(SHOWN.min(named));
    for group in shown {
        one(page, group, envelope.duration_ns);
    }
    table::left_out(page, "  ", others, body.groups_omitted, envelope.duration_ns);
}

fn one(page: &mut Page, group: &Group, duration_ns: u64) {
    let (bar, cells) = bars::stacked(page, group, BAR);
    let padding = BAR - cells;
    let lost = units::per_second(group.loss_ns, duration_ns);
    let before = format!("  {} ", name(group, NAME));
    let after = format!("{:padding$} {lost:>9}  ", "");
    let room = page.columns().saturating_sub(text::width(&before) + BAR + text::width(&after) - padding);
    page.line(&format!("{before}{bar}{after}{}", causes(group, room)));
}

/// What a group lost most to, with shares of its lost time, in so many columns: the largest at least.
fn causes(group: &Group, columns: usize) -> String {
    let lost = group.causes.iter().filter(|cause| cause.keys.cause.class() == Class::Lost && cause.ns > 0);
    let part = |cause: &GroupCause| share(cause.ns, group.loss_ns);
    let mut words = String::new();
    for cause in lost.take(CAUSES).filter(|cause| part(cause) >= LEAST) {
        let comma = if words.is_empty() { "" } else { ", " };
        let more = format!("{comma}{} {}", cause.keys.cause.path(), units::percent(part(cause)));
        if words.is_empty() || text::width(&words) + text::width(&more) <= columns {
            words += &more;
        }
    }
    text::shorten(&words, columns).into_owned()
}
