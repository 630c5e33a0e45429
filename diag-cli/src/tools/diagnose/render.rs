//! One page: the verdict, what it rests on, what it is not, what could not be seen, what to run next.

use anstyle::Style;

use super::{
    advice::is_command,
    record::{Diagnosis, Evidence, Finding, RuledOut},
};
use crate::output::{
    bar,
    page::Page,
    record::{
        Envelope,
        verdict::{Advice, Status},
    },
    text, units,
};

/// Lines of each part at most, so that the page is no longer than 40.
const EVIDENCE: usize = 3;
const OTHERS: usize = 3;
const NOTES: usize = 2;
const RULED_OUT: usize = 6;
const NOT_SEEN: usize = 3;

/// The page.
pub(super) fn page(page: &mut Page, envelope: &Envelope, diagnosis: &Diagnosis) {
    let Diagnosis { verdict, findings, .. } = diagnosis;
    let statement = verdict.statement.replace(" %", "\u{a0}%");
    match verdict.status {
        Status::Found => page.wrapped(bar::STRONG, "Verdict: ", &statement),
        Status::Nothing => page.wrapped(bar::STRONG, "", &statement),
        Status::Inconsistent | Status::Blind => page.wrapped(bar::WARNING, "No verdict: ", &statement),
    }
    if let Some(first) = findings.first() {
        wrapped(page, "Evidence", first.evidence.iter().take(EVIDENCE).map(sourced));
        wrapped(page, "Also", findings[1..].iter().take(OTHERS).map(other));
    }
    wrapped(page, "Notes", diagnosis.notes.iter().take(NOTES).map(|note| note.text.clone()));
    wrapped(page, "Ruled out", ruled_out(&diagnosis.ruled_out).into_iter().take(RULED_OUT));
    let not_seen = diagnosis.not_seen.iter().take(NOT_SEEN);
    wrapped(
        page,
        "Could not see",
        not_seen.map(|not_seen| match &not_seen.switch_on {
            Some(switch_on) => format!("{}: {switch_on}", not_seen.why),
            None => not_seen.why.clone(),
        }),
    );
    commands(page, verdict.advice().iter().filter(|advice| is_command(advice)));
    let cost = &envelope.cost;
    let kernel = cost.run_ns.map_or_else(String::new, |ns| {
        format!("{} of a CPU in the kernel, ", units::percent(ns as f64 / envelope.duration_ns.max(1) as f64))
    });
    let own = units::percent(cost.cpu_ns as f64 / envelope.duration_ns.max(1) as f64);
    page.wrapped(bar::FAINT, "osdiag itself: ", &format!("{kernel}{own} in user space"));
}

/// A heading, and its lines, each in as many as it needs; nothing without lines.
fn wrapped(page: &mut Page, heading: &str, lines: impl Iterator<Item = String>) {
    for (at, line) in lines.enumerate() {
        if at == 0 {
            page.line(&page.paint(bar::STRONG, heading));
        }
        page.wrapped(Style::new(), "  - ", &line.replace(" %", "\u{a0}%"));
    }
}

/// What to run next, each command on one line however long it is, since it is there to be copied.
fn commands<'a>(page: &mut Page, advice: impl Iterator<Item = &'a Advice>) {
    for (at, command) in advice.enumerate() {
        if at == 0 {
            page.line(&page.paint(bar::STRONG, "Next"));
        }
        page.line(&format!("  {}", text::for_terminal(&command.text)));
    }
}

/// Why what was ruled out was, causes of the same reason together.
fn ruled_out(all: &[RuledOut]) -> Vec<String> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for ruled_out in all {
        let why: Vec<&str> = ruled_out.evidence.iter().map(|evidence| evidence.text.as_str()).collect();
        let why = why.join("; ");
        let cause = format!("{}.{}", ruled_out.layer.0.name(), ruled_out.cause.0.name());
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, causes)) => causes.push(cause),
            None => reasons.push((why, vec![cause])),
        }
    }
    reasons.into_iter().map(|(why, causes)| format!("{}: {why}", causes.join(", "))).collect()
}

fn sourced(evidence: &Evidence) -> String {
    format!("{} ({})", evidence.text, evidence.source)
}

fn other(finding: &Finding) -> String {
    let who = finding.victims.first().map(|victim| victim.group.label()).unwrap_or_default();
    let culprit = finding.culprits.first().and_then(|culprit| culprit.group.as_ref());
    let because = culprit.map_or_else(String::new, |group| format!(", because of {}", group.label()));
    let cause = format!("{}.{}", finding.layer.0.name(), finding.cause.0.name());
    format!("{who} lost {} to {cause}{because}", units::time(finding.ns))
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
