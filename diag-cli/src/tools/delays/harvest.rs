//! What was counted in a stretch of time, by group and by cause.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use diag_common::cause::Cause;

use super::{growth::Taken, place::Place};
use crate::output::record::parties::Resource;

/// Tasks that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Those of one cgroup, by its id; 0 where a task has none.
    Cgroup(u64),
    /// Kernel threads.
    Kernel,
    /// Threads of one name.
    Comm([u64; 2]),
    /// A process.
    Process(u32),
    /// A thread, by its process and its own number.
    Thread(u32, u32),
    /// Those for which there was no room.
    Rest,
}

/// What time was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Part {
    /// Why.
    pub(crate) cause: Cause,
    /// What the one who ended the wait was itself waiting for, where that is known.
    pub(crate) via: Option<Cause>,
    /// Where the thread slept; none while it ran or was runnable.
    pub(crate) place: Option<Place>,
}

/// How long, and in which waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Time within the stretch, ns.
    pub(crate) ns: u64,
    /// Of it, time on a CPU: in reclaim, in compaction, in a lock's slow path.
    pub(crate) on_cpu_ns: u64,
    /// Waits that ended within the stretch, with their whole time: how many, by [`diag_common::hist::bucket`].
    pub(crate) waits: BTreeMap<u32, u64>,
    /// The time of those waits, ns.
    pub(crate) waits_ns: u64,
    /// The longest of them, ns: of its bucket's mean where only the bucket is known.
    pub(crate) longest_ns: u64,
}

/// What the threads of a group did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Threads that were in the group when the stretch began.
    pub(crate) present_count: u64,
    /// Threads that were born in it, or moved to it, within the stretch.
    pub(crate) joined_count: u64,
    /// The time for which they were in it, together, ns: from births, deaths and moves alone.
    pub(crate) thread_ns: u64,
    /// What that time was spent on.
    pub(crate) parts: HashMap<Part, Spent>,
    /// Who had what its threads waited for, ns; of waits that ended within the stretch, with their whole time.
    pub(crate) culprits: HashMap<(Resource, Key), u64>,
}

/// What was counted in a stretch of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Harvest {
    /// By group.
    pub(crate) groups: HashMap<Key, Account>,
    /// The names of processes and threads that are groups, or culprits.
    pub(crate) names: HashMap<Key, Vec<u8>>,
    /// The longest waits of the class `lost`, longest first: at most [`LONGEST`].
    pub(crate) longest: Vec<Longest>,
    /// Sampled stacks of waits, and the time that each stands for, ns.
    pub(crate) stacks: HashMap<Sampled, u64>,
    /// Memory that cgroups took.
    pub(crate) taken: Taken,
    /// Time of earlier stretches that turned out to belong to another part.
    pub(crate) late: Vec<Late>,
}

/// Time that an earlier stretch has in another part than the one that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late {
    pub(crate) key: Key,
    /// Where it stands, and where it belongs.
    pub(crate) from: Part,
    pub(crate) to: Part,
    pub(crate) ns: u64,
}

/// A stack at which threads of a group slept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sampled {
    /// The group.
    pub(crate) key: Key,
    /// What it was for, and where.
    pub(crate) part: Part,
    /// Functions, innermost first.
    pub(crate) functions: Rc<[String]>,
}

/// Waits that are kept one by one.
pub(crate) const LONGEST: usize = 200;

/// A wait that lasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Longest {
    /// The group that it counts for.
    pub(crate) key: Key,
    /// Process and thread.
    pub(crate) tgid: u32,
    pub(crate) tid: u32,
    /// The thread's name.
    pub(crate) comm: Vec<u8>,
    /// Its cgroup's id.
    pub(crate) cgroup: u64,
    /// When the thread started, ns since boot; 0 where that is not known.
    pub(crate) start_ns: u64,
    /// How long it has lasted, ns.
    pub(crate) ns: u64,
    /// Why, and where.
    pub(crate) part: Part,
    /// Functions, innermost first; empty where no stack was taken.
    pub(crate) stack: Vec<String>,
    /// Whether it had not ended when the stretch did.
    pub(crate) open: bool,
}

impl Harvest {
    /// Adds the stretch that follows.
    pub(crate) fn add(&mut self, more: &Harvest) {
        self.names.extend(more.names.iter().map(|(key, name)| (*key, name.clone())));
        for (key, account) in &more.groups {
            match self.groups.get_mut(key) {
                Some(known) => known.add(account),
                None => {
                    self.groups.insert(*key, account.clone());
                }
            }
        }
        for (stack, ns) in &more.stacks {
            *self.stacks.entry(stack.clone()).or_default() += ns;
        }
        for (folder, &(bytes, key)) in &more.taken {
            let taken = self.taken.entry(folder.clone()).or_default();
            *taken = (taken.0 + bytes, key.or(taken.1));
        }
        for late in &more.late {
            self.correct(*late);
        }
        // What was still open then has ended since, or is open again.
        self.longest.retain(|wait| !wait.open);
        self.longest.extend_from_slice(&more.longest);
        self.longest.sort_by_key(|wait| std::cmp::Reverse(wait.ns));
        self.longest.truncate(LONGEST);
    }

    fn correct(&mut self, late: Late) {
        let Some(account) = self.groups.get_mut(&late.key) else { return };
        let Some(from) = account.parts.get_mut(&late.from) else { return };
        let ns = late.ns.min(from.ns);
        from.ns -= ns;
        account.parts.entry(late.to).or_default().ns += ns;
    }
}

impl Account {
    /// Distinct threads that were in the group at some time of the stretch; one that left and came back counts twice.
    pub(crate) fn thread_count(&self) -> u64 {
        self.present_count + self.joined_count
    }

    /// Adds another group's account of the same stretch.
    pub(crate) fn merge(&mut self, other: &Account) {
        self.present_count += other.present_count;
        self.add(other);
    }

    fn add(&mut self, more: &Account) {
        self.joined_count += more.joined_count;
        self.thread_ns += more.thread_ns;
        for (part, spent) in &more.parts {
            self.parts.entry(*part).or_default().add(spent);
        }
        for (culprit, ns) in &more.culprits {
            *self.culprits.entry(*culprit).or_default() += ns;
        }
    }
}

impl Spent {
    /// Adds what another stretch, or another group, has.
    pub(crate) fn add(&mut self, more: &Spent) {
        self.ns += more.ns;
        self.on_cpu_ns += more.on_cpu_ns;
        for (&bucket, count) in &more.waits {
            *self.waits.entry(bucket).or_default() += count;
        }
        self.waits_ns += more.waits_ns;
        self.longest_ns = self.longest_ns.max(more.longest_ns);
    }
}
