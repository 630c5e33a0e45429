//! The verdict: which group lost most, to what, and what to look at next.

use std::time::Duration;

use diag_common::cause::Cause;

use super::{
    advice::{self, Situation},
    culprits,
    record::{Group, LongWait},
};
use crate::output::{
    causes::{noun, phrase},
    record::{
        cause::{CauseWord, LayerWord, Via},
        parties::{Culprit, GroupType, Resource},
        verdict::{Status, Subject, SubjectType, Verdict},
    },
    units::{self, share},
};

/// Lost time below this part of a group's active time is not worth a verdict.
pub(super) const LEAST_SHARE: f64 = 0.05;
/// Waiting for one's own threads counts so much less than waiting for others: nobody but the group can change it.
const OWN_COUNTS: f64 = 0.05;
/// Below this share of the lost time, a cause alone does not tell enough, and the next one is named too.
const DOMINANT: f64 = 0.7;
/// A second cause, a place or a culprit is worth naming from this share on.
const NOTABLE: f64 = 0.3;
/// What a cause itself waited for is named where it is so much of its time.
const HALF: f64 = 0.5;
/// A wait that still lasts is worth naming from this time on.
const STILL_WAITS: Duration = Duration::from_secs(1);

/// What is known of a stretch of time.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) groups: &'a [Group],
    /// How long it was.
    pub(super) lasted: Duration,
    /// Lost time in each second that is worth a verdict.
    pub(super) slow: Duration,
    /// What tells more, where groups are no larger than a process.
    pub(super) divisible: bool,
}

/// Names the group that lost most, apart from what it took from itself.
pub(super) fn verdict(found: Found<'_>) -> Verdict {
    let victims = found.groups.iter().filter(|group| can_be_victim(group) && worth_a_verdict(group, found));
    let worst = victims.max_by(|a, b| weight(a).total_cmp(&weight(b)));
    worst.and_then(|group| of_group(group, found)).unwrap_or_else(|| Verdict::nothing(nothing_lost(found)))
}

/// Kernel threads work for others, and nobody is all others.
fn can_be_victim(group: &Group) -> bool {
    !matches!(group.group.kind, GroupType::Rest | GroupType::Kernel)
}

fn worth_a_verdict(group: &Group, found: Found<'_>) -> bool {
    let least_ns = found.slow.as_nanos() as f64 * found.lasted.as_secs_f64();
    let loss_ns = group.loss_ns as f64;
    group.loss_ns > 0 && loss_ns >= least_ns && loss_ns >= LEAST_SHARE * group.active_ns() as f64
}

/// How much a group's lost time counts.
fn weight(group: &Group) -> f64 {
    group.loss_ns as f64 - own_ns(group) as f64 * (1.0 - OWN_COUNTS)
}

/// The time for which a group's threads waited for a CPU or a device that others of them had, ns. Locks are not in it: a thread that
/// has one for long does so for a reason that is worth a verdict. Nor is memory: a limit may be too low.
fn own_ns(group: &Group) -> u64 {
    group.culprits.iter().filter(|culprit| crowds_itself(culprit, group)).map(|culprit| culprit.ns).sum()
}

fn crowds_itself(culprit: &Culprit, group: &Group) -> bool {
    group.is_own(culprit) && matches!(culprit.resource, Resource::Cpu | Resource::Device)
}

/// The part of the time of a cause for which they did, 0 to 1.
fn own_share(group: &Group, cause: Cause) -> f64 {
    let own = group.culprits_of(cause).filter(|culprit| crowds_itself(culprit, group));
    own.map(|culprit| culprit.share).sum::<f64>().min(1.0)
}

fn of_group(group: &Group, found: Found<'_>) -> Option<Verdict> {
    let causes = by_cause(group);
    let &(cause, ns) = causes.first()?;
    let via = group.largest_via(cause, ns, HALF);
    let culprit = group.culprits_of(cause).find(|culprit| culprit.group.is_some());
    let culprit = culprit.filter(|culprit| culprit.share >= NOTABLE);
    let open = still_waits(group, cause);
    let situation =
        Situation { cause, via, victim: &group.group, stuck: open.is_some(), divisible: found.divisible };
    let mut statement = lost(group, cause, ns, found);
    if let Some(via) = via {
        statement += &format!(", which was itself held up by {}", noun(via));
    }
    if let Some(place) = place_of(group, cause, ns) {
        statement += &format!(", mostly in {place}");
    }
    if let Some(culprit) = culprit {
        statement += &format!("; {}", culprits::had(culprit, group.is_own(culprit)));
    }
    if let Some(&(second, ns)) = causes.get(1)
        && share(causes[0].1, group.loss_ns) < DOMINANT
        && share(ns, group.loss_ns) >= NOTABLE
    {
        statement += &format!(", and {} {}", units::percent(share(ns, group.loss_ns)), noun(second));
    }
    statement.push('.');
    if let Some(wait) = open {
        let (who, time) = (wait.task.label(), units::time(wait.ns));
        statement += &format!(" {who} has waited for {time} and still does.");
    }
    Some(Verdict {
        status: Status::Found,
        statement,
        subject: Some(Subject {
            group: Some(group.group.clone()),
            ..Subject::named(SubjectType::Group, group.group.label())
        }),
        layer: Some(LayerWord(cause.layer())),
        cause: Some(CauseWord(cause)),
        via: via.map(Via),
        share: Some(share(ns, group.active_ns()).min(1.0)),
        ns: Some(ns),
        advice: Some(advice::advice(&situation)),
    })
}

/// `container web lost 3.2 s in 10 s (320 ms/s, 44 % of the time in which it had work); 81 % of that was waiting for …`
fn lost(group: &Group, cause: Cause, ns: u64, found: Found<'_>) -> String {
    let lasted_ns = found.lasted.as_nanos() as u64;
    format!(
        "{} lost {} in {} ({}, {} of the time in which it had work); {} of that was {}",
        group.group.label(),
        units::time(group.loss_ns),
        units::time(lasted_ns),
        units::per_second(group.loss_ns, lasted_ns),
        units::percent(share(group.loss_ns, group.active_ns())),
        units::percent(share(ns, group.loss_ns)),
        phrase(cause),
    )
}

/// Lost time of each cause, whatever its via, the one that counts most first.
fn by_cause(group: &Group) -> Vec<(Cause, u64)> {
    let mut causes = group.lost_by_cause();
    let counts =
        |&(cause, ns): &(Cause, u64)| ns as f64 * (1.0 - own_share(group, cause) * (1.0 - OWN_COUNTS));
    causes.sort_by(|a, b| counts(b).total_cmp(&counts(a)));
    causes
}

/// Where most of the time of a cause was spent, in words.
fn place_of(group: &Group, cause: Cause, whole_ns: u64) -> Option<String> {
    let of_cause = |place: &super::record::Place| -> u64 {
        place.causes.iter().filter(|part| part.keys.cause == cause).map(|part| part.ns).sum()
    };
    let largest = group.places.iter().max_by_key(|place| of_cause(place))?;
    (of_cause(largest) * 2 > whole_ns).then(|| place_words(&largest.place))
}

/// A place in a sentence, after `in`.
fn place_words(place: &str) -> String {
    match place {
        "fault" => "page faults".to_owned(),
        "return" => "returns to user mode".to_owned(),
        "exit" => "exits".to_owned(),
        "worker" => "io_uring workers".to_owned(),
        "kernel-thread" => "kernel threads".to_owned(),
        call => call.to_owned(),
    }
}

/// A wait of this cause that has lasted long, and still does.
fn still_waits(group: &Group, cause: Cause) -> Option<&LongWait> {
    let mut open = group.longest.iter().filter(|wait| wait.open && wait.keys.cause == cause);
    open.find(|wait| u128::from(wait.ns) >= STILL_WAITS.as_nanos())
}

fn nothing_lost(found: Found<'_>) -> String {
    let most = found.groups.iter().filter(|group| can_be_victim(group)).max_by_key(|group| group.loss_ns);
    let lasted_ns = found.lasted.as_nanos() as u64;
    match most {
        None => "No thread was seen: nothing to explain.".to_owned(),
        Some(group) if group.loss_ns == 0 => "Nothing is slow: no time was lost.".to_owned(),
        Some(group) => format!(
            "Nothing is slow: no group lost {} in each second and {} of the time in which it had work; {} lost most, {} \
             ({}).",
            humantime::format_duration(found.slow),
            units::percent(LEAST_SHARE),
            group.group.label(),
            units::per_second(group.loss_ns, lasted_ns),
            units::percent(share(group.loss_ns, group.active_ns())),
        ),
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
