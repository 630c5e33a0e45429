//! From counts to a record.

use std::collections::{HashMap, HashSet};

use diag_common::{
    hist,
    lock::{Cell, Kind, class, doing},
    who::Who,
};

use super::{
    Bin,
    collect::{Harvest, LockKey, Waits},
    names,
    record::{Caller, Doing, KindName, Lock, Owner, Task, Waiter},
};
use crate::{
    ebpf::{stacks::Stacks, who::People},
    kernel::{
        fields::{ABSENT, Resolved},
        symbols::Symbols,
    },
    output::{histogram::Histogram, text::escape},
    target::CgroupNames,
};

/// Callers, waiters and owners of a lock that are told one by one; the others are one entry.
const PARTS: usize = 32;
/// Where the kernel's own image and its modules lie (Documentation/arch/x86/x86_64/mm.rst, 6.18).
const IMAGE: u64 = 0xffff_ffff_8000_0000;
/// What a lock is called whose waits found no room of their own.
const NO_ROOM: &str = "others";

/// Offsets of spinlocks in what they belong to.
pub(super) struct Places {
    run_queue: u64,
    mutex: u64,
    rwsem: u64,
    rwlock: u64,
}

impl Places {
    /// From the fields of an object. What this kernel lacks lies nowhere.
    pub(super) fn of(fields: &[Resolved]) -> Places {
        let offset = |global| {
            let field = fields.iter().find(|field| field.global == global);
            field.filter(|field| field.value != ABSENT).map_or(u64::MAX, |field| u64::from(field.value))
        };
        Places {
            run_queue: offset("RQ_LOCK"),
            mutex: offset("MUTEX_WAIT_LOCK"),
            rwsem: offset("RWSEM_WAIT_LOCK"),
            rwlock: offset("RWLOCK_WAIT_LOCK"),
        }
    }

    /// The locks whose own spinlock lies at an address, if it does so in any.
    fn around(&self, address: u64) -> impl Iterator<Item = LockKey> {
        use Kind::{Mutex, RwlockRead, RwlockWrite, RwsemRead, RwsemWrite};
        [
            (Mutex, self.mutex),
            (RwsemRead, self.rwsem),
            (RwsemWrite, self.rwsem),
            (RwlockRead, self.rwlock),
            (RwlockWrite, self.rwlock),
        ]
        .map(|(kind, offset)| LockKey { address: address.wrapping_sub(offset), kind })
        .into_iter()
    }
}

/// What numbers and addresses stand for.
pub(super) struct Namer<'a> {
    /// Stacks by number.
    pub(super) stacks: &'a mut Stacks,
    /// Tasks by number.
    pub(super) people: &'a mut People,
    /// Variables by address, read when the first is to be named; none where they cannot be had.
    pub(super) variables: &'a mut Option<Option<Symbols>>,
    /// The addresses of the run queues.
    pub(super) run_queues: &'a HashSet<u64>,
    /// Where locks lie in what they belong to.
    pub(super) places: &'a Places,
    /// Cgroups by id, where the system has any.
    pub(super) cgroups: Option<&'a mut CgroupNames>,
}

/// The locks of a harvest, most time first: `top` one by one, the others by kind and name.
pub(super) fn locks(harvest: &Harvest, top: usize, namer: &mut Namer<'_>) -> Vec<(Lock, Vec<Bin>)> {
    let mut found: Vec<(u64, LockKey, &Waits)> =
        harvest.locks.iter().map(|(&key, waits)| (waits.total().ns, key, waits)).collect();
    found.retain(|(_, _, waits)| !waits.bins.is_empty());
    found.sort_unstable_by_key(|&(ns, key, _)| (std::cmp::Reverse(ns), key));
    let mut locks = Vec::new();
    let mut folded: HashMap<(Kind, String), (Waits, Vec<u64>)> = HashMap::new();
    let mut single = 0;
    for (_, key, waits) in found {
        if key.address == 0 {
            locks.push(lock(key.kind, NO_ROOM.to_owned(), None, None, waits, namer));
        } else if single < top {
            single += 1;
            let name = namer.name_within(harvest, key, waits);
            locks.push(lock(key.kind, name, Some(key.address), Some(1), waits, namer));
        } else {
            let (sum, addresses) =
                folded.entry((key.kind, namer.name_within(harvest, key, waits))).or_default();
            sum.merge(waits);
            addresses.push(key.address);
        }
    }
    for ((kind, name), (waits, addresses)) in folded {
        let address = if let [address] = addresses[..] { Some(address) } else { None };
        locks.push(lock(kind, name, address, Some(addresses.len() as u64), &waits, namer));
    }
    locks.sort_by_key(|(lock, _)| (std::cmp::Reverse(lock.wait.sum_ns), lock.kind, lock.name.clone()));
    locks
}

fn lock(
    kind: Kind,
    name: String,
    address: Option<u64>,
    locks: Option<u64>,
    waits: &Waits,
    namer: &mut Namer<'_>,
) -> (Lock, Vec<Bin>) {
    let total = waits.total();
    let bins = waits.bins.iter().map(|(&bucket, cell)| (bucket, cell.waits));
    let lock = Lock {
        kind: KindName(kind),
        name,
        address: address.map(|address| format!("{address:#x}")),
        locks,
        wait: Histogram::from_bins(bins, total.ns, !total.min_inverted, total.max_ns),
        callers: callers(waits, namer),
        waiters: waiters(waits, namer),
        owners: owners(waits, namer),
    };
    let bin = |(&bucket, cell): (&u32, &Cell)| Bin {
        low_ns: hist::lowest(bucket),
        high_ns: hist::highest(bucket),
        waits: cell.waits,
        ns: cell.ns,
    };
    (lock, waits.bins.iter().map(bin).collect())
}

fn callers(waits: &Waits, namer: &mut Namer<'_>) -> Vec<Caller> {
    let mut merged: HashMap<Vec<String>, Cell> = HashMap::new();
    for (&stack, cell) in &waits.callers {
        let stack = names::callers(namer.stacks.functions(stack)).to_vec();
        merged.entry(stack).or_default().add(cell);
    }
    let caller = |(stack, cell): (Vec<String>, Cell)| Caller { stack, ns: cell.ns, waits: cell.waits };
    let mut callers: Vec<Caller> = merged.into_iter().map(caller).collect();
    callers.sort_by(|a, b| b.ns.cmp(&a.ns).then_with(|| a.stack.cmp(&b.stack)));
    callers.truncate(PARTS);
    callers
}

fn waiters(waits: &Waits, namer: &mut Namer<'_>) -> Vec<Waiter> {
    let all = largest_first(waits.waiters.iter().map(|(&number, &cell)| (number, cell)).collect());
    let rest = rest(&all);
    let one =
        |&(number, cell): &(u32, Cell)| Waiter { task: namer.task(number).0, ns: cell.ns, waits: cell.waits };
    let mut waiters: Vec<Waiter> = all.iter().take(PARTS).map(one).collect();
    waiters.extend(rest.map(|(task, cell)| Waiter { task, ns: cell.ns, waits: cell.waits }));
    waiters
}

fn owners(waits: &Waits, namer: &mut Namer<'_>) -> Vec<Owner> {
    let all = largest_first(waits.owners.iter().map(|(&owner, &cell)| (owner, cell)).collect());
    let rest = rest(&all);
    let mut owners: Vec<Owner> = Vec::new();
    for &((number, what), cell) in all.iter().take(PARTS) {
        let (task, tid) = namer.task(number);
        let stack = namer.stacks.functions(cell.stack).to_vec();
        owners.push(Owner {
            task,
            tid,
            reader: what & doing::READERS != 0,
            state: doing_of(what & !doing::READERS),
            ns: cell.ns,
            waits: cell.waits,
            stack: Some(stack).filter(|stack| !stack.is_empty()),
        });
    }
    owners.extend(rest.map(|(task, cell)| Owner {
        task,
        tid: None,
        reader: false,
        state: None,
        ns: cell.ns,
        waits: cell.waits,
        stack: None,
    }));
    owners
}

fn doing_of(what: u8) -> Option<Doing> {
    match what {
        doing::RUNNING => Some(Doing::Running),
        doing::RUNNABLE => Some(Doing::Runnable),
        doing::IO => Some(Doing::BlockedIo),
        doing::RECLAIM => Some(Doing::Reclaim),
        doing::BLOCKED => Some(Doing::Blocked),
        _ => None,
    }
}

fn largest_first<K: Ord + Copy>(mut parts: Vec<(K, Cell)>) -> Vec<(K, Cell)> {
    parts.sort_unstable_by_key(|&(key, cell)| (std::cmp::Reverse(cell.ns), key));
    parts
}

/// Those that are not told one by one, as one.
fn rest<K>(parts: &[(K, Cell)]) -> Option<(Task, Cell)> {
    let rest = parts.get(PARTS..).filter(|rest| !rest.is_empty())?;
    let mut sum = Cell::default();
    rest.iter().for_each(|(_, cell)| sum.add(cell));
    Some((Task { tasks: Some(rest.len() as u64), ..Task::default() }, sum))
}

impl Namer<'_> {
    /// What a lock is called. The spinlock inside of another lock is called after that, where somebody waited for it, too.
    fn name_within(&mut self, harvest: &Harvest, key: LockKey, waits: &Waits) -> String {
        if key.kind == Kind::Spinlock {
            let outer = self.places.around(key.address).find_map(|key| harvest.locks.get_key_value(&key));
            if let Some((&outer, waits)) = outer {
                return format!("wait_lock of {}", self.name(outer, waits, None));
            }
        }
        self.name(key, waits, None)
    }

    /// What a lock is called: what its address says exactly, a symbol, or what most of its callers say.
    /// `seen` are the callers of a wait that nobody has counted yet.
    pub(super) fn name(&mut self, key: LockKey, waits: &Waits, seen: Option<&[String]>) -> String {
        if let Some(name) = self.by_address(key.address, waits.class) {
            return name;
        }
        let mut told: HashMap<String, u64> = HashMap::new();
        let mut first: Option<(u64, String)> = None;
        let mut heard = |ns: u64, callers: &[String]| {
            if let Some(name) = names::by_callers(key.kind, callers) {
                *told.entry(name.to_owned()).or_default() += ns;
            }
            if let Some(caller) = callers.first()
                && first.as_ref().is_none_or(|(most, _)| ns > *most)
            {
                first = Some((ns, caller.clone()));
            }
        };
        for (&stack, cell) in &waits.callers {
            heard(cell.ns, names::callers(self.stacks.functions(stack)));
        }
        if let Some(callers) = seen {
            heard(0, callers);
        }
        let most = told.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
        match (most, first) {
            (Some((name, _)), _) => name,
            (None, Some((_, caller))) => format!("in {caller}"),
            (None, None) => "unknown".to_owned(),
        }
    }

    fn by_address(&mut self, address: u64, class: u8) -> Option<String> {
        let exact = match class {
            class::MMAP_LOCK => "mmap_lock",
            class::SIGLOCK => "siglock",
            class::FILE_LOCK => "file_lock",
            class::RQ_LOCK => "run queue",
            _ if self.run_queues.contains(&address.wrapping_sub(self.places.run_queue)) => "run queue",
            _ if address >= IMAGE => {
                let variables = self.variables.get_or_insert_with(|| Symbols::load_variables().ok());
                return variables.as_ref()?.variable(address);
            }
            _ => return None,
        };
        Some(exact.to_owned())
    }

    /// The task of a number, and its thread where it stands for one.
    fn task(&mut self, number: u32) -> (Task, Option<u32>) {
        let Some(who) = self.people.get(number) else { return (Task::default(), None) };
        let Who { cgroup, tgid, tid, .. } = who;
        let task = Task {
            pid: Some(tgid),
            comm: Some(escape(&who.name())),
            cgroup: self.cgroups.as_mut().and_then(|names| names.path(cgroup).map(str::to_owned)),
            tasks: None,
        };
        (task, (tid != 0).then_some(tid))
    }
}
