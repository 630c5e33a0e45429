//! Work that is no finding: a group that waits for itself.

use diag_common::cause::Cause;

use super::{
    facts::{Facts, Lost, foreign, is_notable, longest},
    thresholds::STEAL_SHARE,
};
use crate::{output::units::share, tools::delays::record::Group as Account};

/// What a cause's time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It hurts.
    Hurts,
    /// The same, by a number that stands in for one that was not seen.
    Seems,
    /// The group waits for its own threads.
    OwnThreads,
    /// It waits for its own requests, of a device that is quick.
    OwnRequests,
    /// It waits for a device because of what it has written itself.
    OwnWrites,
}

impl Health {
    /// Whether it may be a finding.
    pub(super) fn hurts(self) -> bool {
        matches!(self, Health::Hurts | Health::Seems)
    }
}

/// What the time of a cause is to a group.
pub(super) fn health(facts: &Facts<'_>, account: &Account, lost: &Lost) -> Health {
    let another = || foreign(account, lost.root()).iter().any(is_notable);
    match lost.root() {
        Cause::Device | Cause::Queue if another() => Health::Hurts,
        Cause::Device | Cause::Queue if stalls(facts, account, lost.cause) => Health::Hurts,
        Cause::Device | Cause::Queue if facts.slow_disk_of(account).is_some() => Health::Seems,
        Cause::Device | Cause::Queue => Health::OwnRequests,
        Cause::Runqueue if another() || steal_share(account) >= STEAL_SHARE => Health::Hurts,
        Cause::Runqueue => Health::OwnThreads,
        Cause::DirtyThrottle if facts.limits.of(&account.group).memory.is_some() => Health::Hurts,
        Cause::DirtyThrottle if foreign(account, Cause::Device).iter().any(is_notable) => Health::Hurts,
        Cause::DirtyThrottle if facts.slow_disk().is_some() => Health::Seems,
        Cause::DirtyThrottle => Health::OwnWrites,
        _ => Health::Hurts,
    }
}

/// Whether one wait for a device was so long that no queue of its own explains it: what the device did then was nothing.
fn stalls(facts: &Facts<'_>, account: &Account, cause: Cause) -> bool {
    cause == Cause::Device && longest(account, cause).is_some_and(|wait| wait.ns >= facts.single_wait_ns())
}

/// Steal, of the time that a group's threads were on CPUs or should have been.
pub(super) fn steal_share(account: &Account) -> f64 {
    let steal = account.ns_of(|cause| cause == Cause::Steal);
    share(steal, steal + account.ns_of(|cause| cause == Cause::Run))
}
