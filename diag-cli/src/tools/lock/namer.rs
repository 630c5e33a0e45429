//! What numbers and addresses stand for: names of locks, tasks and functions.

use std::collections::{HashMap, HashSet};

use diag_common::{contention::Kind, lock::class, who::Who};

use super::{
    collect::{Harvest, LockKey, Waits},
    names,
};
use crate::{
    arch::IMAGE,
    ebpf::{stacks::Stacks, who::People},
    kernel::{
        fields::{ABSENT, Resolved},
        symbols::Symbols,
    },
    output::{record::parties::Task, text::escape},
    target::CgroupNames,
};

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

impl Namer<'_> {
    /// What a lock is called. The spinlock inside of another lock is called after that, where somebody waited for it, too.
    pub(super) fn name_within(&mut self, harvest: &Harvest, key: LockKey, waits: &Waits) -> Option<String> {
        if key.kind == Kind::Spinlock {
            let outer = self.places.around(key.address).find_map(|key| harvest.locks.get_key_value(&key));
            if let Some((&outer, waits)) = outer
                && let Some(name) = self.name(outer, waits, None)
            {
                return Some(format!("wait_lock of {name}"));
            }
        }
        self.name(key, waits, None)
    }

    /// What a lock is called: what its address says exactly, a symbol, or what most of its callers say.
    /// `seen` are the callers of a wait that nobody has counted yet.
    pub(super) fn name(&mut self, key: LockKey, waits: &Waits, seen: Option<&[String]>) -> Option<String> {
        if let Some(name) = self.by_address(key.address, waits.class) {
            return Some(name);
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
            (Some((name, _)), _) => Some(name),
            (None, Some((_, caller))) => Some(format!("in {caller}")),
            (None, None) => None,
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

    /// The task of a number, with its thread where it stands for one.
    pub(super) fn task(&mut self, number: u32) -> Option<Task> {
        let who = self.people.get(number)?;
        let Who { cgroup, tgid, tid, .. } = who;
        let home = self.cgroups.as_mut().map(|names| names.home(cgroup)).unwrap_or_default();
        Some(Task {
            pid: Some(tgid),
            tid: (tid != 0).then_some(tid),
            comm: Some(escape(&who.name())),
            cgroup: home.cgroup,
            container: home.container,
            ..Task::default()
        })
    }
}
