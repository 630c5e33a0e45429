//! One line for each group: its threads, its time, what it lost, and to what.

use diag_common::cause::Class;

use super::{bars, name};
use crate::{
    output::{
        bar,
        page::Page,
        record::parties::{GroupType, Omitted},
        units,
    },
    tools::delays::record::{Group, GroupCause},
};

/// Groups with a line at most.
const LINES: usize = 20;
/// Columns of a group's name, of its bar, and of the cause, on the narrowest screen.
const NAME: usize = 23;
const BAR: usize = 16;
const CAUSE: usize = 22;
/// Columns of a line beside these: threads, lost time, and what is between.
const BETWEEN: usize = 1 + 5 + 1 + 1 + 9 + 1;

/// Draws the groups.
pub(super) fn draw(page: &mut Page, groups: &[Group], omitted: Omitted, duration_ns: u64) {
    if groups.is_empty() {
        return;
    }
    let spare = page.columns().saturating_sub(NAME + BAR + CAUSE + BETWEEN);
    let (name_columns, bar_columns) = (NAME + spare / 2, BAR + spare - spare / 2);
    bars::legend(page, groups);
    page.gap();
    let head = format!(
        "{:name_columns$} {:>5} {:bar_columns$} {:>9} {}",
        "group", "thrds", "time not idle", "lost/s", "mostly to"
    );
    page.line(&page.paint(bar::FAINT, &head));
    let named = groups.iter().filter(|group| group.group.kind != GroupType::Rest).count();
    for group in groups.iter().take(LINES.min(named)) {
        let (bar, cells) = bars::stacked(page, group, bar_columns);
        let padding = bar_columns - cells;
        let lost = match group.loss_ns {
            0 => "–".to_owned(),
            ns => units::per_second(ns, duration_ns),
        };
        let cause = largest(group).map_or("", |cause| cause.keys.cause.path());
        page.line(&format!(
            "{} {:>5} {bar}{:padding$} {lost:>9} {cause}",
            name(group, name_columns),
            units::count(group.thread_count),
            ""
        ));
    }
    left_out(page, "", &groups[LINES.min(named)..].iter().collect::<Vec<_>>(), omitted, duration_ns);
}

/// The cause to which a group lost most.
pub(super) fn largest(group: &Group) -> Option<&GroupCause> {
    group.causes.iter().find(|cause| cause.keys.cause.class() == Class::Lost && cause.ns > 0)
}

/// One line for all groups that are not shown; the last of `groups` may take `omitted` together.
pub(super) fn left_out(page: &mut Page, lead: &str, groups: &[&Group], omitted: Omitted, duration_ns: u64) {
    if groups.is_empty() {
        return;
    }
    let threads = groups.iter().map(|group| group.thread_count).sum();
    let lost_ns = groups.iter().map(|group| group.loss_ns).sum();
    let count = groups.len() as u64 + omitted.count.saturating_sub(1);
    let words = format!(
        "and {} more with {}: {} lost",
        units::counted(count, "group"),
        units::counted(threads, "thread"),
        units::per_second(lost_ns, duration_ns)
    );
    page.wrapped(bar::FAINT, lead, &words);
}
