//! What a group lost its time to: causes with their tails, places, who had the CPU, the longest waits.

use anstyle::Style;
use diag_common::cause::{Class, Layer};

use super::{bars, percent};
use crate::{
    output::{
        bar,
        page::Page,
        record::{
            cause::CauseKeys,
            parties::{self, Resource},
        },
        text,
        units::{self, share},
    },
    tools::delays::record::{Group, GroupCause, LongWait, Place, Pressure},
};

/// Causes with a line at most.
const CAUSES: usize = 8;
/// Places, and culprits, that are named at most.
const NAMED: usize = 4;
/// Single waits with a line at most.
const WAITS: usize = 3;
/// Below this share a cause, a place or a culprit is not worth a word.
const LEAST: f64 = 0.01;
/// Functions of a stack at most.
const FRAMES: usize = 5;
/// Columns of a cause's name: the longest with a via is cut.
const NAME: usize = 33;
/// Columns before a cause's bar.
const BEFORE: usize = 2 + 5 + 1 + 7 + 2 + NAME + 1 + 7 + 1 + 7 + 1 + 7 + 1;

/// Draws a group.
pub(super) fn draw(page: &mut Page, group: &Group, duration_ns: u64) {
    let words = format!(
        "{} lost {} ({}), {} of their time with work",
        units::counted(group.thread_count, "thread"),
        units::time(group.loss_ns),
        units::per_second(group.loss_ns, duration_ns),
        percent(share(group.loss_ns, group.active_ns())),
    );
    page.gap();
    page.wrapped(bar::STRONG, "", &format!("{}: {words}", group.group.label()));
    causes(page, group);
    places(page, &group.places);
    culprits(page, group);
    longest(page, group);
    pressure(page, group.pressure.as_ref());
}

/// Where its time went: a line for each cause, with how long single waits were; lost time first, then the time in which
/// its threads had nothing to do last. Shares are of all but that, as in the bar above.
fn causes(page: &mut Page, group: &Group) {
    let head =
        format!("  {:>5} {:>7}  {:NAME$} {:>7} {:>7} {:>7}", "share", "time", "", "waits", "p99", "max");
    page.line(&page.paint(bar::FAINT, &head));
    let whole_ns = group.thread_ns.saturating_sub(group.layers.get(Layer::Idle).ns);
    let worth = |cause: &&GroupCause| is_idle(cause) || share(cause.ns, whole_ns) >= LEAST || is_lost(cause);
    let mut shown: Vec<&GroupCause> = group.causes.iter().filter(worth).collect();
    shown.sort_by_key(|cause| (is_idle(cause), !is_lost(cause)));
    shown.truncate(CAUSES);
    let most = shown.iter().filter(|cause| !is_idle(cause)).map(|cause| cause.ns).max().unwrap_or(0);
    let width = page.columns().saturating_sub(BEFORE);
    for cause in shown {
        let name = full_name(cause.keys);
        let name = text::shorten(&name, NAME);
        let padding = NAME - text::width(&name);
        let part = if is_idle(cause) { "–".to_owned() } else { units::percent(share(cause.ns, whole_ns)) };
        let line =
            format!("  {part:>5} {:>7}  {name}{:padding$} {}", units::time(cause.ns), "", waits(cause));
        let line = if is_lost(cause) { line } else { page.paint(bar::FAINT, &line) };
        let cells = if is_idle(cause) { 0 } else { bar::length(cause.ns, most, width) };
        page.line(&format!("{line} {}", bars::solid(page, cause.keys.cause, cells)));
    }
}

/// How many waits, and how long.
fn waits(cause: &GroupCause) -> String {
    let wait = &cause.wait;
    let count = if wait.count == 0 { "–".to_owned() } else { units::count(wait.count) };
    format!("{count:>7} {:>7} {:>7}", units::time_or_dash(wait.p99_ns), units::time_or_dash(wait.max_ns))
}

fn is_idle(cause: &GroupCause) -> bool {
    cause.keys.cause.class() == Class::Idle
}

fn is_lost(cause: &GroupCause) -> bool {
    cause.keys.cause.class() == Class::Lost
}

/// `filesystem.journal ← block.device`.
fn full_name(keys: CauseKeys) -> String {
    match keys.via {
        Some(via) => format!("{} ← {}", keys.cause.path(), via.path()),
        None => keys.cause.path().to_owned(),
    }
}

/// The places where time was lost, each with its part of that.
fn places(page: &mut Page, places: &[Place]) {
    let lost_ns = |place: &Place| -> u64 {
        let lost = place.causes.iter().filter(|cause| cause.keys.cause.class() == Class::Lost);
        lost.map(|cause| cause.ns).sum()
    };
    let all_ns: u64 = places.iter().map(lost_ns).sum();
    let mut lost: Vec<(&str, u64)> =
        places.iter().map(|place| (place.place.as_str(), lost_ns(place))).collect();
    lost.sort_by_key(|&(place, ns)| (std::cmp::Reverse(ns), place));
    let worth = lost.into_iter().filter(|&(_, ns)| ns > 0 && share(ns, all_ns) >= LEAST).take(NAMED);
    let words: Vec<String> =
        worth.map(|(place, ns)| format!("{place}\u{a0}{}", percent(share(ns, all_ns)))).collect();
    if !words.is_empty() {
        page.wrapped(Style::new(), "  lost asleep in: ", &words.join(", "));
    }
}

/// Who had the CPU, the device, the lock, or the memory, while the group waited for it.
fn culprits(page: &mut Page, group: &Group) {
    culprits_of(page, group, Resource::Cpu, "  had the CPU meanwhile: ");
    culprits_of(page, group, Resource::Device, "  had the device meanwhile: ");
    culprits_of(page, group, Resource::Lock, "  had the lock meanwhile: ");
    culprits_of(page, group, Resource::Memory, "  took memory meanwhile: ");
}

fn culprits_of(page: &mut Page, group: &Group, resource: Resource, lead: &str) {
    let of_it = group.culprits.iter().filter(|culprit| culprit.resource == resource);
    let worth: Vec<_> = of_it.filter(|culprit| culprit.share >= LEAST).take(NAMED).collect();
    if worth.iter().all(|culprit| culprit.group.is_none()) {
        return;
    }
    let words: Vec<String> = worth
        .into_iter()
        .map(|culprit| {
            let own = culprit.group.as_ref() == Some(&group.group);
            let name = culprit.group.as_ref().map_or_else(|| "not known".to_owned(), parties::Group::label);
            let name = if own { "itself".to_owned() } else { name.replace(' ', "\u{a0}") };
            format!("{name}\u{a0}{}", percent(culprit.share))
        })
        .collect();
    if !words.is_empty() {
        page.wrapped(Style::new(), lead, &words.join(", "));
    }
}

/// Its longest waits.
fn longest(page: &mut Page, group: &Group) {
    for wait in group.longest.iter().take(WAITS) {
        let lead = format!("{:>11}  ", units::time(wait.ns));
        page.wrapped(Style::new(), &lead, &words_of(wait));
        if let Some(stack) = &wait.stack {
            let indent = " ".repeat(text::width(&lead));
            page.wrapped(bar::FAINT, &indent, &format!("in {}", text::stack(stack, FRAMES)));
        }
    }
}

fn words_of(wait: &LongWait) -> String {
    let mut words = format!("{} for {}", wait.task.label(), full_name(wait.keys));
    if let Some(place) = &wait.place {
        words += &format!(" in {place}");
    }
    if let Some(file) = &wait.file {
        words += &format!(" on {file}");
    }
    if wait.open {
        words += ", and still waits";
    }
    words
}

/// What the kernel itself says.
fn pressure(page: &mut Page, pressure: Option<&Pressure>) {
    let Some(pressure) = pressure else { return };
    let told: Vec<String> = [
        ("cpu some", pressure.cpu_some_ns),
        ("memory some", pressure.memory_some_ns),
        ("memory full", pressure.memory_full_ns),
        ("io some", pressure.io_some_ns),
        ("io full", pressure.io_full_ns),
    ]
    .into_iter()
    .filter_map(|(name, ns)| {
        Some(format!("{name} {}", units::time(ns.filter(|&ns| ns > 0)?)).replace(' ', "\u{a0}"))
    })
    .collect();
    if !told.is_empty() {
        page.wrapped(bar::FAINT, "  pressure (PSI): ", &told.join(", "));
    }
}
