//! Waits and chains in words.

use diag_common::cause::{Cause, Class};

use super::record::{Link, Relation, StuckPlace, StuckTask};
use crate::output::{
    causes::noun,
    record::{
        parties::{Device, Task},
        state::TaskState,
    },
};

/// What a state means to whoever waits for the task; its waits are not said here.
pub(super) fn state(state: TaskState) -> &'static str {
    match state {
        TaskState::Running => "it runs, or waits for a CPU",
        TaskState::Sleeping => "it sleeps, and can be woken",
        TaskState::Uninterruptible => "it sleeps uninterruptibly",
        TaskState::Stopped => "it is stopped",
        TaskState::Traced => "a tracer has stopped it",
        TaskState::Frozen => "the freezer holds it",
        TaskState::Dead => "it is dead",
        TaskState::Idle => "it is idle",
        TaskState::Parked => "it is parked",
    }
}

/// A state as ps(1) shows it, where it does.
pub(super) fn letter(state: TaskState) -> &'static str {
    match state {
        TaskState::Running => "R",
        TaskState::Sleeping => "S",
        TaskState::Uninterruptible => "D",
        TaskState::Stopped => "T",
        TaskState::Traced => "t",
        TaskState::Frozen => "frozen",
        TaskState::Dead => "dead",
        TaskState::Idle => "I",
        TaskState::Parked => "P",
    }
}

/// What is waited for: `an inode lock (filesystem.inode-lock)`.
pub(super) fn wait(cause: Cause) -> String {
    match cause {
        Cause::OtherWait => "something that its stack does not tell".to_owned(),
        _ => format!("{} ({})", noun(cause), cause.path()),
    }
}

/// Where it waits: `/srv/data/a on loop0 (ext4 at /srv/data)`.
pub(super) fn place(place: &StuckPlace) -> Option<String> {
    let mount = match (&place.filesystem, &place.mount) {
        (Some(filesystem), Some(mount)) => Some(format!("{filesystem} at {mount}")),
        _ => None,
    };
    let on = match (place.device.as_ref().map(Device::label), mount) {
        (Some(device), Some(mount)) => Some(format!("{device} ({mount})")),
        (Some(device), None) => Some(device.to_owned()),
        (None, mount) => mount,
    };
    match (&place.file, on) {
        (Some(file), Some(on)) => Some(format!("{file} on {on}")),
        (Some(file), None) => Some(file.clone()),
        (None, on) => on,
    }
}

/// What somebody is to whoever waits for them, to stand before their name.
pub(super) fn relation(relation: Relation) -> &'static str {
    match relation {
        Relation::Holder => "held by",
        Relation::Reader => "last taken by (others may hold it too)",
        Relation::JournalThread => "written by",
        Relation::Flusher => "written back by",
        Relation::FuseServer => "served by",
        Relation::Server => "served by",
        Relation::LoopWorker => "worked on by",
        Relation::LoopBacking => "is",
        Relation::VforkChild => "until exec or exit of",
    }
}

/// The cgroup of a task, where it tells anything.
pub(super) fn cgroup(task: &Task) -> Option<&str> {
    task.cgroup.as_deref().filter(|&cgroup| cgroup != "/")
}

impl Link {
    /// What it waits for, if it waits rather than is stopped.
    pub(super) fn waits_for(&self) -> Option<Cause> {
        self.keys.0.map(|keys| keys.cause).filter(|cause| cause.class() != Class::Stopped)
    }
}

impl StuckTask {
    /// Whether its chain comes back to itself.
    pub(super) fn is_deadlock(&self) -> bool {
        self.chain.iter().any(|link| link.deadlock)
    }

    /// The last one of the chain that waits: it may be this one.
    pub(super) fn innermost(&self) -> Waiter<'_> {
        let last = self.chain.iter().rev().find_map(|link| {
            Some(Waiter {
                task: link.task.as_ref(),
                cause: link.waits_for()?,
                place: &link.place,
                stack: link.stack.as_deref(),
            })
        });
        last.unwrap_or(Waiter {
            task: Some(&self.task),
            cause: self.keys.cause,
            place: &self.place,
            stack: self.stack.as_deref(),
        })
    }
}

/// A task that waits.
pub(super) struct Waiter<'a> {
    pub(super) task: Option<&'a Task>,
    pub(super) cause: Cause,
    pub(super) place: &'a StuckPlace,
    pub(super) stack: Option<&'a [String]>,
}
