//! The verdict: what makes this guest exit most, by whom, and what all exits take.

use super::{
    guest::Guest,
    model::SWAPPER,
    record::{Cause, CauseKind, Context, Doer, Exits, Verdict, Vmexit},
    words,
};
use crate::output::units;

/// A share of CPU time below which exits are not worth anybody's work.
const LITTLE: f64 = 0.01;

/// The verdict on a record's causes; none where nothing exits.
pub(super) fn verdict(body: &Vmexit) -> Option<Verdict> {
    let may_exit = |cause: &&Cause| cause.exits != Exits::No && cause.count > 0;
    // Causes stand in the order of their estimates; without a cost the most frequent one counts.
    let worst = if body.exit_cost_ns.is_some() {
        body.causes.iter().find(may_exit)?
    } else {
        body.causes.iter().filter(may_exit).max_by_key(|cause| cause.count)?
    };
    Some(Verdict { kind: worst.kind, name: worst.name.clone(), statement: statement(body, worst) })
}

fn statement(body: &Vmexit, worst: &Cause) -> String {
    let rate = units::count(worst.per_second.round() as u64);
    let by = worst.by.first().map(|doer| format!(", {}", mostly(worst, doer))).unwrap_or_default();
    let most = format!("{}, {rate} a second{by}", noun(worst));
    match worst.vcpu_share.zip(body.vcpu_share) {
        Some((_, whole)) if whole < LITTLE => format!(
            "Exits cost this guest little, {} of CPU time (an estimate); most come from {most}",
            about(whole)
        ),
        Some((share, whole)) => format!(
            "What makes this guest exit most is {most}; its exits take {} of CPU time, all together {} (estimates)",
            about(share),
            about(whole)
        ),
        None => format!("What makes this guest exit most is {most}"),
    }
}

/// A share in a sentence.
fn about(share: f64) -> String {
    if share < 0.001 { "less than 0.1 %".to_owned() } else { format!("about {}", units::fine_percent(share)) }
}

/// A cause, in a sentence.
pub(super) fn noun(cause: &Cause) -> String {
    let meaning = words::meaning(&cause.name);
    match cause.kind {
        CauseKind::MsrWrite => format!("writing {}", cause.name),
        CauseKind::MsrRead => format!("reading {}", cause.name),
        CauseKind::IpiReschedule => "rescheduling other CPUs by IPI".to_owned(),
        CauseKind::IpiCall => format!("IPIs for {}", meaning.unwrap_or(&cause.name)),
        CauseKind::TlbShootdown => "shooting down TLBs".to_owned(),
        CauseKind::Timer => format!("timer interrupts for {}", meaning.unwrap_or(&cause.name)),
        CauseKind::Hlt => "halting when idle".to_owned(),
        CauseKind::PmcRead => "reading performance counters".to_owned(),
    }
}

/// A doer, in a sentence.
pub(super) fn doer(doer: &Doer) -> String {
    match doer.context {
        Context::Task if doer.pid == 0 && doer.comm == SWAPPER => "idle CPUs".to_owned(),
        Context::Task => format!("{}[{}]", doer.comm, doer.pid),
        Context::Interrupt => "interrupts".to_owned(),
        Context::Unknown => "armed earlier".to_owned(),
    }
}

fn mostly(cause: &Cause, most: &Doer) -> String {
    match (most.count * 100).div_ceil(cause.count.max(1)) {
        99.. => format!("by {}", doer(most)),
        67.. => format!("mostly by {}", doer(most)),
        percent => format!("{percent} % of it by {}", doer(most)),
    }
}

/// What to say where there is no verdict.
pub(super) fn nothing_exits(guest: &Guest, body: &Vmexit) -> String {
    if !guest.cpu.is_virtual() {
        return "This is no virtual machine (CPUID shows no hypervisor): nothing here exits to one"
            .to_owned();
    }
    if body.causes.is_empty() {
        return "Nothing that may exit was seen: nothing to explain".to_owned();
    }
    let why = body.causes.first().map_or("", |cause| cause.why.as_str());
    format!("None of what was seen exits: {why}")
}
