//! What is known at the end of a session, and what follows from it at once.

use diag_common::cause::{Cause, Layer};

use super::{
    limits::Limits,
    thresholds::{
        CULPRIT_SHARE, DEVICE_TIME, FOLD_SHARE, REQUESTS_IN_FLIGHT, ROTATING_DEVICE_TIME, SINGLE_WAIT,
        SINGLE_WAIT_SHARE, SMALL_REQUEST,
    },
    triage::{Disk, Stuck},
};
use crate::{
    output::record::parties::{Culprit, Group, GroupType},
    tools::delays::record::{Group as Account, LongWait},
};

/// Requests from which a mean can be taken.
const REQUESTS: u64 = 10;

/// What is known of a session.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    /// The groups of the account, and how long it lasted.
    pub(super) groups: &'a [Account],
    pub(super) lasted_ns: u64,
    /// What each disk did meanwhile.
    pub(super) disks: Vec<Disk>,
    pub(super) limits: Limits,
    /// Threads in uninterruptible sleep since before the session, with their groups.
    pub(super) stuck: Vec<(Option<Group>, Stuck)>,
    /// CPUs that are online.
    pub(super) cpus: Option<u32>,
}

impl Facts<'_> {
    /// A time in each second, of a time in the session.
    pub(super) fn per_second(&self, ns: u64) -> f64 {
        ns as f64 * 1e9 / self.lasted_ns.max(1) as f64
    }

    /// From where on one wait is a finding by itself.
    pub(super) fn single_wait_ns(&self) -> u64 {
        SINGLE_WAIT.max(SINGLE_WAIT_SHARE * self.lasted_ns as f64) as u64
    }

    /// A disk that takes long for small requests although few of them are there at a time. It stands in for the times of
    /// single requests at their devices, which this account does not have.
    pub(super) fn slow_disk(&self) -> Option<&Disk> {
        self.disks.iter().filter(|disk| is_slow(disk)).max_by_key(|disk| disk.mean_ns())
    }

    /// The same, where this group itself waits as long for a device.
    pub(super) fn slow_disk_of(&self, account: &Account) -> Option<&Disk> {
        let disk = self.slow_disk()?;
        let waits = account.causes.iter().filter(|part| part.keys.cause == Cause::Device);
        let median = waits.filter_map(|part| part.wait.p50_ns).max()?;
        (median as f64 >= slow_from(disk)).then_some(disk)
    }
}

fn slow_from(disk: &Disk) -> f64 {
    if disk.rotates { ROTATING_DEVICE_TIME } else { DEVICE_TIME }
}

fn is_slow(disk: &Disk) -> bool {
    let few = disk.ns as f64 <= REQUESTS_IN_FLIGHT * disk.busy_ns as f64;
    let small = disk.mean_bytes().is_some_and(|bytes| bytes as f64 <= SMALL_REQUEST);
    let long = disk.mean_ns().is_some_and(|ns| ns as f64 >= slow_from(disk));
    disk.requests >= REQUESTS && few && small && long
}

/// A cause of lost time of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) cause: Cause,
    /// Its time, ns.
    pub(super) ns: u64,
    /// What it mostly waited for itself.
    pub(super) via: Option<Cause>,
}

impl Lost {
    /// What is behind it all, by which it is judged. Of memory that had to be made that is memory, also where making it waited for a
    /// disk.
    pub(super) fn root(&self) -> Cause {
        match self.cause.layer() {
            Layer::Memory => self.cause,
            _ => self.via.unwrap_or(self.cause),
        }
    }
}

/// The causes for which a group lost time.
pub(super) fn lost(account: &Account) -> Vec<Lost> {
    let causes = account.lost_by_cause().into_iter();
    causes.map(|(cause, ns)| Lost { cause, ns, via: account.largest_via(cause, ns, FOLD_SHARE) }).collect()
}

/// The part of the waits for a cause in which the group had it itself, 0 to 1.
pub(super) fn own_share(account: &Account, cause: Cause) -> f64 {
    let own = account.culprits_of(cause).filter(|culprit| account.is_own(culprit));
    own.map(|culprit| culprit.share).sum::<f64>().min(1.0)
}

/// Other groups that had what was waited for, longest first.
pub(super) fn foreign(account: &Account, cause: Cause) -> Vec<Culprit> {
    let others = account.culprits_of(cause).filter(|culprit| culprit.group.is_some());
    others.filter(|culprit| !account.is_own(culprit)).cloned().collect()
}

/// Whether a culprit alone is one.
pub(super) fn is_notable(culprit: &Culprit) -> bool {
    culprit.share >= CULPRIT_SHARE
}

/// Whether a culprit is a group of programs: kernel threads work for others.
pub(super) fn is_neighbour(culprit: &Culprit) -> bool {
    culprit.group.as_ref().is_some_and(|group| group.kind != GroupType::Kernel)
}

/// The longest single wait of a group for a cause.
pub(super) fn longest(account: &Account, cause: Cause) -> Option<&LongWait> {
    account.longest.iter().filter(|wait| wait.keys.cause == cause).max_by_key(|wait| wait.ns)
}
