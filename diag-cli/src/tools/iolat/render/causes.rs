//! Where the time of a tail went: a bar for each cause.

use anstyle::Style;
use diag_common::cause::Cause;

use crate::{
    output::{bar, layers, page::Page, record::cause::CauseKeys, text, units},
    tools::iolat::{
        record::{CausePart, Operation, Tail},
        verdict::tail_percent,
    },
};

/// Causes with a bar at most.
const BARS: usize = 6;
/// Below this share a cause gets no bar of its own.
const LEAST: f64 = 0.01;
/// Below this share nobody needs a cause's stack.
const WORTH_A_STACK: f64 = 0.05;
/// Functions of a stack at most.
const FRAMES: usize = 5;
/// Columns before a cause's name: margin, share, time.
const BEFORE: usize = 20;

/// The tail of `operation` with a bar for each cause.
pub(super) fn draw(page: &mut Page, operation: &Operation) {
    let tail = &operation.tail;
    if tail.operation_count == 0 {
        return;
    }
    let head = format!(
        "{}: {} of {}, from {} on, {} on average",
        slowest(tail),
        units::count(tail.operation_count),
        units::counted(operation.latency.count, "operation"),
        units::time(tail.threshold_ns),
        units::time(tail.mean_ns),
    );
    page.wrapped(bar::STRONG, "  > ", &head);
    let worth = |(at, part): &(usize, &CausePart)| *at == 0 || (*at < BARS && part.share >= LEAST);
    let shown: Vec<&CausePart> = tail.causes.iter().enumerate().filter(worth).map(|(_, part)| part).collect();
    let longest = shown.iter().map(|part| text::width(&full_name(part))).max().unwrap_or(0);
    let width = page.columns().saturating_sub(BEFORE + longest + 2);
    let all_ns = tail.layers.total_ns();
    for part in &shown {
        let share = units::percent(part.share);
        let each = units::time(part.ns / tail.operation_count);
        let name = full_name(part);
        let padding = longest - text::width(&name);
        let bar = layers::solid(page, part.keys.cause.layer(), bar::length(part.ns, all_ns, width));
        page.line(&format!("    {share:>5} {each:>8}  {name}{:padding$}  {bar}", ""));
        if let Some(stack) = part.stack.as_ref().filter(|_| needs_stack(part)) {
            page.wrapped(bar::FAINT, &" ".repeat(BEFORE), &stack_words(stack));
        }
    }
    let rest = &tail.causes[shown.len()..];
    if !rest.is_empty() {
        let share = units::percent(rest.iter().map(|part| part.share).sum());
        let names: Vec<String> = rest.iter().take(3).map(full_name).collect();
        let more = if rest.len() > names.len() { ", …" } else { "" };
        page.wrapped(bar::FAINT, &format!("    {share:>5}{:11}", ""), &format!("{}{more}", names.join(", ")));
    }
}

/// The tail in a line or two.
pub(super) fn brief(page: &mut Page, tail: &Tail) {
    if tail.operation_count > 0 {
        let words = format!("{}: {}, {}", slowest(tail), units::time(tail.mean_ns), top(&tail.causes, 3));
        page.wrapped(Style::new(), "  ", &words);
    }
}

/// `slowest 1 %`.
pub(super) fn slowest(tail: &Tail) -> String {
    format!("slowest {}", tail_percent(tail.quantile).replace(' ', "\u{a0}"))
}

/// The largest causes and their shares, in words.
pub(super) fn top(parts: &[CausePart], most: usize) -> String {
    let worth = |(at, part): &(usize, &CausePart)| *at == 0 || (*at < most && part.share >= LEAST);
    let words = |(_, part): (usize, &CausePart)| {
        format!("{} {}", full_name(part), units::percent(part.share)).replace(' ', "\u{a0}")
    };
    parts.iter().enumerate().filter(worth).map(words).collect::<Vec<_>>().join(", ")
}

/// Whether the name of the cause leaves open what it was, and its share makes that worth knowing.
pub(super) fn needs_stack(part: &CausePart) -> bool {
    let vague = matches!(
        part.keys.cause,
        Cause::FsLock | Cause::FsWait | Cause::BlockWait | Cause::KernelLock | Cause::OtherWait
    );
    vague && part.share >= WORTH_A_STACK
}

/// `filesystem.journal ← block.device`.
fn full_name(part: &CausePart) -> String {
    let CauseKeys { cause, via } = part.keys;
    match via {
        Some(via) => format!("{} ← {}", cause.path(), via.path()),
        None => cause.path().to_owned(),
    }
}

/// `in a < b < c`, innermost first.
pub(super) fn stack_words(stack: &[String]) -> String {
    format!("in {}", text::stack(stack, FRAMES))
}
