//! Identities as records name them.

use std::{cmp::Reverse, collections::HashMap};

use diag_common::who::{self, Who};

use super::group::{Group, Key};
use crate::{
    output::{
        record::parties::{self, Basis, Culprit, GroupType, Resource, Task},
        text::escape,
        units::share,
    },
    target::CgroupNames,
};

/// The group of a key.
pub(super) fn party(key: Key, group: &Group, cgroups: &mut Option<&mut CgroupNames>) -> parties::Group {
    let of = parties::Group::of;
    let name = || {
        let mut names: HashMap<[u64; 2], u64> = HashMap::new();
        for (member, ns) in &group.members {
            *names.entry(member.comm).or_default() += ns;
        }
        let longest = names.into_iter().max_by_key(|&(name, ns)| (ns, Reverse(name)));
        longest.map(|(name, _)| comm(name))
    };
    match key {
        Key::Comm(name) => parties::Group { comm: Some(comm(name)), ..of(GroupType::Comm) },
        Key::Process(pid) => parties::Group { pid: Some(pid), comm: name(), ..of(GroupType::Process) },
        Key::Thread(tid, pid) => {
            parties::Group { pid: Some(pid), tid: Some(tid), comm: name(), ..of(GroupType::Thread) }
        }
        Key::Cgroup(id) => match cgroups.as_deref_mut() {
            Some(names) => names.cgroup(id),
            None => parties::Group { cgroup_id: Some(id), ..of(GroupType::Cgroup) },
        },
        Key::Cpu(_) => of(GroupType::Cpu),
        Key::Rest => of(GroupType::Rest),
    }
}

/// A task that had a CPU for `ns` of the time `of` that a group waited.
pub(super) fn culprit(who: &Who, ns: u64, of: u64, cgroups: &mut Option<&mut CgroupNames>) -> Culprit {
    Culprit {
        resource: Resource::Cpu,
        basis: Basis::Overlap,
        group: None,
        task: Some(task(who, cgroups)),
        ns,
        share: share(ns, of),
    }
}

/// A task, or all threads of one name in a process.
pub(super) fn task(who: &Who, cgroups: &mut Option<&mut CgroupNames>) -> Task {
    let home = cgroups.as_deref_mut().map(|names| names.home(who.cgroup)).unwrap_or_default();
    Task {
        pid: Some(who.tgid),
        tid: (who.tid != 0).then_some(who.tid),
        comm: Some(comm(who.comm)),
        cgroup: home.cgroup,
        container: home.container,
        ..Task::default()
    }
}

/// A thread's name, for a record.
fn comm(halves: [u64; 2]) -> String {
    escape(&who::name(halves))
}
