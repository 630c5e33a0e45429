//! The picture: a row for each thing that may exit, with a bar for the share of CPU time that its exits take.

use anstyle::{AnsiColor, Style};

use crate::{
    output::{bar, page::Page, text, units},
    tools::vmexit::{
        record::{Activity, Deed, Exits, Vmexit},
        verdict, words,
    },
};

/// Columns of an activity's name.
const NAME_COLUMNS: usize = 34;
/// Columns before the bars: margin, name, rate, share.
const BEFORE: usize = 2 + NAME_COLUMNS + 1 + 10 + 1 + 8 + 2;
/// Doers that a row names at most.
const DOERS: usize = 3;

/// Draws the activities, so many of them.
pub(super) fn draw(page: &mut Page, body: &Vmexit, rows: usize, duration_ns: u64) {
    let activities = &body.activities;
    if activities.is_empty() {
        return;
    }
    let most = activities.iter().map(length).max().unwrap_or(0);
    page.gap();
    let names = format!("  {:<NAME_COLUMNS$} {:>10} {:>8}  ", "what", "a second", "CPU time");
    let legend: Vec<String> = [Exits::Yes, Exits::Depends]
        .into_iter()
        .filter(|exits| activities.iter().any(|activity| activity.exits == *exits))
        .map(|exits| format!("{} {}", page.paint(bar::on(colour(exits)), letter(exits)), word(exits)))
        .collect();
    page.line(&format!("{}{}", page.paint(bar::FAINT, &names), legend.join("  ")));
    for activity in activities.iter().take(rows) {
        row(page, activity, most);
    }
    left_out(page, body, rows, duration_ns);
}

fn row(page: &mut Page, activity: &Activity, most: u64) {
    let name = name(activity, NAME_COLUMNS);
    let padding = NAME_COLUMNS - text::width(&name);
    let rate = match activity.events_per_second {
        rate if rate < 9.95 => format!("{rate:.1}"),
        rate => units::count(rate.round() as u64),
    };
    let share = share(activity);
    let cells = bar::length(length(activity), most, page.columns() - BEFORE);
    let bar = page.paint(bar::on(colour(activity.exits)), &letter(activity.exits).repeat(cells));
    page.line(format!("  {name}{:padding$} {rate:>10} {share:>8}  {bar}", "").trim_end());
    let exits = word(activity.exits);
    let by = doers(activity, DOERS);
    let words = if by.is_empty() {
        format!("{exits}: {}", activity.in_short)
    } else {
        format!("{exits}: {}; by {by}", activity.in_short)
    };
    page.wrapped(bar::FAINT, "      ", &words);
}

/// The share of CPU time that its exits take; of what idle CPUs alone do a word.
pub(super) fn share(activity: &Activity) -> String {
    let is_idle = activity.idle_event_count == activity.event_count && activity.exits != Exits::No;
    match activity.cpu_share {
        Some(_) if is_idle => "idle".to_owned(),
        share => share.map(units::fine_percent).unwrap_or_default(),
    }
}

/// What a bar is as long as: the estimate, or the count where there is none.
fn length(activity: &Activity) -> u64 {
    match (activity.exits, activity.busy_ns()) {
        (Exits::No, _) => 0,
        (_, Some(ns)) => ns,
        (_, None) => activity.event_count,
    }
}

/// An activity in at most so many columns: its kind, and what it is for.
pub(super) fn name(activity: &Activity, columns: usize) -> String {
    let kind = activity.activity.name();
    let name = match (activity.activity, &activity.name) {
        (Deed::TlbShootdown | Deed::Hlt, _) | (Deed::IpiReschedule | Deed::IpiCall, None) => kind.to_owned(),
        (Deed::Timer, None) => format!("{kind} {}", words::NO_TIMER),
        (_, Some(name)) => format!("{kind} {}", words::meaning(name).unwrap_or(name)),
        (_, None) => format!("{kind} {}", activity.object()),
    };
    text::shorten(&text::for_terminal(&name), columns).into_owned()
}

/// Who did most of it, in at most so many columns: `postgres[1234] 71 %`.
pub(super) fn most(activity: &Activity, columns: usize) -> String {
    let Some(doer) = activity.doers.first() else { return String::new() };
    let part = doer.event_count as f64 / activity.event_count.max(1) as f64;
    let share = format!(" {}", units::percent(part));
    let who = verdict::doer(doer);
    let who = text::for_terminal(&who);
    format!("{}{share}", text::shorten(&who, columns - text::width(&share)))
}

/// Who did it: `postgres[1234] 71 %, idle CPUs 29 %`.
pub(super) fn doers(activity: &Activity, most: usize) -> String {
    let all = activity.event_count;
    let share = |count: u64| units::percent(count as f64 / all.max(1) as f64).replace(' ', "\u{a0}");
    let mut named = 0;
    let mut words: Vec<String> = Vec::new();
    for doer in activity.doers.iter().take(most) {
        let who = verdict::doer(doer).replace(' ', "\u{a0}");
        words.push(format!("{who}\u{a0}{}", share(doer.event_count)));
        named += doer.event_count;
    }
    if named < all && !words.is_empty() {
        words.push(format!("others\u{a0}{}", share(all - named)));
    }
    words.join(", ")
}

fn letter(exits: Exits) -> &'static str {
    match exits {
        Exits::Yes => "y",
        Exits::Depends => "d",
        Exits::No => "",
    }
}

fn word(exits: Exits) -> &'static str {
    match exits {
        Exits::Yes => "exits",
        Exits::Depends => "may exit",
        Exits::No => "does not exit",
    }
}

fn colour(exits: Exits) -> AnsiColor {
    match exits {
        Exits::Yes => AnsiColor::Red,
        Exits::Depends => AnsiColor::Yellow,
        Exits::No => AnsiColor::White,
    }
}

/// One line for all activities that are not shown.
fn left_out(page: &mut Page, body: &Vmexit, rows: usize, duration_ns: u64) {
    let hidden = &body.activities[body.activities.len().min(rows)..];
    let number = hidden.len() as u64 + body.activities_omitted.count;
    if number == 0 {
        return;
    }
    let count: u64 = hidden.iter().map(|activity| activity.event_count).sum::<u64>() + body.other_event_count;
    let rate = count as f64 * 1e9 / duration_ns.max(1) as f64;
    let rate = if rate < 1.0 { "less than 1".to_owned() } else { units::count(rate.round() as u64) };
    let words = format!("and {number} more, {rate} a second together; --top shows them");
    page.wrapped(Style::new().dimmed(), "  ", &words);
}
