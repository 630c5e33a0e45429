//! The picture: a row for each thing that may exit, with a bar for the share of CPU time that its exits take.

use anstyle::{AnsiColor, Style};

use crate::{
    output::{bar, page::Page, text, units},
    tools::vmexit::{
        record::{Cause, CauseKind, Exits},
        verdict, words,
    },
};

/// Columns of a cause's name.
const NAME_COLUMNS: usize = 34;
/// Columns before the bars: margin, name, rate, share.
const BEFORE: usize = 2 + NAME_COLUMNS + 1 + 10 + 1 + 8 + 2;
/// Causes with a row at most.
const ROWS: usize = 8;
/// Doers that a row names at most.
const DOERS: usize = 3;

/// Draws the causes, which stand in the order of their estimates.
pub(super) fn draw(page: &mut Page, causes: &[Cause]) {
    if causes.is_empty() {
        return;
    }
    let most = causes.iter().map(length).max().unwrap_or(0);
    page.gap();
    let names = format!("  {:<NAME_COLUMNS$} {:>10} {:>8}  ", "what", "a second", "CPU time");
    let legend: Vec<String> = [Exits::Yes, Exits::Depends]
        .into_iter()
        .filter(|exits| causes.iter().any(|cause| cause.exits == *exits))
        .map(|exits| format!("{} {}", page.paint(bar::on(colour(exits)), letter(exits)), word(exits)))
        .collect();
    page.line(&format!("{}{}", page.paint(bar::FAINT, &names), legend.join("  ")));
    for cause in causes.iter().take(ROWS) {
        row(page, cause, most);
    }
    left_out(page, &causes[causes.len().min(ROWS)..]);
}

fn row(page: &mut Page, cause: &Cause, most: u64) {
    let name = name(cause, NAME_COLUMNS);
    let padding = NAME_COLUMNS - text::width(&name);
    let rate = match cause.per_second {
        rate if rate < 9.95 => format!("{rate:.1}"),
        rate => units::count(rate.round() as u64),
    };
    let share = cause.vcpu_share.map(units::fine_percent).unwrap_or_default();
    let cells = bar::length(length(cause), most, page.columns() - BEFORE);
    let bar = page.paint(bar::on(colour(cause.exits)), &letter(cause.exits).repeat(cells));
    page.line(&format!("  {name}{:padding$} {rate:>10} {share:>8}  {bar}", ""));
    let exits = word(cause.exits);
    let by = doers(cause, DOERS);
    let words = if by.is_empty() {
        format!("{exits}: {}", cause.in_short)
    } else {
        format!("{exits}: {}; by {by}", cause.in_short)
    };
    page.wrapped(bar::FAINT, "      ", &words);
}

/// What a bar is as long as: the estimate, or the count where there is none.
fn length(cause: &Cause) -> u64 {
    match (cause.exits, cause.estimated_ns) {
        (Exits::No, _) => 0,
        (_, Some(ns)) => ns,
        (_, None) => cause.count,
    }
}

/// A cause in at most so many columns: its kind, and what it is for.
pub(super) fn name(cause: &Cause, columns: usize) -> String {
    let meaning = words::meaning(&cause.name);
    let name = match cause.kind {
        CauseKind::TlbShootdown | CauseKind::Hlt | CauseKind::IpiReschedule => cause.kind.name().to_owned(),
        kind => format!("{} {}", kind.name(), meaning.unwrap_or(&cause.name)),
    };
    text::shorten(&text::for_terminal(&name), columns).into_owned()
}

/// Who did most of it, in at most so many columns: `postgres[1234] 71 %`.
pub(super) fn most(cause: &Cause, columns: usize) -> String {
    let Some(doer) = cause.by.first() else { return String::new() };
    let share = format!(" {}", units::percent(doer.count as f64 / cause.count.max(1) as f64));
    let who = verdict::doer(doer);
    let who = text::for_terminal(&who);
    format!("{}{share}", text::shorten(&who, columns - text::width(&share)))
}

/// Who did it: `postgres[1234] 71 %, idle CPUs 29 %`.
pub(super) fn doers(cause: &Cause, most: usize) -> String {
    let share = |count: u64| units::percent(count as f64 / cause.count.max(1) as f64).replace(' ', "\u{a0}");
    let mut named = 0;
    let mut words: Vec<String> = Vec::new();
    for doer in cause.by.iter().take(most) {
        words.push(format!("{}\u{a0}{}", verdict::doer(doer).replace(' ', "\u{a0}"), share(doer.count)));
        named += doer.count;
    }
    if named < cause.count && !words.is_empty() {
        words.push(format!("others\u{a0}{}", share(cause.count - named)));
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

/// One line for all causes that are not shown.
fn left_out(page: &mut Page, causes: &[Cause]) {
    if causes.is_empty() {
        return;
    }
    let rate: f64 = causes.iter().map(|cause| cause.per_second).sum();
    let rate = if rate < 1.0 { "less than 1".to_owned() } else { units::count(rate.round() as u64) };
    let words = format!("and {} more, {rate} a second together; --json has them", causes.len());
    page.wrapped(Style::new().dimmed(), "  ", &words);
}
