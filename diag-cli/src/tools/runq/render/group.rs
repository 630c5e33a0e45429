//! A group's lines: how long it waited, and for whom.

use crate::{
    output::{
        bar,
        page::Page,
        record::parties::Omitted,
        text,
        units::{self, share},
    },
    tools::runq::{
        kin::{Holder, holders},
        record::Group,
    },
};

/// Culprits with a bar at most.
const BARS: usize = 6;
/// Below this share a culprit gets no bar of its own.
const LEAST: f64 = 0.01;
/// Columns of a culprit's name at most.
const NAME: usize = 30;
/// Columns before a culprit's name: margin, share, time.
const BEFORE: usize = 20;

/// What a group is called on the screen.
pub(super) fn name(group: &Group) -> String {
    text::for_terminal(&group.label()).into_owned()
}

/// The heading of a group, over `duration_ns`.
pub(super) fn heading(page: &mut Page, group: &Group, duration_ns: u64) {
    let delay = &group.delay;
    let mut words = units::counted(delay.count, "wait");
    if delay.count > 0 {
        words += &format!(", {} together", units::time(delay.sum_ns));
    }
    words += &format!("; ran {}", units::time(group.run_ns));
    if group.throttled_ns > 0 {
        words += &format!("; held by its quota {}", units::time(group.throttled_ns));
    }
    let name = name(group);
    let room = page.columns().saturating_sub(text::width(&words) + 2).max(12);
    let name = text::shorten(&name, room);
    page.gap();
    page.line(&format!("{}: {words}", page.paint(bar::STRONG, &name)));
    if delay.count > 0 {
        let per_second = (delay.count as f64 * 1e9 / duration_ns.max(1) as f64).round() as u64;
        page.line(&format!("  {}  ({}/s)", delay.percentiles(), units::count(per_second)));
    }
}

/// Who had the CPU while the group waited: a bar each.
pub(super) fn culprits(page: &mut Page, group: &Group) {
    let whole_ns = group.delay.sum_ns;
    if whole_ns == 0 {
        return;
    }
    page.line("  who had the CPU meanwhile");
    let all = holders(group);
    let worth =
        |(at, holder): &(usize, &Holder)| *at == 0 || (*at < BARS && share(holder.ns, whole_ns) >= LEAST);
    let shown: Vec<&Holder> = all.iter().enumerate().filter(worth).map(|(_, holder)| holder).collect();
    let names: Vec<String> = shown.iter().map(|holder| name_of(holder)).collect();
    let longest = names.iter().map(|name| text::width(name)).max().unwrap_or(0);
    let width = page.columns().saturating_sub(BEFORE + longest + 2);
    for (holder, name) in shown.iter().zip(&names) {
        let padding = longest - text::width(name);
        let bar = bar::solid(page, bar::length(holder.ns, whole_ns, width));
        page.line(&format!(
            "    {:>5} {:>8}  {name}{:padding$}  {bar}",
            units::percent(share(holder.ns, whole_ns)),
            units::time(holder.ns),
            ""
        ));
    }
    let others: u64 = all.iter().skip(shown.len()).map(|holder| holder.ns).sum();
    more(page, group, others + group.culprits_omitted.ns.unwrap_or(0), "others");
    more(page, group, group.unattributed_ns, "not known");
}

fn more(page: &mut Page, group: &Group, ns: u64, what: &str) {
    let share = share(ns, group.delay.sum_ns);
    if share >= LEAST {
        let line = format!("    {:>5} {:>8}  {what}", units::percent(share), units::time(ns));
        page.line(&page.paint(bar::FAINT, &line));
    }
}

/// The same in one line.
pub(super) fn brief(page: &mut Page, group: &Group) {
    let words = top(group, 3);
    if !words.is_empty() {
        page.wrapped(bar::FAINT, "  ", &format!("waited for {words}"));
    }
}

/// What had the CPU longest, in words: `hog[12] 81 %, idle 12 %`.
pub(super) fn top(group: &Group, most: usize) -> String {
    let whole_ns = group.delay.sum_ns;
    let all = holders(group);
    let worth = all.iter().filter(|holder| share(holder.ns, whole_ns) >= LEAST).take(most);
    let words: Vec<String> = worth
        .map(|holder| {
            let percent = units::percent(share(holder.ns, whole_ns));
            format!("{} {percent}", name_of(holder)).replace(' ', "\u{a0}")
        })
        .collect();
    words.join(", ")
}

fn name_of(holder: &Holder) -> String {
    text::shorten(&text::for_terminal(&holder.name), NAME).into_owned()
}

/// One line for all groups that are not shown: those of `groups`, of which the last may take `omitted` together.
pub(super) fn left_out<'a>(page: &mut Page, groups: impl Iterator<Item = &'a Group>, omitted: Omitted) {
    let (mut count, mut waits, mut ns) = (0, 0, 0);
    for group in groups {
        count += 1;
        waits += group.delay.count;
        ns += group.delay.sum_ns;
    }
    if count > 0 {
        // The group of all others is one of them already.
        let count = count + omitted.count.saturating_sub(1);
        let (waits, time) = (units::counted(waits, "wait"), units::time(ns));
        page.gap();
        page.wrapped(
            bar::FAINT,
            "",
            &format!("and {count} more, which waited less: {waits}, {time} together"),
        );
    }
}
