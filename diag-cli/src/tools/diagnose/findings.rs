//! Which lost time is a finding, whose, and in which order.

use std::cmp::Reverse;

use diag_common::cause::{Cause, Layer};

use super::{
    blame::{blame, limit},
    facts::{Facts, Lost, foreign, is_notable, longest, lost, own_share},
    healthy::{Health, health},
    record::{Blame, Limit, Victim},
    thresholds::{FINDING, FINDING_SHARE, NOTE, NOTE_SHARE},
};
use crate::{
    output::{
        record::parties::{Culprit, Group, GroupType},
        units::share,
    },
    tools::delays::record::Group as Account,
};

/// Culprits of a finding at most.
const CULPRITS: usize = 5;
/// Others with a smaller part of the waits are not worth a row.
const LEAST_CULPRIT: f64 = 0.02;

/// A cause of a group's lost time, weighed.
#[derive(Debug, Clone)]
pub(super) struct Case<'a> {
    pub(super) account: &'a Account,
    pub(super) lost: Lost,
    /// Its time without what the group took from itself, ns.
    pub(super) ns: u64,
    pub(super) health: Health,
    pub(super) level: Level,
}

/// What a case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Finding,
    Note,
    Nothing,
}

/// A case of one or several groups.
#[derive(Debug, Clone)]
pub(super) struct Found<'a> {
    /// The case of the victim that loses most.
    pub(super) case: Case<'a>,
    pub(super) victims: Vec<Victim>,
    pub(super) blame: Option<Blame>,
    pub(super) limit: Option<Limit>,
    pub(super) culprits: Vec<Culprit>,
    pub(super) ns: u64,
}

/// All cases of groups that can be victims: kernel threads work for others, and nobody is all others.
pub(super) fn cases<'a>(facts: &Facts<'a>) -> Vec<Case<'a>> {
    let can_be_victim =
        |account: &&Account| !matches!(account.group.kind, GroupType::Rest | GroupType::Kernel);
    let groups = facts.groups.iter().filter(can_be_victim);
    let mut cases: Vec<Case<'a>> = groups
        .flat_map(|account| lost(account).into_iter().map(move |lost| (account, lost)))
        .map(|(account, lost)| weigh(facts, account, lost))
        .collect();
    yield_to_victims(&mut cases);
    cases
}

fn weigh<'a>(facts: &Facts<'a>, account: &'a Account, lost: Lost) -> Case<'a> {
    let health = health(facts, account, &lost);
    let ns = lost.ns - own_ns(account, &lost, health);
    let single = longest(account, lost.cause).filter(|wait| wait.ns >= facts.single_wait_ns());
    let single = single.filter(|_| health.hurts() && lost.cause != Cause::MmapLock);
    // A wait can have begun before the session.
    let ns = ns.max(single.map_or(0, |wait| wait.ns.min(facts.lasted_ns)));
    let part = share(ns, account.active_ns());
    let reaches = |least: f64, least_share: f64| facts.per_second(ns) >= least && part >= least_share;
    let level = match health.hurts() {
        true if reaches(FINDING, FINDING_SHARE) || single.is_some() => Level::Finding,
        true if reaches(NOTE, NOTE_SHARE) => Level::Note,
        _ => Level::Nothing,
    };
    Case { account, lost, ns, health, level }
}

/// The part of a cause's time that the group took from itself: its own threads had the CPU, its own requests the device, its own
/// process `mmap_lock`. A limit that was set for it, memory, a file system that does not answer, and the host are nothing that it
/// has itself; nor is the time of a device that is slow with few requests.
fn own_ns(account: &Account, lost: &Lost, health: Health) -> u64 {
    let of_others =
        matches!(lost.root(), Cause::Throttled | Cause::BlockThrottle | Cause::Freeze | Cause::Server);
    if of_others || matches!(lost.root().layer(), Layer::Memory | Layer::Hypervisor) {
        return 0;
    }
    if health == Health::Seems {
        return 0;
    }
    match lost.cause {
        Cause::MmapLock => lost.ns,
        _ => ((lost.ns as f64 * own_share(account, lost.root())) as u64).min(lost.ns),
    }
}

/// Two groups that want one resource wait for each other. The one that loses the larger part of its time is the victim; of the
/// other, what it loses is at most a note.
fn yield_to_victims(cases: &mut [Case<'_>]) {
    let part = |case: &Case<'_>| share(case.ns, case.account.active_ns());
    let blames = |case: &Case<'_>, other: &Case<'_>| {
        case.level == Level::Finding
            && culprits(case)
                .iter()
                .any(|culprit| is_notable(culprit) && culprit.group.as_ref() == Some(&other.account.group))
    };
    for at in 0..cases.len() {
        let yields = cases.iter().any(|other| {
            blames(other, &cases[at])
                && blames(&cases[at], other)
                && resource(other) == resource(&cases[at])
                && part(other) > part(&cases[at])
        });
        if yields {
            cases[at].level = Level::Note;
        }
    }
}

fn resource(case: &Case<'_>) -> Option<crate::output::record::parties::Resource> {
    crate::tools::delays::culprits::resource_of(case.lost.root())
}

/// Others that had what a case's group waited for.
fn culprits(case: &Case<'_>) -> Vec<Culprit> {
    let mut culprits = match case.lost.root().layer() {
        Layer::Memory if case.lost.root() == Cause::DirtyThrottle => foreign(case.account, Cause::Device),
        _ => foreign(case.account, case.lost.root()),
    };
    culprits.retain(|culprit| culprit.share >= LEAST_CULPRIT);
    culprits.sort_by_key(|culprit| Reverse(culprit.ns));
    culprits.truncate(CULPRITS);
    culprits
}

/// The findings among the cases, worst first: cases of one victim of which one lies in another are one, and so are cases of
/// several victims with the same root and the same culprit.
pub(super) fn found<'a>(facts: &Facts<'a>, cases: &[Case<'a>]) -> Vec<Found<'a>> {
    let findings = || cases.iter().filter(|case| case.level == Level::Finding);
    let is_folded = |case: &Case<'_>| {
        findings()
            .any(|other| other.account.group == case.account.group && Some(other.lost.cause) == case.lost.via)
    };
    let mut all: Vec<Found<'a>> = Vec::new();
    for case in findings().filter(|case| !is_folded(case)) {
        let one = alone(facts, case.clone());
        match all.iter_mut().find(|other| is_same(other, &one)) {
            Some(other) => join(other, one),
            None => all.push(one),
        }
    }
    all.sort_by_key(|found| (Reverse(found.ns), found.case.lost.cause, found.case.account.group.label()));
    all
}

fn alone<'a>(facts: &Facts<'a>, case: Case<'a>) -> Found<'a> {
    let limit = limit(facts, case.account, &case.lost);
    let culprits = culprits(&case);
    let blame = blame(&case.lost, limit.as_ref(), &culprits);
    // What a group's own limit does to it, or the host, is nobody else's doing.
    let culprits = match blame {
        Some(Blame::OwnLimit | Blame::Host | Blame::Own) => Vec::new(),
        _ => culprits,
    };
    let loss_share = share(case.ns, case.account.active_ns()).min(1.0);
    let victims = vec![Victim { group: case.account.group.clone(), ns: case.ns, loss_share }];
    Found { ns: case.ns, case, victims, blame, limit, culprits }
}

fn is_same(one: &Found<'_>, other: &Found<'_>) -> bool {
    let culprit = |found: &Found<'_>| -> Option<Group> { found.culprits.first()?.group.clone() };
    one.case.lost.root() == other.case.lost.root()
        && one.case.account.group != other.case.account.group
        && one.blame == other.blame
        && one.limit == other.limit
        && (one.blame != Some(Blame::OwnLimit) || one.limit.is_some())
        && culprit(one) == culprit(other)
}

fn join<'a>(one: &mut Found<'a>, other: Found<'a>) {
    one.ns += other.ns;
    one.victims.extend(other.victims);
    one.victims.sort_by_key(|victim| Reverse(victim.ns));
    if other.case.ns > one.case.ns {
        one.case = other.case;
        one.culprits = other.culprits;
    }
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
