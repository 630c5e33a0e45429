//! From what was counted to the groups of a record.

use std::{cmp::Reverse, collections::HashMap, hash::Hash};

use diag_common::{
    cause::{Cause, Class, Layer},
    hist,
};

use super::{
    args::Sort,
    culprits,
    harvest::{Account, Harvest, Key, Longest, Spent},
    naming::Naming,
    place,
    record::{Group, GroupCause, LongWait, Place, PlaceCause},
};
use crate::output::{
    histogram::Histogram,
    record::{
        cause::{CauseKeys, CauseWord, LayerWord, Step},
        layers::Layers,
        parties::{self, GroupType, Omitted},
    },
    units::share,
};

/// Causes of a group at most.
const CAUSES: usize = 30;
/// Places of a group at most.
const PLACES: usize = 20;
/// Causes of a place at most.
const CAUSES_OF_PLACE: usize = 5;
/// Single waits of a group at most.
const LONGEST: usize = 20;
/// Culprits of a group at most.
const CULPRITS: usize = 20;

/// Which groups a record has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// So many.
    pub(super) top: usize,
    /// In this order.
    pub(super) sort: Sort,
}

/// The groups of a record, and what the last one takes together.
pub(super) struct Groups {
    pub(super) listed: Vec<Group>,
    pub(super) omitted: Omitted,
}

/// What was counted of one group, by as many keys as it has.
#[derive(Default)]
struct Counted<'a> {
    accounts: Vec<&'a Account>,
    longest: Vec<&'a Longest>,
}

impl Counted<'_> {
    fn thread_ns(&self) -> u64 {
        self.accounts.iter().map(|account| account.thread_ns).sum()
    }

    fn thread_count(&self) -> u64 {
        self.accounts.iter().map(|account| account.thread_count()).sum()
    }

    fn ns_of(&self, of: impl Fn(Cause) -> bool) -> u64 {
        let parts = self.accounts.iter().flat_map(|account| &account.parts);
        parts.filter(|(part, _)| of(part.cause)).map(|(_, spent)| spent.ns).sum()
    }

    fn by(&self, sort: Sort) -> u64 {
        match sort {
            Sort::Lost => self.ns_of(is_lost),
            Sort::Threads => self.thread_count(),
            Sort::Layer(layer) => self.ns_of(|cause| cause.layer() == layer),
            Sort::Cause(wanted) => self.ns_of(|cause| cause == wanted),
        }
    }

    fn account(&self) -> Account {
        let mut sum = Account::default();
        self.accounts.iter().for_each(|account| sum.merge(account));
        sum
    }
}

fn is_lost(cause: Cause) -> bool {
    cause.class() == Class::Lost
}

/// Makes the groups of a record.
pub(super) fn groups(harvest: &Harvest, wanted: Wanted, naming: &mut Naming<'_, '_>) -> Groups {
    let mut counted: HashMap<parties::Group, Counted<'_>> = HashMap::new();
    for (&key, account) in &harvest.groups {
        counted.entry(naming.group(key, harvest)).or_default().accounts.push(account);
    }
    for wait in &harvest.longest {
        counted.entry(naming.group(wait.key, harvest)).or_default().longest.push(wait);
    }
    let unknown = counted.remove(&naming.group(Key::Rest, harvest));
    let mut all: Vec<(parties::Group, Counted<'_>)> = counted.into_iter().collect();
    all.sort_by_cached_key(|(group, counted)| {
        let first = (counted.by(wanted.sort), counted.by(Sort::Lost), counted.thread_ns());
        (Reverse(first), group.label(), group.cgroup_id, group.pid, group.tid)
    });
    let more = all.split_off(wanted.top.min(all.len()));
    let count = more.len() as u64 + harvest.merged.max(u64::from(unknown.is_some()));
    let mut rest = unknown.unwrap_or_default();
    for (_, counted) in more {
        rest.accounts.extend(counted.accounts);
        rest.longest.extend(counted.longest);
    }
    let omitted = Omitted { count, ns: Some(rest.thread_ns()) };
    if count > 0 {
        rest.longest.sort_by_key(|wait| Reverse(wait.ns));
        all.push((parties::Group::of(GroupType::Rest), rest));
    }
    let listed = all.iter().map(|(group, counted)| one(group, counted, harvest, naming)).collect();
    Groups { listed, omitted }
}

fn one(
    group: &parties::Group,
    counted: &Counted<'_>,
    harvest: &Harvest,
    naming: &mut Naming<'_, '_>,
) -> Group {
    let account = counted.account();
    let accounted_ns = account.parts.values().map(|spent| spent.ns).sum();
    let (causes, causes_omitted) = causes(&account, accounted_ns);
    let (places, places_omitted) = places(&account, accounted_ns);
    let (longest, longest_omitted) =
        cut(counted.longest.iter().map(|wait| (*wait, wait.ns)).collect(), LONGEST);
    let (culprits, culprits_omitted) = cut(culprits::of(group, &account, harvest, naming), CULPRITS);
    let loss_ns = counted.ns_of(is_lost);
    Group {
        group: group.clone(),
        thread_count: account.thread_count(),
        thread_ns: account.thread_ns,
        unaccounted_ns: account.thread_ns.cast_signed() - accounted_ns.cast_signed(),
        loss_ns,
        loss_share: share(loss_ns, account.thread_ns).min(1.0),
        layers: Layers::from_ns(Layer::ALL.map(|layer| counted.ns_of(|cause| cause.layer() == layer))),
        causes,
        causes_omitted,
        places,
        places_omitted,
        longest: longest.into_iter().map(|(wait, _)| long_wait(wait, naming)).collect(),
        longest_omitted,
        culprits: culprits.into_iter().map(|(culprit, _)| culprit).collect(),
        culprits_omitted,
        pressure: None,
    }
}

/// The first `most` of a list that is sorted, and what that leaves out.
fn cut<T>(mut list: Vec<(T, u64)>, most: usize) -> (Vec<(T, u64)>, Omitted) {
    let more = list.split_off(most.min(list.len()));
    let ns = more.iter().map(|(_, ns)| ns).sum();
    (list, Omitted { count: more.len() as u64, ns: Some(ns) })
}

/// Times by anything, the longest first, without those of nothing.
fn longest_first<K: Ord + Copy + Eq + Hash>(times: &HashMap<K, u64>) -> Vec<(K, u64)> {
    let mut list: Vec<(K, u64)> = times.iter().filter(|&(_, &ns)| ns > 0).map(|(&k, &ns)| (k, ns)).collect();
    list.sort_by_key(|&(key, ns)| (Reverse(ns), key));
    list
}

fn causes(account: &Account, accounted_ns: u64) -> (Vec<GroupCause>, Omitted) {
    let mut by_cause: HashMap<CauseKeys, Spent> = HashMap::new();
    for (part, spent) in &account.parts {
        by_cause.entry(CauseKeys { cause: part.cause, via: part.via }).or_default().add(spent);
    }
    let mut list: Vec<(CauseKeys, Spent)> =
        by_cause.into_iter().filter(|(_, spent)| spent.ns > 0 || !spent.waits.is_empty()).collect();
    list.sort_by_key(|(keys, spent)| (Reverse(spent.ns), *keys));
    let (list, omitted) = cut(list.into_iter().map(|(k, s)| ((k, s.clone()), s.ns)).collect(), CAUSES);
    let one = |((keys, spent), ns): ((CauseKeys, Spent), u64)| {
        let wait = histogram(&spent);
        GroupCause {
            keys,
            ns,
            on_cpu_ns: spent.on_cpu_ns,
            share: share(ns, accounted_ns),
            wait_count: wait.count,
            wait,
        }
    };
    (list.into_iter().map(one).collect(), omitted)
}

/// How long waits were. Of the shortest only its bucket is known, where there are several.
fn histogram(spent: &Spent) -> Histogram {
    let middle = |bucket| hist::lowest(bucket).midpoint(hist::highest(bucket));
    let bounds = spent.waits.first_key_value().zip(spent.waits.last_key_value());
    let (min_ns, max_ns) = bounds.map_or((0, 0), |((&first, &count), (&last, _))| {
        let longest_ns = if hist::bucket(spent.longest_ns) == last { spent.longest_ns } else { middle(last) };
        let single = first == last && count == 1;
        (if single { longest_ns } else { middle(first).min(longest_ns) }, longest_ns)
    });
    let bins = spent.waits.iter().map(|(&bucket, &count)| (bucket, count));
    Histogram::from_bins(bins, spent.waits_ns, min_ns, max_ns)
}

fn places(account: &Account, accounted_ns: u64) -> (Vec<Place>, Omitted) {
    let mut times: HashMap<place::Place, u64> = HashMap::new();
    let mut reasons: HashMap<place::Place, HashMap<CauseKeys, u64>> = HashMap::new();
    for (part, spent) in &account.parts {
        let Some(place) = part.place else { continue };
        let keys = CauseKeys { cause: part.cause, via: part.via };
        *times.entry(place).or_default() += spent.ns;
        *reasons.entry(place).or_default().entry(keys).or_default() += spent.ns;
    }
    let (list, omitted) = cut(longest_first(&times), PLACES);
    let one = |(place, ns): (place::Place, u64)| {
        let reasons = reasons.get(&place).map(longest_first).unwrap_or_default();
        let (causes, causes_omitted) = cut(reasons, CAUSES_OF_PLACE);
        let cause = |(keys, of): (CauseKeys, u64)| PlaceCause { keys, ns: of, share: share(of, ns) };
        Place {
            place: place.name().to_owned(),
            ns,
            share: share(ns, accounted_ns),
            causes: causes.into_iter().map(cause).collect(),
            causes_omitted,
        }
    };
    (list.into_iter().map(one).collect(), omitted)
}

fn long_wait(wait: &Longest, naming: &mut Naming<'_, '_>) -> LongWait {
    LongWait {
        task: naming.task(wait),
        place: wait.part.place.map(|place| place.name().to_owned()),
        keys: CauseKeys { cause: wait.part.cause, via: wait.part.via },
        ns: wait.ns,
        chain: wait.part.via.map(|via| vec![step(wait.part.cause), step(via)]).unwrap_or_default(),
        stack: (!wait.stack.is_empty()).then(|| wait.stack.clone()),
        file: None,
        open: wait.open,
    }
}

fn step(cause: Cause) -> Step {
    Step { layer: LayerWord(cause.layer()), cause: CauseWord(cause), task: None, device: None }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
