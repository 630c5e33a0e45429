//! From counts to a record.

use std::collections::HashMap;

use diag_common::{
    contention::Kind,
    hist,
    lock::{Cell, doing},
};

use super::{
    Bin,
    args::Sort,
    collect::{Harvest, LockKey, Waits},
    namer::Namer,
    names,
    record::{Caller, Doing, Lock, LockType, Owner, Waiter},
};
use crate::output::{histogram::Histogram, record::parties::Omitted};

/// Callers, waiters and owners of a lock that have an entry each; the others are one entry.
const PARTS: usize = 32;
/// Entries of a record at most, but for those of whole types.
const ENTRIES: usize = 200;

/// The locks of a harvest, and what has no entry of its own.
pub(super) struct Found {
    /// In the order asked for: so many one by one, the others by type and name, or by type alone.
    pub(super) locks: Vec<(Lock, Vec<Bin>)>,
    /// Those that are not one by one.
    pub(super) omitted: Omitted,
}

/// Some locks of one type as one entry.
#[derive(Default)]
struct Folded {
    waits: Waits,
    addresses: Vec<u64>,
    /// Some of them were not known from each other.
    countless: bool,
}

impl Folded {
    fn add(&mut self, other: &Folded) {
        self.waits.merge(&other.waits);
        self.addresses.extend_from_slice(&other.addresses);
        self.countless |= other.countless;
    }
}

/// The locks of a harvest: `top` of them one by one, and always the one with most time.
pub(super) fn locks(harvest: &Harvest, top: usize, sort: Sort, namer: &mut Namer<'_>) -> Found {
    let mut all: Vec<(LockKey, &Waits, Cell)> =
        harvest.locks.iter().map(|(&key, waits)| (key, waits, waits.total())).collect();
    all.retain(|(_, waits, _)| !waits.bins.is_empty());
    all.sort_unstable_by_key(|&(key, _, total)| (std::cmp::Reverse(weight(&total, sort)), key));
    let (mut single, without_room): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(key, ..)| key.address != 0);
    let worst = (0..single.len()).max_by_key(|&at| single[at].2.ns);
    if let Some(worst) = worst.filter(|&worst| worst >= top) {
        let worst = single.remove(worst);
        single.insert(top.saturating_sub(1), worst);
    }
    let others = single.split_off(top.min(single.len()));
    let mut omitted = Omitted { count: others.len() as u64, ns: Some(0) };
    let mut folded: HashMap<(Kind, Option<String>), Folded> = HashMap::new();
    for (key, waits, total) in others.into_iter().chain(without_room) {
        omitted.ns = omitted.ns.map(|ns| ns + total.ns);
        let name = if key.address == 0 { None } else { namer.name_within(harvest, key, waits) };
        let entry = folded.entry((key.kind, name)).or_default();
        entry.waits.merge(waits);
        match key.address {
            0 => entry.countless = true,
            address => entry.addresses.push(address),
        }
    }
    let folded = within(folded, ENTRIES.saturating_sub(single.len()), sort);
    let mut locks = Vec::new();
    for (key, waits, _) in single {
        let name = namer.name_within(harvest, key, waits);
        locks.push(lock(key.kind, name, Some(key.address), Some(1), waits, namer));
    }
    for ((kind, name), Folded { waits, addresses, countless }) in folded {
        let alone = if let [address] = addresses[..] { Some(address) } else { None };
        let lock_count = (!countless).then_some(addresses.len() as u64);
        let address = alone.filter(|_| !countless);
        omitted.count -= u64::from(address.is_some());
        if address.is_some() {
            omitted.ns = omitted.ns.map(|ns| ns.saturating_sub(waits.total().ns));
        }
        locks.push(lock(kind, name, address, lock_count, &waits, namer));
    }
    let order = |lock: &Lock| match sort {
        Sort::Wait => lock.wait.sum_ns,
        Sort::Count => lock.wait.count,
        Sort::Max => lock.wait.max_ns.unwrap_or_default(),
    };
    locks.sort_by_key(|(lock, _)| (std::cmp::Reverse(order(lock)), lock.lock_type, lock.name.clone()));
    Found { locks, omitted }
}

fn weight(total: &Cell, sort: Sort) -> u64 {
    match sort {
        Sort::Wait => total.ns,
        Sort::Count => total.waits,
        Sort::Max => total.max_ns,
    }
}

/// At most `room` entries by type and name; the others by type alone.
fn within(
    folded: HashMap<(Kind, Option<String>), Folded>,
    room: usize,
    sort: Sort,
) -> HashMap<(Kind, Option<String>), Folded> {
    let mut entries: Vec<_> = folded.into_iter().collect();
    entries.sort_by_cached_key(|(key, folded)| {
        (std::cmp::Reverse(weight(&folded.waits.total(), sort)), key.clone())
    });
    let mut kept: HashMap<(Kind, Option<String>), Folded> = HashMap::new();
    for (at, ((kind, name), folded)) in entries.into_iter().enumerate() {
        kept.entry((kind, name.filter(|_| at < room))).or_default().add(&folded);
    }
    kept
}

fn lock(
    kind: Kind,
    name: Option<String>,
    address: Option<u64>,
    lock_count: Option<u64>,
    waits: &Waits,
    namer: &mut Namer<'_>,
) -> (Lock, Vec<Bin>) {
    let total = waits.total();
    let bins = waits.bins.iter().map(|(&bucket, cell)| (bucket, cell.waits));
    let (callers, callers_omitted) = callers(waits, namer);
    let (waiters, waiters_omitted) = waiters(waits, namer);
    let (owners, owners_omitted) = owners(waits, namer);
    let lock = Lock {
        lock_type: LockType(kind),
        name,
        address: address.map(|address| format!("{address:#x}")),
        lock_count,
        wait: Histogram::from_bins(bins, total.ns, !total.min_inverted, total.max_ns),
        callers,
        callers_omitted,
        waiters,
        waiters_omitted,
        owners,
        owners_omitted,
    };
    let bin = |(&bucket, cell): (&u32, &Cell)| Bin {
        low_ns: hist::lowest(bucket),
        high_ns: hist::highest(bucket),
        waits: cell.waits,
        ns: cell.ns,
    };
    (lock, waits.bins.iter().map(bin).collect())
}

fn callers(waits: &Waits, namer: &mut Namer<'_>) -> (Vec<Caller>, Omitted) {
    let mut merged: HashMap<Vec<String>, Cell> = HashMap::new();
    for (&stack, cell) in &waits.callers {
        let stack = names::callers(namer.stacks.functions(stack)).to_vec();
        merged.entry(stack).or_default().add(cell);
    }
    let all = largest_first(merged.into_iter().collect());
    let omitted = omitted(&all);
    let caller = |(stack, cell): (Vec<String>, Cell)| Caller {
        stack: Some(stack).filter(|stack| !stack.is_empty()),
        ns: cell.ns,
        wait_count: cell.waits,
    };
    (all.into_iter().take(PARTS).map(caller).collect(), omitted)
}

fn waiters(waits: &Waits, namer: &mut Namer<'_>) -> (Vec<Waiter>, Omitted) {
    let all = largest_first(waits.waiters.iter().map(|(&number, &cell)| (number, cell)).collect());
    let one = |&(number, cell): &(u32, Cell)| Waiter {
        task: namer.task(number),
        task_count: 1,
        ns: cell.ns,
        wait_count: cell.waits,
    };
    let mut waiters: Vec<Waiter> = all.iter().take(PARTS).map(one).collect();
    waiters.extend(rest(&all).map(|(task_count, cell)| Waiter {
        task: None,
        task_count,
        ns: cell.ns,
        wait_count: cell.waits,
    }));
    (waiters, omitted(&all))
}

fn owners(waits: &Waits, namer: &mut Namer<'_>) -> (Vec<Owner>, Omitted) {
    let all = largest_first(waits.owners.iter().map(|(&owner, &cell)| (owner, cell)).collect());
    let mut owners: Vec<Owner> = Vec::new();
    for &((number, what), cell) in all.iter().take(PARTS) {
        let stack = namer.stacks.functions(cell.stack).to_vec();
        owners.push(Owner {
            task: namer.task(number),
            task_count: (number != 0).then_some(1),
            reader: what & doing::READERS != 0,
            state: doing_of(what & !doing::READERS),
            ns: cell.ns,
            wait_count: cell.waits,
            stack: Some(stack).filter(|stack| !stack.is_empty()),
        });
    }
    owners.extend(rest(&all).map(|(task_count, cell)| Owner {
        task: None,
        task_count: Some(task_count),
        reader: false,
        state: None,
        ns: cell.ns,
        wait_count: cell.waits,
        stack: None,
    }));
    (owners, omitted(&all))
}

fn doing_of(what: u8) -> Option<Doing> {
    match what {
        doing::RUNNING => Some(Doing::Running),
        doing::RUNNABLE => Some(Doing::Runnable),
        doing::IO => Some(Doing::BlockedIo),
        doing::RECLAIM => Some(Doing::Reclaim),
        doing::BLOCKED => Some(Doing::Blocked),
        doing::HANDED_OVER => Some(Doing::HandedOver),
        _ => None,
    }
}

fn largest_first<K: Ord>(mut parts: Vec<(K, Cell)>) -> Vec<(K, Cell)> {
    parts.sort_unstable_by(|a, b| b.1.ns.cmp(&a.1.ns).then_with(|| a.0.cmp(&b.0)));
    parts
}

/// Those that have no entry of their own: how many, and their sum.
fn rest<K>(parts: &[(K, Cell)]) -> Option<(u64, Cell)> {
    let rest = parts.get(PARTS..).filter(|rest| !rest.is_empty())?;
    let mut sum = Cell::default();
    rest.iter().for_each(|(_, cell)| sum.add(cell));
    Some((rest.len() as u64, sum))
}

/// The same, as records say it.
fn omitted<K>(parts: &[(K, Cell)]) -> Omitted {
    let (count, sum) = rest(parts).unwrap_or_default();
    Omitted { count, ns: Some(sum.ns) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(ns: u64) -> Folded {
        let mut waits = Waits::default();
        waits.bins.insert(9, Cell { ns, waits: 1, max_ns: ns, min_inverted: !ns, ..Cell::default() });
        Folded { waits, addresses: vec![ns], countless: false }
    }

    #[test]
    fn names_without_room_are_one_entry_of_their_type() {
        let named = |kind, name: &str, ns| ((kind, Some(name.to_owned())), folded(ns));
        let all = HashMap::from([
            named(Kind::Mutex, "a", 50),
            named(Kind::Mutex, "b", 30),
            named(Kind::Mutex, "c", 20),
            named(Kind::Spinlock, "d", 10),
            ((Kind::Mutex, None), folded(5)),
        ]);
        let kept = within(all, 2, Sort::Wait);
        let mut entries: Vec<_> = kept
            .iter()
            .map(|((kind, name), folded)| {
                (kind.name(), name.as_deref(), folded.waits.total().ns, folded.addresses.len())
            })
            .collect();
        entries.sort_unstable();
        assert_eq!(
            entries,
            [
                ("mutex", None, 25, 2),
                ("mutex", Some("a"), 50, 1),
                ("mutex", Some("b"), 30, 1),
                ("spinlock", None, 10, 1)
            ]
        );
    }

    #[test]
    fn what_has_no_entry_of_its_own_is_counted() {
        let parts: Vec<(u32, Cell)> = (1..=34)
            .map(|number| (number, Cell { ns: 100 - u64::from(number), waits: 1, ..Cell::default() }))
            .collect();
        assert_eq!(omitted(&largest_first(parts)), Omitted { count: 2, ns: Some(67 + 66) });
        assert_eq!(omitted::<u32>(&[]), Omitted { count: 0, ns: Some(0) });
    }
}
