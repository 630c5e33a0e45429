//! One lock: from where it is waited for, by whom, and who holds it.

use anstyle::{AnsiColor, Style};

use crate::{
    output::{bar, page::Page, text, units},
    tools::lock::{
        advice::phrase,
        record::{Doing, Lock, Owner},
        verdict::{owner, title, waiter},
    },
};

/// Callers, waiters and owners with a line at most.
const CALLERS: usize = 3;
const WAITERS: usize = 4;
const OWNERS: usize = 5;
/// Below this share nobody gets a line, but the first.
const LEAST: f64 = 0.01;
/// Functions of a stack at most.
const FRAMES: usize = 5;
/// Columns before a name: margin, share, time.
const BEFORE: usize = 21;
/// Columns of a bar.
const BAR: usize = 20;

/// What the lock is, and how long its waits are.
pub(super) fn heading(page: &mut Page, lock: &Lock) {
    let wait = &lock.wait;
    let counts = format!("{}, {}", units::counted(wait.count, "wait"), units::time(wait.sum_ns));
    let which = match (&lock.address, lock.lock_count) {
        (Some(address), _) => format!(" at {address}"),
        (None, Some(many)) => format!(", {}", units::counted(many, "lock")),
        (None, None) => ", any number of locks".to_owned(),
    };
    let title = title(lock);
    let title = text::for_terminal(&title);
    let room = page.columns().saturating_sub(which.len() + ": ".len() + text::width(&counts));
    let title = text::shorten(&title, room);
    page.gap();
    page.line(&format!("{}{which}: {counts}", page.paint(bar::STRONG, &title)));
    page.line(&format!("  {}", wait.percentiles()));
}

/// The tree below it.
pub(super) fn tree(page: &mut Page, lock: &Lock) {
    callers(page, lock);
    waiters(page, lock);
    owners(page, lock);
}

/// The same in a line or two.
pub(super) fn brief(page: &mut Page, lock: &Lock) {
    page.wrapped(bar::FAINT, "  ", &who_and_where(lock));
}

/// `writer[412] 80 %, in ext4_file_write_iter; held by writer[415] 90 %, blocked in I/O`
pub(super) fn who_and_where(lock: &Lock) -> String {
    let percent = |ns: u64| units::percent(ns as f64 / lock.wait.sum_ns.max(1) as f64);
    let mut words = String::new();
    if let Some(first) = lock.waiters.first() {
        words += &format!("by {} {}", waiter(first), percent(first.ns));
    }
    if let Some(function) = lock.callers.first().and_then(|caller| caller.stack.as_ref()?.first()) {
        words += &format!(", in {function}");
    }
    if let Some(owner) = lock.owners.first() {
        words += &format!("; held {} by {}", percent(owner.ns), holder(owner));
    }
    words.replace(" %", "\u{a0}%")
}

fn callers(page: &mut Page, lock: &Lock) {
    if lock.callers.is_empty() {
        return;
    }
    let whole = lock.wait.sum_ns.max(1);
    let known = known_of(lock.callers.iter().map(|caller| caller.ns).sum(), whole);
    page.line(&format!("  ├ waited for in{known}"));
    for caller in shown(&lock.callers, whole, |caller| caller.ns, CALLERS) {
        let lead = numbers("  │", caller.ns, whole);
        page.wrapped(Style::new(), &lead, &one_line(caller.stack.as_deref().unwrap_or_default()));
    }
}

fn waiters(page: &mut Page, lock: &Lock) {
    let whole = lock.wait.sum_ns.max(1);
    page.line("  ├ by");
    let shown = shown(&lock.waiters, whole, |waiter| waiter.ns, WAITERS);
    let names: Vec<String> = shown.iter().map(|shown| waiter(shown)).collect();
    let width = width_of(&names, page);
    for (part, name) in shown.iter().zip(&names) {
        let bar = bar::solid(page, bar::length(part.ns, whole, BAR));
        row(page, &numbers("  │", part.ns, whole), name, width, &bar);
    }
    more(page, "  │", lock.waiters.len() - shown.len());
}

fn owners(page: &mut Page, lock: &Lock) {
    let whole = lock.wait.sum_ns.max(1);
    if lock.owners.is_empty() {
        let kept = lock.lock_type.0.has_owner();
        page.line(if kept {
            "  └ held by nobody known"
        } else {
            "  └ the kernel does not keep who holds such a lock"
        });
        return;
    }
    let known = known_of(lock.owners.iter().map(|owner| owner.ns).sum(), whole);
    page.line(&format!("  └ held, when looked at, by{known}"));
    let shown = shown(&lock.owners, whole, |owner| owner.ns, OWNERS);
    let names: Vec<String> = shown.iter().map(|owner| holder(owner)).collect();
    let width = width_of(&names, page);
    for (owner, name) in shown.iter().zip(&names) {
        let (letter, colour) = owner.state.map_or(("?", AnsiColor::White), letter);
        let bar = page.paint(bar::on(colour), &letter.repeat(bar::length(owner.ns, whole, BAR)));
        row(page, &numbers("   ", owner.ns, whole), name, width, &bar);
        if let Some(stack) = &owner.stack {
            page.wrapped(bar::FAINT, &format!("{:BEFORE$}in ", ""), &one_line(stack));
        }
    }
    more(page, "   ", lock.owners.len() - shown.len());
}

/// `writer[415], blocked in I/O`
fn holder(of: &Owner) -> String {
    match (&of.task, of.reader, of.state) {
        (None, true, _) => "readers".to_owned(),
        (Some(_), true, Some(doing)) => format!("{}, reader, {}", owner(of), phrase(doing)),
        (_, _, Some(doing)) => format!("{}, {}", owner(of), phrase(doing)),
        (_, _, None) => owner(of),
    }
}

/// The letter of what an owner does, so that a bar can be read without colour, and its colour.
fn letter(doing: Doing) -> (&'static str, AnsiColor) {
    match doing {
        Doing::Running => ("R", AnsiColor::Green),
        Doing::Runnable => ("q", AnsiColor::Yellow),
        Doing::BlockedIo => ("D", AnsiColor::Magenta),
        Doing::Reclaim => ("M", AnsiColor::Red),
        Doing::Blocked => ("s", AnsiColor::Blue),
        Doing::HandedOver => ("h", AnsiColor::Cyan),
    }
}

/// Of how much of the time something is known, where not of nearly all.
fn known_of(known_ns: u64, whole: u64) -> String {
    match known_ns as f64 / whole as f64 {
        share if share < 0.99 => format!(" (known of {} of the time)", units::percent(share)),
        _ => String::new(),
    }
}

/// The first of `parts`, and of the others at most so many that are worth a line.
fn shown<T>(parts: &[T], whole: u64, ns: fn(&T) -> u64, most: usize) -> Vec<&T> {
    let worth = |part: &T| ns(part) as f64 / whole as f64 >= LEAST;
    let first = parts.iter().take(1);
    first.chain(parts.iter().skip(1).take(most - 1).filter(|part| worth(part))).collect()
}

fn numbers(margin: &str, ns: u64, whole: u64) -> String {
    format!("{margin} {:>6} {:>8}  ", units::percent(ns as f64 / whole as f64), units::time(ns))
}

fn width_of(names: &[String], page: &Page) -> usize {
    let longest = names.iter().map(|name| text::width(&text::for_terminal(name))).max().unwrap_or(0);
    longest.min(page.columns() - BEFORE - BAR - 2)
}

fn row(page: &mut Page, lead: &str, name: &str, width: usize, bar: &str) {
    let name = text::for_terminal(name);
    let name = text::shorten(&name, width);
    let padding = width - text::width(&name);
    page.line(&format!("{lead}{name}{:padding$}  {bar}", ""));
}

fn more(page: &mut Page, margin: &str, left: usize) {
    if left > 0 {
        page.line(&format!("{margin}{:19}{}", "", page.paint(bar::FAINT, &format!("and {left} more"))));
    }
}

fn one_line(stack: &[String]) -> String {
    if stack.is_empty() { "unknown functions".to_owned() } else { text::stack(stack, FRAMES) }
}
