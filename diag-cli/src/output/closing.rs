//! What is said of every session, whichever tool it is for: what is traced, when it begins; what is missing and what it
//! cost, when it ends.

use std::time::Duration;

use anstyle::Style;

use super::{
    bar,
    cost::SelfCost,
    page::Page,
    record::{
        Envelope, Target, TargetKind, Unavailable,
        target::Ended,
        verdict::{Advice, Status, Verdict},
    },
    terminal::Screen,
    units,
};
use crate::ebpf::probes::Attached;

/// What to say when a tool begins to trace its subject.
pub(crate) fn opening(
    screen: Screen,
    tool: &str,
    subject: &str,
    target: &Target,
    duration: Option<Duration>,
    attached: &Attached,
) -> String {
    let mut page = Page::new(screen);
    let time = match (duration, target.kind) {
        (Some(time), _) => format!("for {}; Ctrl-C ends it sooner", humantime::format_duration(time)),
        (None, TargetKind::Command) => "until it ends".to_owned(),
        (None, _) => "until Ctrl-C".to_owned(),
    };
    let mut probes = units::counted(attached.probes.len() as u64, "probe");
    if !attached.unavailable.is_empty() {
        probes += &format!(", {}\u{a0}not\u{a0}available", attached.unavailable.len());
    }
    let words = format!("tracing {subject} of {target} {time} ({probes})");
    page.wrapped(bar::STRONG, &format!("osdiag {tool}: "), &words);
    page.into_text()
}

/// What to say of a target that ended a session before its time; nothing of a command, which was to do that.
pub(crate) fn ended(ended: Ended, target: &Target) -> Option<String> {
    match ended {
        Ended::CgroupRemoved => {
            Some(format!("{target} is no more, which ends the session: its cgroup was removed"))
        }
        Ended::ProcessesExited => {
            Some(format!("{target} is no more, which ends the session: all have exited"))
        }
        Ended::CommandExited => None,
    }
}

/// What was lost, in an interval's block.
pub(crate) fn interval_losses(page: &mut Page, envelope: &Envelope) {
    let lost: u64 = envelope.lost.named().map(|(_, count)| count).sum();
    if lost > 0 {
        page.wrapped(bar::WARNING, "  lost: ", &format!("{}; the summary says what", units::count(lost)));
    }
}

/// What is missing from a summary, and what it cost.
pub(crate) fn draw(page: &mut Page, envelope: &Envelope) {
    page.gap();
    unavailable(page, &envelope.unavailable);
    let lost: Vec<String> = envelope
        .lost
        .named()
        .filter(|&(_, count)| count > 0)
        .map(|(what, count)| format!("{what} {}", units::count(count)))
        .collect();
    if !lost.is_empty() {
        page.wrapped(bar::WARNING, "not complete, lost: ", &lost.join(", "));
    }
    page.wrapped(bar::FAINT, "osdiag itself: ", &cost(&envelope.cost, envelope.duration_ns));
    page.gap();
}

/// The answer in a sentence, and what to look at next.
pub(crate) fn verdict(page: &mut Page, verdict: &Verdict) {
    let statement = verdict.statement.replace(" %", "\u{a0}%");
    match verdict.status {
        Status::Found => page.wrapped(bar::STRONG, "Verdict: ", &statement),
        Status::Nothing => page.wrapped(bar::STRONG, "", &statement),
        Status::Inconsistent | Status::Blind => page.wrapped(bar::WARNING, "No verdict: ", &statement),
    }
    advice(page, verdict.advice());
}

/// What to look at next; nothing where there is none.
fn advice(page: &mut Page, advice: &[Advice]) {
    if !advice.is_empty() {
        page.line("Look next at");
    }
    for advice in advice {
        page.wrapped(Style::new(), "  - ", &advice.text.replace(" %", "\u{a0}%"));
    }
}

/// What could not be attached or read.
fn unavailable(page: &mut Page, unavailable: &[Unavailable]) {
    for missing in unavailable {
        let words = format!("{} ({}): {}", missing.name, missing.why, missing.effect);
        page.wrapped(bar::WARNING, "not available: ", &words);
    }
}

/// What the tool itself took.
fn cost(cost: &SelfCost, duration_ns: u64) -> String {
    let of_a_cpu = |ns: u64| units::percent(ns as f64 / duration_ns.max(1) as f64).replace(' ', "\u{a0}");
    let mut words = match cost.run_ns.zip(cost.events) {
        Some((ns, events)) => {
            format!("{} of a CPU in the kernel ({}), ", of_a_cpu(ns), units::counted(events, "event"))
        }
        None => String::new(),
    };
    words += &format!("{} in user space", of_a_cpu(cost.cpu_ns));
    if let Some(bytes) = cost.rss_bytes {
        words += &format!(", {} of memory", units::bytes(bytes));
    }
    if let Some(bytes) = cost.kernel_bytes {
        words += &format!(", {} of kernel memory", units::bytes(bytes));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::record::{Hook, Probe};

    #[test]
    fn the_start_says_what_is_traced() {
        let screen = |columns| Screen { columns, colour: false };
        let probe = Probe { name: "sched_switch".into(), hook: Hook::TpBtf };
        let attached = Attached { probes: vec![probe], unavailable: vec![] };
        let ten = Some(Duration::from_secs(10));
        assert_eq!(
            opening(screen(100), "iolat", "file I/O", &Target::of(TargetKind::System), ten, &attached),
            "osdiag iolat: tracing file I/O of the whole system for 10s; Ctrl-C ends it sooner (1 probe)\n"
        );
        let missing = |name: &str| Unavailable { name: name.into(), why: "…".into(), effect: "…".into() };
        let argv = vec!["dd".into(), "x".repeat(200)];
        let command = Target { command: Some(argv), ..Target::of(TargetKind::Command) };
        let attached = Attached { probes: vec![], unavailable: vec![missing("a"), missing("b")] };
        let said = opening(screen(120), "runq", "run-queue delay", &command, None, &attached);
        assert!(said.starts_with("osdiag runq: tracing run-queue delay of command 'dd xxx"), "{said}");
        assert!(said.contains("x' until it ends") && said.ends_with("2 not available)\n"), "{said}");
    }
}
