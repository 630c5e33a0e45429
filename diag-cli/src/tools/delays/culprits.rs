//! Who had what a group waited for, as records have it.

use std::{cmp::Reverse, collections::HashMap};

use diag_common::cause::{Cause, Layer};

use super::{
    growth::Takers,
    harvest::{Account, Harvest, Key},
    naming::Naming,
};
use crate::output::{
    record::parties::{self, Basis, Culprit, Resource},
    units::{self, share},
};

/// What has been waited for in the time of a cause, where it is counted who had it.
pub(crate) fn resource_of(cause: Cause) -> Option<Resource> {
    match cause {
        Cause::Runqueue => Some(Resource::Cpu),
        Cause::Device | Cause::Queue => Some(Resource::Device),
        Cause::MmapLock | Cause::KernelLock | Cause::InodeLock | Cause::FsLock => Some(Resource::Lock),
        cause if cause.layer() == Layer::Memory => Some(Resource::Memory),
        _ => None,
    }
}

fn basis_of(resource: Resource) -> Basis {
    match resource {
        Resource::Cpu | Resource::Device => Basis::Overlap,
        Resource::Lock => Basis::Owner,
        Resource::Memory => Basis::Growth,
    }
}

/// `/batch had the CPU for 97 % of that`; of the group itself where it is `own`.
pub(crate) fn had(culprit: &Culprit, own: bool) -> String {
    let part = units::percent(culprit.share);
    let who = || match &culprit.group {
        _ if own => "its own threads".to_owned(),
        Some(group) => group.label(),
        None => "?".to_owned(),
    };
    match culprit.resource {
        Resource::Cpu => format!("{} had the CPU for {part} of that", who()),
        Resource::Lock => format!("{} had the lock for {part} of that", who()),
        Resource::Device if own => format!("its own requests had {part} of the device's time meanwhile"),
        Resource::Device => format!("requests of {} had {part} of the device's time meanwhile", who()),
        Resource::Memory => format!("{} took {part} of the memory that was taken meanwhile", who()),
    }
}

/// Culprits with their times, longest first. Those of a resource add up to the time for which it was waited for: what is left is a
/// culprit without a group. Shares are of that time.
pub(super) fn of(
    group: &parties::Group,
    account: &Account,
    harvest: &Harvest,
    naming: &mut Naming<'_, '_>,
) -> Vec<(Culprit, u64)> {
    let mut times: HashMap<Resource, HashMap<parties::Group, u64>> = HashMap::new();
    for (&(resource, key), &ns) in &account.culprits {
        *times.entry(resource).or_default().entry(naming.group(key, harvest)).or_default() += ns;
    }
    for (key, ns) in of_memory(group, account, harvest, naming) {
        *times.entry(Resource::Memory).or_default().entry(naming.group(key, harvest)).or_default() += ns;
    }
    let mut list = Vec::new();
    for resource in [Resource::Cpu, Resource::Device, Resource::Lock, Resource::Memory] {
        let waited_ns = waited_ns(account, resource);
        let groups = times.remove(&resource).unwrap_or_default();
        let known_ns: u64 = groups.values().sum();
        // A wait is counted here as a whole when it ends; its time is spread over the records that it crosses.
        let scaled = |ns: u64| {
            (u128::from(ns) * u128::from(waited_ns) / u128::from(known_ns.max(waited_ns).max(1))) as u64
        };
        let groups = groups.into_iter().map(|(group, ns)| (Some(group), scaled(ns)));
        let mut rows: Vec<_> = groups.filter(|&(_, ns)| ns > 0).collect();
        let unknown_ns = waited_ns - rows.iter().map(|(_, ns)| ns).sum::<u64>();
        if unknown_ns > 0 {
            rows.push((None, unknown_ns));
        }
        let basis = basis_of(resource);
        list.extend(rows.into_iter().map(|(group, ns)| {
            (Culprit { resource, basis, group, task: None, ns, share: share(ns, waited_ns) }, ns)
        }));
    }
    list.sort_by_cached_key(|(culprit, ns)| {
        let group = culprit.group.as_ref();
        (
            Reverse(*ns),
            culprit.resource,
            group.map(parties::Group::label),
            group.and_then(|group| group.cgroup_id),
        )
    });
    list
}

/// Who took memory in the time for which a group waited for some, ns.
fn of_memory(
    group: &parties::Group,
    account: &Account,
    harvest: &Harvest,
    naming: &Naming<'_, '_>,
) -> Vec<(Key, u64)> {
    let of_memory = account.parts.iter().filter(|(part, _)| part.cause.layer() == Layer::Memory);
    let waited: Vec<(Cause, u64)> = of_memory.map(|(part, spent)| (part.cause, spent.ns)).collect();
    if waited.is_empty() {
        return Vec::new();
    }
    let takers = Takers::new(&harvest.taken, group, naming);
    let each = waited.into_iter().flat_map(|(cause, ns)| {
        takers.of(cause).into_iter().map(move |(key, part)| (key, (ns as f64 * part) as u64))
    });
    each.collect()
}

/// For how long a group waited for a resource, ns.
fn waited_ns(account: &Account, resource: Resource) -> u64 {
    let parts = account.parts.iter().filter(|(part, _)| resource_of(part.cause) == Some(resource));
    parts.map(|(_, spent)| spent.ns).sum()
}
