//! A group's lines: how long it waited, and for whom.

use crate::{
    output::{bar, page::Page, text, units},
    tools::runq::{
        args::By,
        kin::{Kin, together},
        record::{Culprit, Group, Rest},
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
pub(super) fn name(by: By, group: &Group) -> String {
    let comm = group.comm.as_deref().unwrap_or_default();
    let name = match (by, group.pid) {
        (By::Pid, _) => format!("{comm}[{}]", group.key),
        (By::Tid, Some(pid)) => format!("{comm}[{pid}/{}]", group.key),
        (By::Cpu, _) => format!("CPU {}", group.key),
        _ => group.key.clone(),
    };
    text::for_terminal(&name).into_owned()
}

/// The heading of a group, over `duration_ns`.
pub(super) fn heading(page: &mut Page, by: By, group: &Group, duration_ns: u64) {
    let delay = &group.delay;
    let mut words = units::counted(delay.count, "wait");
    if delay.count > 0 {
        words += &format!(", {} together", units::time(delay.sum_ns));
    }
    words += &format!("; ran {}", units::time(group.run_ns));
    if group.throttled_ns > 0 {
        words += &format!("; held by its quota {}", units::time(group.throttled_ns));
    }
    let name = name(by, group);
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
    if group.delay.sum_ns == 0 {
        return;
    }
    page.line("  who had the CPU meanwhile");
    let all = together(group.culprits.iter());
    let worth = |(at, kin): &(usize, &Kin<'_>)| *at == 0 || (*at < BARS && kin.share >= LEAST);
    let shown: Vec<&Kin<'_>> = all.iter().enumerate().filter(worth).map(|(_, kin)| kin).collect();
    let names: Vec<String> = shown.iter().map(|kin| name_of(kin)).collect();
    let longest = names.iter().map(|name| text::width(name)).max().unwrap_or(0);
    let width = page.columns().saturating_sub(BEFORE + longest + 2);
    for (kin, name) in shown.iter().zip(&names) {
        let padding = longest - text::width(name);
        let bar = bar::solid(page, bar::length(kin.ns, group.delay.sum_ns, width));
        page.line(&format!(
            "    {:>5} {:>8}  {name}{:padding$}  {bar}",
            units::percent(kin.share),
            units::time(kin.ns),
            ""
        ));
    }
    let others: u64 = all.iter().skip(shown.len()).map(|kin| kin.ns).sum();
    more(page, group, others + group.other_culprits_ns, "others");
    more(page, group, group.unattributed_ns, "not known");
}

fn more(page: &mut Page, group: &Group, ns: u64, what: &str) {
    let share = ns as f64 / group.delay.sum_ns.max(1) as f64;
    if share >= LEAST {
        let line = format!("    {:>5} {:>8}  {what}", units::percent(share), units::time(ns));
        page.line(&page.paint(bar::FAINT, &line));
    }
}

/// The same in one line.
pub(super) fn brief(page: &mut Page, group: &Group) {
    let words = top(&group.culprits, 3);
    if !words.is_empty() {
        page.wrapped(bar::FAINT, "  ", &format!("waited for {words}"));
    }
}

/// The first culprits in words: `hog[12] 81 %, idle 12 %`.
pub(super) fn top(culprits: &[Culprit], most: usize) -> String {
    let all = together(culprits.iter());
    let worth = all.iter().filter(|kin| kin.share >= LEAST).take(most);
    let words: Vec<String> = worth
        .map(|kin| format!("{} {}", name_of(kin), units::percent(kin.share)).replace(' ', "\u{a0}"))
        .collect();
    words.join(", ")
}

fn name_of(kin: &Kin<'_>) -> String {
    text::shorten(&text::for_terminal(&kin.name()), NAME).into_owned()
}

/// One line for all groups that are not shown.
pub(super) fn left_out<'a>(page: &mut Page, groups: impl Iterator<Item = &'a Group>, rest: Option<&Rest>) {
    let (mut count, mut waits, mut ns) =
        rest.map_or((0, 0, 0), |rest| (rest.groups, rest.delay.count, rest.delay.sum_ns));
    for group in groups {
        count += 1;
        waits += group.delay.count;
        ns += group.delay.sum_ns;
    }
    if count > 0 {
        let (waits, time) = (units::counted(waits, "wait"), units::time(ns));
        page.gap();
        page.wrapped(
            bar::FAINT,
            "",
            &format!("and {count} more, which waited less: {waits}, {time} together"),
        );
    }
}
