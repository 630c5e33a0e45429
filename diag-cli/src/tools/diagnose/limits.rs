//! Which limit holds a group, of its cgroup and those above it.

use std::collections::HashMap;

use diag_common::cause::{Cause, Layer};

use super::{
    record::Limit,
    triage::{Quota, Reading},
};
use crate::{
    output::record::{parties::Group, settings::Unit},
    target::{LimitFile, limit, places::Places},
    tools::delays::record::Group as Account,
};

/// What holds the groups that lose time to limits.
#[derive(Debug, Default)]
pub(super) struct Limits(HashMap<Group, Held>);

/// The limits of one group.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    pub(super) cpu: Option<Limit>,
    /// Part of the quota's periods in which it held the group, in the session.
    pub(super) throttled: Option<f64>,
    pub(super) memory: Option<Limit>,
    /// Whether memory is at its limit.
    pub(super) full: bool,
}

impl Limits {
    /// Of the groups that lost time to the CPU's quota or to memory.
    pub(super) fn read(
        groups: &[Account],
        readings: Option<(&Reading, &Reading)>,
        places: &mut Places<'_>,
    ) -> Limits {
        let limited = |cause: Cause| cause == Cause::Throttled || cause.layer() == Layer::Memory;
        let concerned = groups.iter().filter(|group| group.ns_of(limited) > 0);
        Limits(concerned.map(|account| (account.group.clone(), held(account, readings, places))).collect())
    }

    /// Those of a group.
    pub(super) fn of(&self, group: &Group) -> Held {
        self.0.get(group).cloned().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn known(group: Group, held: Held) -> Limits {
        Limits([(group, held)].into())
    }
}

fn held(account: &Account, readings: Option<(&Reading, &Reading)>, places: &mut Places<'_>) -> Held {
    let mut held = Held::default();
    let folders = places.folders(&account.group, "cpu");
    let quotas = folders.iter().flat_map(|folder| LimitFile::CPU.iter().map(move |file| (folder, *file)));
    let found = quotas.filter_map(|(folder, file)| Some((file.read(folder)?, file, folder)));
    if let Some((cpus, file, folder)) = found.min_by(|a, b| a.0.total_cmp(&b.0)) {
        let quotas = readings.map(|(first, last)| (&first.groups.quotas, &last.groups.quotas));
        held.throttled = quotas.and_then(|(first, last)| throttled(first.get(folder), last.get(folder)?));
        let group = places.group_at(folder);
        held.cpu = Some(Limit { name: file, group, value: cpus, unit: Unit::Cpus });
    }
    let folders = places.folders(&account.group, "memory");
    if let Some(found) = limit::of_memory(&folders) {
        held.full = found.full;
        let group = places.group_at(&found.folder);
        held.memory = Some(Limit { name: found.file, group, value: found.bytes, unit: Unit::Bytes });
    }
    held
}

/// Part of the periods between two readings in which a quota held its group.
pub(super) fn throttled(first: Option<&Quota>, last: &Quota) -> Option<f64> {
    let none = Quota::default();
    let first = first.unwrap_or(&none);
    let periods = last.periods.saturating_sub(first.periods);
    let held = last.throttled_periods.saturating_sub(first.throttled_periods);
    (periods > 0).then(|| held as f64 / periods as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_those_between_two_readings() {
        let quota = |periods, throttled_periods| Quota { cpus: 0.2, periods, throttled_periods };
        assert_eq!(throttled(Some(&quota(10, 2)), &quota(20, 10)), Some(0.8));
        assert_eq!(throttled(None, &quota(4, 1)), Some(0.25));
        assert_eq!(throttled(Some(&quota(4, 1)), &quota(4, 1)), None);
    }
}
