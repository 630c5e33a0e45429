//! What was counted, by group: identities folded into what `--by` asks for.

use std::collections::{BTreeMap, HashMap};

use diag_common::{
    runq::{Cell, who},
    who::Who,
};

use super::args::By;
use crate::output::least::least;

/// What a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Threads of one name.
    Comm([u64; 2]),
    /// A process.
    Process(u32),
    /// A thread, and its process.
    Thread(u32, u32),
    /// A cgroup.
    Cgroup(u64),
    /// A CPU.
    Cpu(u32),
    /// All that found no room: threads whose identity is not known, and groups beyond `--top`.
    Rest,
}

/// What had a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Runner {
    /// A thread.
    Thread(Who),
    /// Nothing.
    Idle,
    /// Interrupts.
    Irq,
    /// The hypervisor.
    Steal,
}

/// How long somebody had a CPU that others waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Had {
    /// Altogether, ns.
    pub(crate) ns: u64,
    /// While its own kind waited for it, ns: of its own process, or its own group.
    pub(crate) own_ns: u64,
}

impl Had {
    /// Adds more.
    pub(crate) fn add(&mut self, more: Had) {
        self.ns += more.ns;
        self.own_ns += more.own_ns;
    }
}

/// Groups of a harvest, culprits of a group and members of a group from which on the least of them are taken together, to half
/// as many: a long session must not keep every process that there ever was.
const MOST_GROUPS: usize = 4096;
const MOST_CULPRITS: usize = 512;
const MOST_MEMBERS: usize = 64;

/// What is known of a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// Its waits, by [`diag_common::hist::bucket`].
    pub(crate) waits: BTreeMap<u32, Cell>,
    /// Time under a CPU quota, ns.
    pub(crate) throttled_ns: u64,
    /// Time that it ran, ns.
    pub(crate) run_ns: u64,
    /// Of its waits, the time from being woken to being queued, ns.
    pub(crate) wake_ns: u64,
    /// What had the CPU while it waited.
    pub(crate) culprits: HashMap<Runner, Had>,
    /// Threads among them that are not kept one by one.
    pub(crate) more: More,
    /// Who is in it, and how long each waited or ran, ns.
    pub(crate) members: HashMap<Who, u64>,
}

/// What is taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct More {
    /// How many; one that comes again counts again.
    pub(crate) count: u64,
    /// What they had.
    pub(crate) had: Had,
}

impl Group {
    /// Adds waits of one bucket.
    pub(crate) fn add_waits(&mut self, bucket: u32, more: Cell) {
        *self.waits.entry(bucket).or_default() += more;
    }

    /// Adds what another has.
    pub(crate) fn merge(&mut self, other: &Group) {
        for (&bucket, &more) in &other.waits {
            self.add_waits(bucket, more);
        }
        self.throttled_ns += other.throttled_ns;
        self.run_ns += other.run_ns;
        self.wake_ns += other.wake_ns;
        for (&runner, &had) in &other.culprits {
            self.culprits.entry(runner).or_default().add(had);
        }
        for (&member, ns) in &other.members {
            *self.members.entry(member).or_default() += ns;
        }
        self.more.count += other.more.count;
        self.more.had.add(other.more.had);
        self.shrink();
    }

    /// Takes the least culprits together, and forgets the least members, where there are too many.
    fn shrink(&mut self) {
        for (runner, had) in least(&mut self.culprits, MOST_CULPRITS, |_, had| had.ns) {
            match runner {
                Runner::Thread(_) => {
                    self.more.count += 1;
                    self.more.had.add(had);
                }
                other => {
                    self.culprits.insert(other, had);
                }
            }
        }
        least(&mut self.members, MOST_MEMBERS, |_, &ns| ns);
    }

    /// What it lost: waiting, and time under a quota, ns.
    fn lost_ns(&self) -> u64 {
        self.waits.values().map(|cell| cell.ns).sum::<u64>() + self.throttled_ns
    }
}

/// What a CPU did.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuCount {
    /// Context switches.
    pub(crate) switches: u64,
    /// Time that a task ran, ns.
    pub(crate) busy_ns: u64,
    /// Time that none did, ns.
    pub(crate) idle_ns: u64,
    /// Time in interrupts, ns.
    pub(crate) irq_ns: u64,
    /// Time that the hypervisor took, ns; none where the kernel does not say.
    pub(crate) steal_ns: Option<u64>,
    /// How many waits ended on it, by bucket.
    pub(crate) bins: BTreeMap<u32, u64>,
    /// Their time, ns.
    pub(crate) delay_ns: u64,
    /// The shortest and the longest of them, ns.
    pub(crate) bounds: Option<(u64, u64)>,
}

impl CpuCount {
    /// Adds what another has.
    pub(crate) fn merge(&mut self, other: &CpuCount) {
        self.switches += other.switches;
        self.busy_ns += other.busy_ns;
        self.idle_ns += other.idle_ns;
        self.irq_ns += other.irq_ns;
        self.steal_ns = match (self.steal_ns, other.steal_ns) {
            (Some(mine), Some(theirs)) => Some(mine + theirs),
            (mine, theirs) => mine.or(theirs),
        };
        for (&bucket, more) in &other.bins {
            *self.bins.entry(bucket).or_default() += more;
        }
        self.delay_ns += other.delay_ns;
        self.bounds = match (self.bounds, other.bounds) {
            (Some((low, high)), Some((lower, higher))) => Some((low.min(lower), high.max(higher))),
            (mine, theirs) => mine.or(theirs),
        };
    }
}

/// What was counted in one epoch, or in several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Harvest {
    /// By what `--by` asks for.
    pub(crate) groups: HashMap<Key, Group>,
    /// Groups that are in [`Key::Rest`] by now; one that comes again counts again.
    pub(crate) merged: u64,
    /// By CPU.
    pub(crate) cpus: BTreeMap<u32, CpuCount>,
}

impl Harvest {
    /// Adds a later epoch.
    pub(crate) fn add(&mut self, epoch: &Harvest) {
        for (key, group) in &epoch.groups {
            self.groups.entry(*key).or_default().merge(group);
        }
        self.merged += epoch.merged;
        for (cpu, count) in &epoch.cpus {
            self.cpus.entry(*cpu).or_default().merge(count);
        }
        let less = least(&mut self.groups, MOST_GROUPS, |key, group| {
            // CPUs are never too many, and all others have one group.
            (matches!(key, Key::Rest | Key::Cpu(_)), group.lost_ns(), group.run_ns)
        });
        for (key, group) in less {
            if matches!(key, Key::Rest | Key::Cpu(_)) {
                self.groups.insert(key, group);
            } else {
                self.merged += 1;
                self.groups.entry(Key::Rest).or_default().merge(&group);
            }
        }
    }
}

/// Identities by their numbers.
#[derive(Default)]
pub(crate) struct Names(pub(crate) HashMap<u32, Who>);

impl Names {
    /// The group that somebody belongs to.
    pub(crate) fn group(&self, by: By, number: u32) -> Key {
        let Some(identity) = self.0.get(&number) else { return Key::Rest };
        match by {
            By::Comm => Key::Comm(identity.comm),
            By::Process => Key::Process(identity.tgid),
            By::Thread => Key::Thread(identity.tid, identity.tgid),
            By::Cgroup => Key::Cgroup(identity.cgroup),
            By::Cpu => Key::Rest,
        }
    }

    /// What it is that had a CPU; none where that is not known.
    pub(crate) fn runner(&self, number: u32) -> Option<Runner> {
        match number {
            who::IDLE => Some(Runner::Idle),
            who::IRQ => Some(Runner::Irq),
            who::STEAL => Some(Runner::Steal),
            _ => self.0.get(&number).map(|&identity| Runner::Thread(identity)),
        }
    }

    /// Whether one who had a CPU is of the kind of one who waited for it: by cgroup of the same cgroup, else of the same
    /// process. A name says nothing of that.
    pub(crate) fn is_own(&self, by: By, waiter: u32, runner: u32) -> bool {
        let both = self.0.get(&waiter).zip(self.0.get(&runner));
        both.is_some_and(|(waiter, runner)| match by {
            By::Cgroup => waiter.cgroup == runner.cgroup,
            By::Comm | By::Process | By::Thread | By::Cpu => waiter.tgid == runner.tgid,
        })
    }

    /// Who somebody is.
    pub(crate) fn who(&self, number: u32) -> Option<Who> {
        self.0.get(&number).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(tgid: u32, comm: u64, cgroup: u64) -> Who {
        Who { tgid, tid: tgid + 1, cgroup, comm: [comm, 0] }
    }

    #[test]
    fn identities_fold_into_what_was_asked_for() {
        let names = Names([(8193, identity(7, 1, 5)), (16385, identity(8, 1, 6))].into());
        assert_eq!(names.group(By::Comm, 8193), names.group(By::Comm, 16385));
        assert_ne!(names.group(By::Process, 8193), names.group(By::Process, 16385));
        assert_eq!(names.group(By::Thread, 8193), Key::Thread(8, 7));
        assert_eq!(names.group(By::Cgroup, 16385), Key::Cgroup(6));
        assert_eq!(names.group(By::Comm, who::UNKNOWN), Key::Rest);
        assert_eq!(names.runner(who::IDLE), Some(Runner::Idle));
        assert_eq!(names.runner(who::UNKNOWN), None);
    }

    #[test]
    fn a_name_makes_nobody_kin() {
        let names = Names([(11, identity(7, 1, 5)), (12, identity(8, 1, 5)), (13, identity(7, 2, 6))].into());
        for (by, process, cgroup) in
            [(By::Comm, true, false), (By::Thread, true, false), (By::Cgroup, false, true)]
        {
            assert_eq!((names.is_own(by, 11, 13), names.is_own(by, 11, 12)), (process, cgroup), "{by:?}");
        }
        assert!(
            !names.is_own(By::Comm, 11, who::IDLE) && !names.is_own(By::Comm, who::UNKNOWN, who::UNKNOWN)
        );
    }

    #[test]
    fn epochs_add_up() {
        let mut group = Group { run_ns: 5, throttled_ns: 1, ..Group::default() };
        group.add_waits(3, Cell { count: 2, ns: 6 });
        group.culprits.insert(Runner::Idle, Had { ns: 6, own_ns: 0 });
        let epoch = Harvest { groups: [(Key::Process(1), group)].into(), ..Harvest::default() };
        let mut total = Harvest::default();
        total.add(&epoch);
        total.add(&epoch);
        let sum = &total.groups[&Key::Process(1)];
        assert_eq!(sum.waits[&3], Cell { count: 4, ns: 12 });
        assert_eq!((sum.run_ns, sum.throttled_ns), (10, 2));
        assert_eq!(sum.culprits[&Runner::Idle].ns, 12);
    }

    #[test]
    fn many_short_processes_are_added_up_and_forgotten() {
        let mut total = Harvest::default();
        for pid in 0..20_000 {
            let mut group = Group { run_ns: 3, ..Group::default() };
            group.add_waits(3, Cell { count: 1, ns: 2 + u64::from(pid == 77) });
            group.culprits.insert(Runner::Idle, Had { ns: 1, own_ns: 0 });
            group.culprits.insert(Runner::Thread(identity(pid + 1, 1, 1)), Had { ns: 1, own_ns: 1 });
            total.add(&Harvest { groups: [(Key::Process(pid), group)].into(), ..Harvest::default() });
        }
        assert!(total.groups.len() <= MOST_GROUPS + 1, "{} groups", total.groups.len());
        assert!(total.groups.contains_key(&Key::Process(77)), "who lost most stays");
        assert_eq!(total.merged + total.groups.len() as u64 - 1, 20_000);
        let sum = |of: fn(&Group) -> u64| total.groups.values().map(of).sum::<u64>();
        assert_eq!((sum(|group| group.run_ns), sum(Group::lost_ns)), (60_000, 40_001));
        let rest = &total.groups[&Key::Rest];
        assert!(rest.culprits.len() <= MOST_CULPRITS + 1);
        let had: u64 = rest.culprits.values().map(|had| had.ns).sum::<u64>() + rest.more.had.ns;
        assert_eq!((had, rest.more.had.own_ns > 0), (2 * total.merged, true));
    }
}
