//! What was counted in a stretch of time, by group and by cause.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
};

use diag_common::cause::{Cause, Class};

use super::{growth::Taken, place::Place};
use crate::output::{least::least, record::parties::Resource};

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
    /// Groups that are in [`Key::Rest`] by now; one that comes again counts again.
    pub(crate) merged: u64,
    /// The names of processes and threads that are groups, or culprits.
    pub(crate) names: HashMap<Key, Name>,
    /// The longest waits of the class `lost`, longest first: at most [`LONGEST`].
    pub(crate) longest: Vec<Longest>,
    /// Sampled stacks of waits, and the time that each stands for, ns.
    pub(crate) stacks: HashMap<Sampled, u64>,
    /// Memory that cgroups took.
    pub(crate) taken: Taken,
    /// Time of earlier stretches that turned out to belong to another part.
    pub(crate) late: Vec<Late>,
}

/// A process, or a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) comm: Vec<u8>,
    /// When it started, ns since boot; none where that is not known.
    pub(crate) start_ns: Option<u64>,
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
    /// The thread's name, and its process's.
    pub(crate) comm: Vec<u8>,
    pub(crate) process_comm: Vec<u8>,
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

/// Groups, and culprits of a group, from which on the least of them are taken together, to half as many: a long session must not
/// keep every process that there ever was.
const MOST_GROUPS: usize = 4_096;
const MOST_CULPRITS: usize = 512;

impl Harvest {
    /// Adds the stretch that follows, as a part of the same one.
    pub(crate) fn append(&mut self, more: &Harvest) {
        let late = self.take_in(more);
        self.late.extend(late);
    }

    /// Adds the stretch that follows.
    pub(crate) fn add(&mut self, more: &Harvest) {
        self.take_in(more);
    }

    /// Returns what lies before this one's beginning of the time that stands in the wrong part.
    fn take_in(&mut self, more: &Harvest) -> Vec<Late> {
        self.names.extend(more.names.iter().map(|(key, name)| (*key, name.clone())));
        let is_first = self.groups.is_empty();
        for (key, account) in &more.groups {
            match self.groups.get_mut(key) {
                Some(known) => known.add(account),
                None => {
                    // Threads that were there before this stretch are in the rest by now.
                    let present_count = if is_first { account.present_count } else { 0 };
                    self.groups.insert(*key, Account { present_count, ..account.clone() });
                }
            }
        }
        self.merged += more.merged;
        for (stack, ns) in &more.stacks {
            *self.stacks.entry(stack.clone()).or_default() += ns;
        }
        for (folder, &(bytes, key)) in &more.taken {
            let taken = self.taken.entry(folder.clone()).or_default();
            *taken = (taken.0 + bytes, key.or(taken.1));
        }
        let late = more.late.iter().map(|&late| self.correct(late)).filter(|late| late.ns > 0).collect();
        // What was still open then has ended since, or is open again.
        self.longest.retain(|wait| !wait.open);
        self.longest.extend_from_slice(&more.longest);
        self.longest.sort_by_key(|wait| std::cmp::Reverse(wait.ns));
        self.longest.truncate(LONGEST);
        self.shrink();
        late
    }

    /// Puts time where it belongs, and returns what is left of it.
    fn correct(&mut self, mut late: Late) -> Late {
        if let Some(account) = self.groups.get_mut(&late.key)
            && let Some(from) = account.parts.get_mut(&late.from)
        {
            let ns = late.ns.min(from.ns);
            from.ns -= ns;
            account.parts.entry(late.to).or_default().ns += ns;
            late.ns -= ns;
        }
        late
    }

    /// Makes one group of those that lost least, where there are too many.
    fn shrink(&mut self) {
        for account in self.groups.values_mut() {
            account.shrink();
        }
        let less = least(&mut self.groups, MOST_GROUPS, |key, account| {
            (*key == Key::Rest, account.lost_ns(), account.thread_ns)
        });
        if less.is_empty() {
            return;
        }
        for (key, account) in less {
            if key != Key::Rest {
                self.merged += 1;
            }
            self.groups.entry(Key::Rest).or_default().merge(&account);
        }
        let kept = |key| if self.groups.contains_key(&key) { key } else { Key::Rest };
        self.longest.iter_mut().for_each(|wait| wait.key = kept(wait.key));
        for (stack, ns) in std::mem::take(&mut self.stacks) {
            *self.stacks.entry(Sampled { key: kept(stack.key), ..stack }).or_default() += ns;
        }
        let accounts = self.groups.values();
        let culprits: HashSet<Key> =
            accounts.flat_map(|account| account.culprits.keys().map(|&(_, key)| key)).collect();
        self.names.retain(|key, _| self.groups.contains_key(key) || culprits.contains(key));
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
        self.shrink();
    }

    /// Takes the least culprits together, where there are too many.
    fn shrink(&mut self) {
        for ((resource, _), ns) in
            least(&mut self.culprits, MOST_CULPRITS, |(_, key), ns| (*key == Key::Rest, *ns))
        {
            *self.culprits.entry((resource, Key::Rest)).or_default() += ns;
        }
    }

    /// What it lost, ns.
    fn lost_ns(&self) -> u64 {
        let lost = self.parts.iter().filter(|(part, _)| part.cause.class() == Class::Lost);
        lost.map(|(_, spent)| spent.ns).sum()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::delays::sample::{account, part, time, waits};

    fn name(comm: &[u8]) -> Name {
        Name { comm: comm.to_vec(), start_ns: None }
    }

    fn one(pid: u32) -> Harvest {
        let lost = waits(1, 2 + u64::from(pid == 77));
        let mut counted =
            account(1, [(part(Cause::Runqueue, None), lost), (part(Cause::Run, None), time(5))]);
        counted.culprits.insert((Resource::Cpu, Key::Process(pid + 1)), 2);
        Harvest {
            groups: [(Key::Process(pid), counted)].into(),
            names: [(Key::Process(pid), name(b"x")), (Key::Process(pid + 1), name(b"y"))].into(),
            ..Harvest::default()
        }
    }

    #[test]
    fn many_short_processes_are_added_up_and_forgotten() {
        let mut total = Harvest::default();
        (0..20_000).for_each(|pid| total.add(&one(pid)));
        assert!(total.groups.len() <= MOST_GROUPS + 1, "{} groups", total.groups.len());
        assert!(total.groups.contains_key(&Key::Process(77)), "what lost most stays");
        assert_eq!(total.merged + total.groups.len() as u64 - 1, 20_000);
        let thread_ns: u64 = total.groups.values().map(|account| account.thread_ns).sum();
        assert_eq!(thread_ns, 20_000 * 7 + 1);
        let rest = &total.groups[&Key::Rest];
        assert!(rest.culprits.len() <= MOST_CULPRITS + 1);
        assert_eq!(rest.culprits.values().sum::<u64>(), 2 * total.merged);
        assert!(total.names.len() <= 2 * MOST_GROUPS + MOST_CULPRITS, "{} names", total.names.len());
    }

    #[test]
    fn threads_of_a_forgotten_group_are_counted_once() {
        let mut total = one(1);
        total.groups.insert(Key::Process(2), account(3, []));
        // Its threads were there when the first stretch began, and are there still.
        let again = total.groups.remove(&Key::Process(2)).unwrap();
        total.groups.entry(Key::Rest).or_default().merge(&again);
        total.add(&Harvest { groups: [(Key::Process(2), again)].into(), ..Harvest::default() });
        assert_eq!(total.groups.values().map(Account::thread_count).sum::<u64>(), 4);
    }

    #[test]
    fn what_belongs_elsewhere_is_moved_once_and_the_rest_kept_for_earlier_records() {
        let mut total = one(1);
        let late = |ns| {
            let (from, to) = (part(Cause::Run, None), part(Cause::Device, None));
            let late = vec![Late { key: Key::Process(1), from, to, ns }];
            Harvest { late, ..Harvest::default() }
        };
        total.append(&late(7));
        let parts = &total.groups[&Key::Process(1)].parts;
        assert_eq!((parts[&part(Cause::Run, None)].ns, parts[&part(Cause::Device, None)].ns), (0, 5));
        assert_eq!(total.late.iter().map(|late| late.ns).collect::<Vec<_>>(), [2]);
    }
}
