//! The verdict: what makes this guest exit most, by whom, and what all exits take.

use super::{
    advice::advice,
    collect::Halts,
    guest::Guest,
    model::Scene,
    record::{Activity, Context, Deed, Doer, Exits, Vmexit},
    words,
};
use crate::output::{
    record::{
        cause::LayerWord,
        verdict::{Status, Subject, SubjectType, Verdict},
    },
    units,
};
use diag_common::cause::Layer;

/// A share of CPU time below which exits are not worth anybody's work.
const LITTLE: f64 = 0.01;

/// The verdict on a record's activities, of which none is left out yet: nothing where exits take little and no rule applies.
pub(super) fn verdict(scene: &Scene<'_>, body: &Vmexit, halts: &[Halts]) -> Verdict {
    let advice = advice(scene, body, halts);
    let worst = worst(body);
    let matters = worst.is_some() && body.cpu_share.is_none_or(|share| share >= LITTLE);
    let statement = worst.map_or_else(|| nothing_exits(scene.guest, body), |worst| statement(body, worst));
    if !matters && advice.is_empty() {
        return Verdict::nothing(statement);
    }
    Verdict {
        subject: worst.map(|worst| Subject::named(SubjectType::Guest, worst.label())),
        layer: Some(LayerWord(Layer::Hypervisor)),
        share: worst.and_then(|worst| worst.cpu_share),
        ns: worst.and_then(Activity::busy_ns),
        advice: Some(advice),
        ..Verdict::without_subject(Status::Found, statement)
    }
}

/// What takes most from tasks and interrupts; without a cost the most frequent.
fn worst(body: &Vmexit) -> Option<&Activity> {
    let may_exit = |activity: &&Activity| activity.exits != Exits::No && activity.event_count > 0;
    let activities = body.activities.iter().filter(may_exit);
    // Of equals the first, as they are sorted.
    activities.rev().max_by_key(|activity| (activity.busy_ns(), activity.estimated_ns, activity.event_count))
}

fn statement(body: &Vmexit, worst: &Activity) -> String {
    let rate = units::count(worst.events_per_second.round() as u64);
    let by = worst.doers.first().map(|doer| format!(", {}", mostly(worst, doer))).unwrap_or_default();
    let most = format!("{}, {rate} a second{by}", noun(worst));
    match worst.cpu_share.zip(body.cpu_share) {
        Some((_, whole)) if whole < LITTLE => format!(
            "Exits cost this guest little, {} of CPU time (an estimate){}; most come from {most}",
            about(whole),
            idle_part(body)
        ),
        Some((share, whole)) => format!(
            "What makes this guest exit most is {most}; its exits take {} of CPU time, all together {} (estimates){}",
            about(share),
            about(whole),
            idle_part(body)
        ),
        None => format!("What makes this guest exit most is {most}"),
    }
}

/// What idle CPUs exit for, where that is worth a word.
fn idle_part(body: &Vmexit) -> String {
    match body.cpu_share_idle {
        Some(share) if share >= LITTLE => {
            format!(", and those of idle CPUs {} that nothing wanted to run in", about(share))
        }
        _ => String::new(),
    }
}

/// A share in a sentence.
fn about(share: f64) -> String {
    if share < 0.001 { "less than 0.1 %".to_owned() } else { format!("about {}", units::fine_percent(share)) }
}

/// An activity, in a sentence.
pub(super) fn noun(activity: &Activity) -> String {
    let object = activity.object();
    let meaning = || activity.name.as_deref().and_then(words::meaning);
    match activity.activity {
        Deed::MsrWrite => format!("writing {object}"),
        Deed::MsrRead => format!("reading {object}"),
        Deed::IpiReschedule => "rescheduling other CPUs by IPI".to_owned(),
        Deed::IpiCall => match &activity.name {
            Some(name) => format!("IPIs for {}", meaning().unwrap_or(name)),
            None => "IPIs by which other CPUs are made to call something".to_owned(),
        },
        Deed::TlbShootdown => "shooting down TLBs".to_owned(),
        Deed::Timer => match &activity.name {
            Some(name) => format!("timer interrupts for {}", meaning().unwrap_or(name)),
            None => format!("timer interrupts with {}", words::NO_TIMER),
        },
        Deed::Hlt => "halting when idle".to_owned(),
        Deed::PmcRead => "reading performance counters".to_owned(),
    }
}

/// A doer, in a sentence.
pub(super) fn doer(doer: &Doer) -> String {
    match (doer.context, &doer.task) {
        (Context::Task, Some(task)) => task.label(),
        (Context::Task, None) => "a task".to_owned(),
        (Context::Idle, _) => "idle CPUs".to_owned(),
        (Context::Interrupt, _) => "interrupts".to_owned(),
        (Context::Unknown, _) => "armed earlier".to_owned(),
    }
}

fn mostly(activity: &Activity, most: &Doer) -> String {
    match (most.event_count * 100).div_ceil(activity.event_count.max(1)) {
        99.. => format!("by {}", doer(most)),
        67.. => format!("mostly by {}", doer(most)),
        percent => format!("{percent} % of it by {}", doer(most)),
    }
}

/// What to say where nothing exits that was seen.
fn nothing_exits(guest: &Guest, body: &Vmexit) -> String {
    if !guest.cpu.is_virtual() {
        return "This is no virtual machine (CPUID shows no hypervisor): nothing here exits to one"
            .to_owned();
    }
    match body.activities.first() {
        None => "Nothing that may exit was seen: nothing to explain".to_owned(),
        Some(activity) => format!("None of what was seen exits: {}", activity.why),
    }
}

#[cfg(test)]
mod tests {
    use diag_common::vmexit::Kind;

    use super::*;
    use crate::tools::vmexit::{
        collect::Harvest,
        guest::recorded,
        sample::{COST, DURATION_NS, SLEEP, body, busy, guest, halted, key},
    };

    fn of(guest: &Guest, harvest: &Harvest) -> Verdict {
        body(guest, Some(COST), harvest).verdict
    }

    fn polled(rate: u64) -> Harvest {
        let key = key(Kind::Timer, SLEEP, b"poller", 7);
        Harvest { counts: [(key, rate * DURATION_NS / 1_000_000_000)].into(), ..Harvest::default() }
    }

    #[test]
    fn what_takes_most_from_tasks_is_named_and_not_what_idle_cpus_do() {
        let verdict = of(&guest(), &busy());
        let subject = verdict.subject.as_ref().unwrap();
        assert_eq!((verdict.status, subject.kind), (Status::Found, SubjectType::Guest));
        assert_eq!(subject.name, "ipi-call sched_ttwu_pending");
        assert_eq!((verdict.layer, verdict.cause), (Some(LayerWord(Layer::Hypervisor)), None));
        assert_eq!(verdict.ns, Some(380_000 * COST.p50_ns));
        assert!(verdict.statement.contains("IPIs for wake-ups, 38,000 a second, mostly by postgres[1234]"));
        assert!(verdict.statement.contains("those of idle CPUs about 11 %"), "{}", verdict.statement);
    }

    #[test]
    fn little_is_nothing_unless_something_can_be_done_about_it() {
        let little = of(&guest(), &polled(100));
        assert_eq!((little.status, little.advice), (Status::Nothing, None));
        assert!(little.statement.contains("cost this guest little"), "{}", little.statement);
        let more = of(&guest(), &polled(500));
        assert_eq!((more.status, more.advice()[0].rule), (Status::Found, "sleeps"));
    }

    #[test]
    fn idle_cpus_alone_are_nothing() {
        let mut harvest = Harvest::default();
        halted(&mut harvest, 1, 30_000, 900_000);
        let verdict = of(&guest(), &harvest);
        assert_eq!(verdict.status, Status::Nothing);
    }

    #[test]
    fn outside_a_virtual_machine_nothing_is_found() {
        let verdict = of(&recorded::guest(&recorded::BARE), &busy());
        assert_eq!(verdict.status, Status::Nothing);
        assert!(verdict.statement.contains("no virtual machine"), "{}", verdict.statement);
        assert_eq!(of(&guest(), &Harvest::default()).status, Status::Nothing);
    }
}
