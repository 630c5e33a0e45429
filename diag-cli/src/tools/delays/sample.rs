//! Built groups and waits, for tests.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use diag_common::{cause::Cause, hist};

use super::{
    args::{By, Sort},
    harvest::{Account, Harvest, Key, Longest, Part, Spent},
    model::{Wanted, groups},
    naming::Naming,
    place::Place,
    record::{Delays, Group, Pressure},
    verdict::{Found, verdict},
};
use crate::output::record::parties::{self, Container, GroupType, Resource};

/// A millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// How long built sessions last.
pub(super) const LASTED: Duration = Duration::from_secs(10);

/// A thread's name as the kernel side has it.
pub(super) fn comm(text: &str) -> [u64; 2] {
    let mut bytes = [0; 16];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    std::array::from_fn(|half| u64::from_ne_bytes(std::array::from_fn(|at| bytes[8 * half + at])))
}

pub(super) fn part(cause: Cause, place: Option<Place>) -> Part {
    Part { cause, via: None, place }
}

/// So many waits of so long each.
pub(super) fn waits(count: u64, each_ns: u64) -> Spent {
    Spent {
        ns: count * each_ns,
        on_cpu_ns: 0,
        waits: BTreeMap::from([(hist::bucket(each_ns), count)]),
        waits_ns: count * each_ns,
        longest_ns: each_ns,
    }
}

/// Time that is no wait.
pub(super) fn time(ns: u64) -> Spent {
    Spent { ns, ..Spent::default() }
}

/// So many threads that spent their time so.
pub(super) fn account(threads: u64, parts: impl IntoIterator<Item = (Part, Spent)>) -> Account {
    let mut account = Account { present_count: threads, ..Account::default() };
    account.parts.extend(parts);
    account.thread_ns = account.parts.values().map(|spent| spent.ns).sum();
    account
}

/// A wait of a thread of a group.
pub(super) fn wait(key: Key, tgid: u32, ns: u64) -> Longest {
    Longest {
        key,
        tgid,
        tid: tgid + 1,
        comm: b"worker".to_vec(),
        process_comm: b"service".to_vec(),
        cgroup: 1,
        start_ns: 0,
        ns,
        part: part(Cause::Device, Some(Place::Call("pread64"))),
        stack: vec!["io_schedule".to_owned(), "filemap_read".to_owned()],
        open: false,
    }
}

/// The groups of a record of what was counted by name.
pub(super) fn listed(harvest: &Harvest) -> Vec<Group> {
    let wanted = Wanted { top: 100, sort: Sort::Lost };
    groups(harvest, wanted, &mut Naming::new(By::Comm, &mut None)).listed
}

fn alone(key: Key, account: Account, longest: Vec<Longest>) -> Group {
    let harvest = Harvest { groups: [(key, account)].into(), longest, ..Harvest::default() };
    listed(&harvest).remove(0)
}

/// Who had the CPU for how long.
pub(super) fn had_cpu(times: impl IntoIterator<Item = (Key, u64)>) -> HashMap<(Resource, Key), u64> {
    times.into_iter().map(|(key, ns)| ((Resource::Cpu, key), ns)).collect()
}

/// A container that waits for its disk.
pub(super) fn web() -> Group {
    let read = Some(Place::Call("pread64"));
    let behind_device = Part { via: Some(Cause::Device), ..part(Cause::Journal, Some(Place::Call("fsync"))) };
    let mut account = account(
        12,
        [
            (part(Cause::Device, read), waits(400, 12 * MS)),
            (part(Cause::Device, Some(Place::Fault)), waits(100, 3 * MS)),
            (behind_device, waits(20, 25 * MS)),
            (part(Cause::Runqueue, None), waits(9_000, 50_000)),
            (part(Cause::Run, None), time(3_900 * MS)),
            (part(Cause::Socket, Some(Place::Call("recvfrom"))), waits(5_000, 4 * MS)),
            (part(Cause::UserLock, Some(Place::Call("futex"))), waits(100, 100 * MS)),
            (part(Cause::Poll, Some(Place::Call("epoll_wait"))), waits(1_200, 60 * MS)),
        ],
    );
    account.culprits = had_cpu([(Key::Comm(comm("batch\x1b")), 300 * MS), (Key::Kernel, 20 * MS)]);
    let key = Key::Comm(comm("web"));
    let open = Longest { open: true, ns: 2_500 * MS, ..wait(key, 40, 0) };
    let mut group = alone(key, account, vec![open, wait(key, 30, 80 * MS)]);
    let container = Container { id: "3f2a".repeat(16), name: Some("web".to_owned()), ..Container::default() };
    group.group = parties::Group {
        container: Some(container),
        cgroup: Some(format!("/system.slice/docker-{}.scope", "3f2a".repeat(16))),
        cgroup_id: Some(4711),
        ..parties::Group::of(GroupType::Container)
    };
    group.pressure = Some(Pressure {
        cpu_some_ns: Some(120 * MS),
        memory_some_ns: Some(0),
        memory_full_ns: Some(0),
        io_some_ns: Some(4_100 * MS),
        io_full_ns: None,
    });
    group
}

/// A unit whose threads want more than its CPUs.
pub(super) fn busy() -> Group {
    let mut account = account(
        4,
        [
            (part(Cause::Run, None), time(19_000 * MS)),
            (part(Cause::Runqueue, None), waits(5_000, 4 * MS)),
            (part(Cause::Timer, Some(Place::Call("clock_nanosleep"))), waits(10, 100 * MS)),
        ],
    );
    let key = Key::Comm(comm("batch.service"));
    account.culprits = had_cpu([(key, 19_000 * MS), (Key::Kernel, 200 * MS)]);
    let mut group = alone(key, account, vec![]);
    let own = group.group.clone();
    group.group = parties::Group {
        cgroup: Some("/system.slice/batch.service".to_owned()),
        cgroup_id: Some(12),
        ..parties::Group::of(GroupType::Unit)
    };
    for culprit in group.culprits.iter_mut().filter(|culprit| culprit.group.as_ref() == Some(&own)) {
        culprit.group = Some(group.group.clone());
    }
    group
}

/// A group that lost nothing to speak of.
pub(super) fn calm(name: &str) -> Group {
    let parts = [
        (part(Cause::Poll, Some(Place::Call("ppoll"))), waits(1, 9_990 * MS)),
        (part(Cause::Run, None), time(9 * MS)),
        (part(Cause::Runqueue, None), waits(10, 100_000)),
    ];
    alone(Key::Comm(comm(name)), account(1, parts), vec![])
}

/// A group of threads of one name, in a few words.
pub(crate) struct Sketch {
    pub(crate) name: &'static str,
    /// Cause, what is behind it, its time, and how long each wait was.
    pub(crate) parts: Vec<(Cause, Option<Cause>, u64, u64)>,
    /// Who had what it waited for, and for how long.
    pub(crate) had: Vec<(Resource, &'static str, u64)>,
}

/// The groups of a record of what is sketched.
pub(crate) fn sketched(sketches: &[Sketch]) -> Vec<Group> {
    let key = |name: &str| Key::Comm(comm(name));
    let one = |sketch: &Sketch| {
        let parts = sketch.parts.iter().map(|&(cause, via, ns, each_ns)| {
            let spent = if cause == Cause::Run { time(ns) } else { waits(ns / each_ns, each_ns) };
            (Part { via, ..part(cause, None) }, spent)
        });
        let mut account = account(1, parts);
        account.culprits = sketch.had.iter().map(|&(what, who, ns)| ((what, key(who)), ns)).collect();
        (key(sketch.name), account)
    };
    let long = |sketch: &Sketch| {
        let (key, lasts) = (key(sketch.name), |&&(cause, _, _, each_ns): &&(Cause, _, u64, u64)| {
            cause.class() == diag_common::cause::Class::Lost && each_ns >= 1_000 * MS
        });
        let longest = sketch.parts.iter().filter(lasts);
        longest
            .map(|&(cause, via, _, ns)| Longest {
                part: Part { via, ..part(cause, None) },
                open: true,
                ..wait(key, 7, ns)
            })
            .collect::<Vec<_>>()
    };
    listed(&Harvest {
        groups: sketches.iter().map(one).collect(),
        longest: sketches.iter().flat_map(long).collect(),
        ..Harvest::default()
    })
}

/// The verdict on groups of ten seconds.
pub(super) fn judged(groups: &[Group]) -> crate::output::record::verdict::Verdict {
    verdict(Found { groups, lasted: LASTED, slow: Duration::from_millis(10), divisible: true })
}

/// A record of groups.
pub(super) fn body(groups: Vec<Group>) -> Delays {
    let verdict = judged(&groups);
    Delays { groups, groups_omitted: parties::Omitted { count: 0, ns: Some(0) }, verdict }
}
