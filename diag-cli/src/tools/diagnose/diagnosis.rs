//! From what is known at the end to the record.

use super::{
    advice::advice,
    facts::{Facts, longest},
    findings::{Case, Found, Level, cases, found},
    healthy::Health,
    not_seen::not_seen,
    record::{Diagnosis, Finding, Note, Signal},
    ruled_out::ruled_out,
    triage::First,
    words::{evidence, statement},
};
use crate::output::{
    record::{
        Unavailable,
        cause::{CauseWord, LayerWord, Step, Via},
        verdict::{Status, Subject, SubjectType, Verdict},
    },
    units::{self, share},
};

/// Findings and notes in a record at most.
const MOST: usize = 20;

/// What is concluded.
pub(super) fn diagnosis(
    facts: &Facts<'_>,
    signals: Vec<Signal>,
    first: Option<&First>,
    unavailable: &[Unavailable],
) -> Diagnosis {
    let cases = cases(facts);
    let found = found(facts, &cases);
    let findings: Vec<Finding> =
        (1..).zip(found.iter().take(MOST)).map(|(rank, found)| finding(facts, rank, found)).collect();
    let victim = found.first().map(|found| &found.case.account.group);
    let mut verdict = match (findings.first(), found.first()) {
        (Some(finding), Some(found)) => verdict(finding, found),
        _ => Verdict::nothing(nothing(facts, &cases)),
    };
    if facts.groups.is_empty() {
        verdict = Verdict::nothing("No thread was seen: nothing to explain.".to_owned());
    }
    Diagnosis {
        notes: notes(facts, &cases),
        ruled_out: ruled_out(facts, &cases, &signals),
        not_seen: not_seen(&cases, first, unavailable, victim),
        signals,
        findings,
        verdict,
    }
}

fn finding(facts: &Facts<'_>, rank: u64, found: &Found<'_>) -> Finding {
    let Case { account, lost, .. } = &found.case;
    let step = |cause: diag_common::cause::Cause| Step {
        layer: LayerWord(cause.layer()),
        cause: CauseWord(cause),
        task: None,
        device: None,
    };
    let stuck =
        longest(account, lost.cause).is_some_and(|wait| wait.open && wait.ns >= facts.single_wait_ns());
    Finding {
        rank,
        victims: found.victims.clone(),
        layer: LayerWord(lost.cause.layer()),
        cause: CauseWord(lost.cause),
        chain: std::iter::once(lost.cause).chain(lost.via).map(step).collect(),
        ns: found.ns,
        blame: found.blame,
        limit: found.limit.clone(),
        culprits: found.culprits.clone(),
        evidence: evidence(facts, found),
        estimate: found.case.health == Health::Seems,
        statement: statement(facts, found),
        advice: advice(&account.group, lost.cause, lost.via, stuck),
    }
}

fn verdict(finding: &Finding, found: &Found<'_>) -> Verdict {
    let Case { account, lost, ns, .. } = &found.case;
    let group = account.group.clone();
    Verdict {
        status: Status::Found,
        statement: finding.statement.clone(),
        subject: Some(Subject {
            group: Some(group.clone()),
            ..Subject::named(SubjectType::Group, group.label())
        }),
        layer: Some(finding.layer),
        cause: Some(finding.cause),
        via: lost.via.map(Via),
        share: Some(share(*ns, account.active_ns()).min(1.0)),
        ns: Some(*ns),
        advice: Some(finding.advice.clone()),
    }
}

/// The sentence where there is no finding.
fn nothing(facts: &Facts<'_>, cases: &[Case<'_>]) -> String {
    let worst = cases.iter().filter(|case| case.health.hurts()).max_by_key(|case| case.ns);
    match worst.filter(|case| case.ns > 0) {
        None => "Nothing is slow: no group lost time but by its own work.".to_owned(),
        Some(case) => format!(
            "Nothing is slow: most was lost by {}, {} to {}, {} of the time in which it had work.",
            case.account.group.label(),
            units::per_second(case.ns, facts.lasted_ns),
            case.lost.cause.path(),
            units::percent(share(case.ns, case.account.active_ns()).min(1.0)),
        ),
    }
}

fn notes(facts: &Facts<'_>, cases: &[Case<'_>]) -> Vec<Note> {
    let mut notes: Vec<&Case<'_>> = cases.iter().filter(|case| case.level == Level::Note).collect();
    notes.sort_by_key(|case| std::cmp::Reverse(case.ns));
    let note = |case: &Case<'_>| {
        let loss_share = share(case.ns, case.account.active_ns()).min(1.0);
        let group = case.account.group.clone();
        let text = format!(
            "{}: {} of {}, {} of the time in which it had work",
            group.label(),
            units::per_second(case.ns, facts.lasted_ns),
            case.lost.cause.path(),
            units::percent(loss_share),
        );
        Note {
            group,
            layer: LayerWord(case.lost.cause.layer()),
            cause: CauseWord(case.lost.cause),
            ns: case.ns,
            loss_share,
            text,
        }
    };
    notes.into_iter().take(MOST).map(note).collect()
}
