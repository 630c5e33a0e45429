//! Behind whom a task is stuck, and behind whom that one is, up to one that does not wait.

use std::collections::HashMap;

use diag_common::{
    cause::{Cause, Class},
    hung::{READER_OWNED, SEMAPHORE, Sleeper, VFORKED},
};

use super::{
    causes::{self, Served},
    place::Place,
    record::{Link, Relation, StuckPlace},
    servers::{self, Server},
    threads::Threads,
};
use crate::{
    kernel::files::Files,
    output::{
        record::{
            cause::{CauseKeys, CauseOrNull},
            parties::Task,
            state::TaskState,
        },
        text::escape,
    },
};

/// Links that are followed at most.
const LONGEST: usize = 10;

/// A task as far as it is known: who it is, what it does, and what it waits for or is stopped by, if it is.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) sleeper: Sleeper,
    pub(super) task: Task,
    pub(super) state: TaskState,
    pub(super) killable: bool,
    pub(super) stack: Vec<String>,
    pub(super) cause: Option<Cause>,
    pub(super) served: Option<Served>,
    pub(super) place: Place,
}

impl Described {
    /// What it waits for, if it waits rather than is stopped.
    fn waits_for(&self) -> Option<Cause> {
        self.cause.filter(|cause| cause.class() != Class::Stopped)
    }

    fn is_in(&self, functions: &[&str]) -> bool {
        self.stack.iter().any(|function| functions.contains(&function.as_str()))
    }
}

/// Where tasks and their descriptions come from.
pub(super) trait Witness {
    /// A task, whatever it does; none where it is gone.
    fn describe(&mut self, tid: u32) -> Option<Described>;
    /// The thread of a process that is stuck, if one is.
    fn stuck_thread_of(&mut self, pid: u32) -> Option<u32>;
    /// The child that a task waits for in vfork.
    fn vforked_by(&mut self, tid: u32) -> Option<u32>;
    /// Where files are.
    fn files(&mut self) -> &mut Files;
    /// Threads by what they work for.
    fn threads(&mut self) -> &mut Threads;
    /// The processes that serve FUSE file systems.
    fn fuse_servers(&mut self) -> &[Server];
}

/// The next link of a chain, before the task is looked at.
struct Step {
    relation: Relation,
    name: Option<String>,
    tid: Option<u32>,
    /// Where the task's `task_struct` must be: another one can have its id by now.
    task: Option<u64>,
    /// Where to go on where there is no task.
    beyond: Option<(Option<Served>, Place)>,
}

impl Step {
    fn to(relation: Relation, tid: u32) -> Step {
        Step { relation, name: None, tid: Some(tid), task: None, beyond: None }
    }

    fn named(relation: Relation, name: String, tid: Option<u32>) -> Step {
        Step { relation, name: Some(name), tid, task: None, beyond: None }
    }
}

/// What is behind `stuck`, nearest first.
pub(super) fn behind(stuck: &Described, witness: &mut impl Witness) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let mut seen = vec![stuck.sleeper.pid];
    let mut next = step_from(stuck, witness);
    while let Some(step) = next.take().filter(|_| links.len() < LONGEST) {
        let described = step.tid.and_then(|tid| witness.describe(tid));
        let described = described.filter(|found| step.task.is_none_or(|task| task == found.sleeper.task));
        if described.is_none() && step.name.is_none() {
            // Whoever it was is gone.
            break;
        }
        let tid = described.as_ref().map_or(0, |found| found.sleeper.pid);
        let met = seen.iter().position(|&pid| pid == tid && pid != 0);
        let relation = step.relation;
        // A lock's last reader is one of perhaps several: what is known of it alone proves no circle.
        let proven = |from: usize| {
            relation != Relation::Reader && links[from..].iter().all(|link| link.relation != Relation::Reader)
        };
        let deadlock = met.is_some_and(proven);
        next = match (&described, step.beyond) {
            _ if met.is_some() => None,
            (Some(found), _) => step_from(found, witness),
            (None, Some((served, place))) => step_beyond(0, served, &place, witness),
            (None, None) => None,
        };
        links.push(link(relation, step.name, described, deadlock));
        seen.push(tid);
    }
    tell_vias(&mut links);
    links
}

fn link(relation: Relation, name: Option<String>, described: Option<Described>, deadlock: bool) -> Link {
    let waits = described.as_ref().is_some_and(|found| found.waits_for().is_some());
    let place = described.as_ref().filter(|_| waits).map(|found| StuckPlace::from(&found.place));
    let cause = described.as_ref().and_then(|found| found.cause);
    Link {
        relation,
        name,
        state: described.as_ref().map(|found| found.state),
        killable: described.as_ref().map(|found| found.killable),
        stack: described.as_ref().map(|found| found.stack.clone()).filter(|stack| !stack.is_empty()),
        task: described.map(|found| found.task),
        keys: CauseOrNull(cause.map(|cause| CauseKeys { cause, via: None })),
        place: place.unwrap_or_default(),
        deadlock,
    }
}

/// What the end of a chain waits for, or is stopped by, is what all before it wait for at last.
fn tell_vias(links: &mut [Link]) {
    let mut last = None;
    for link in links.iter_mut().rev() {
        if let Some(keys) = &mut link.keys.0 {
            keys.via = last.filter(|&last| last != keys.cause);
            last = last.or(Some(keys.cause));
        }
    }
}

/// What stands behind a task that waits for `cause`, in front of these links.
pub(super) fn via(cause: Cause, links: &[Link]) -> Option<Cause> {
    let last = links.iter().rev().find_map(|link| link.keys.0.map(|keys| keys.cause));
    last.filter(|&last| last != cause)
}

/// Functions that wait for the flusher (fs/fs-writeback.c, 6.18).
const WRITEBACK: &[&str] = &["wb_wait_for_completion", "__writeback_inodes_sb_nr", "writeback_inodes_sb"];

/// Whom a task waits for, if it is known.
fn step_from(of: &Described, witness: &mut impl Witness) -> Option<Step> {
    let cause = of.waits_for()?;
    let Described { sleeper, place, .. } = of;
    if sleeper.lock != 0 {
        let relation = if sleeper.flags & READER_OWNED != 0 || sleeper.lock_kind == SEMAPHORE {
            Relation::Reader
        } else {
            Relation::Holder
        };
        let known = sleeper.owner != 0 && sleeper.owner_pid != 0;
        return known.then(|| Step { task: Some(sleeper.owner), ..Step::to(relation, sleeper.owner_pid) });
    }
    if of.is_in(&["wait_for_vfork_done", "kernel_clone"])
        && let Some(child) = witness.vforked_by(sleeper.pid)
    {
        return Some(Step::to(Relation::VforkChild, child));
    }
    if cause == Cause::Journal {
        return journal(of, witness);
    }
    if of.is_in(WRITEBACK)
        && let Some(flusher) = witness.threads().flusher(place.mount.as_ref().map(|mount| &*mount.number))
        && flusher != sleeper.pid
    {
        return Some(Step::to(Relation::Flusher, flusher));
    }
    match cause {
        Cause::Server | Cause::BlockWait | Cause::Device | Cause::Queue | Cause::BlockThrottle => {
            let step = step_beyond(sleeper.tgid, of.served, place, witness);
            step.filter(|step| step.tid != Some(sleeper.pid))
        }
        _ => None,
    }
}

/// Functions of jbd2 and of the file systems that use it, whose waits for the journal are for its thread. Those for other logs
/// (xfs, btrfs) have nothing to do with it, whichever jbd2 there is.
const OF_JBD2: &[&str] = &["jbd2_", "ext4_", "ocfs2_"];

/// Who writes the journal or log that a task waits for: a thread, or a device's requests where there is none.
fn journal(of: &Described, witness: &mut impl Witness) -> Option<Step> {
    let device = of.place.device_name();
    let of_jbd2 = of.stack.iter().any(|function| OF_JBD2.iter().any(|prefix| function.starts_with(prefix)));
    let thread = match device {
        _ if of_jbd2 => witness.threads().journal(device),
        Some(device) => witness.threads().xfs_log_worker(device),
        None => None,
    };
    match thread {
        // The thread itself waits for its device.
        Some(thread) if thread != of.sleeper.pid => Some(Step::to(Relation::JournalThread, thread)),
        _ if of_jbd2 => None,
        _ => step_beyond(of.sleeper.tgid, None, &of.place, witness),
    }
}

/// Who serves what a process waits for at a place: a server, or the device.
fn step_beyond(
    asking: u32,
    served: Option<Served>,
    place: &Place,
    witness: &mut impl Witness,
) -> Option<Step> {
    match served {
        Some(Served::Fuse) => {
            let mount = place.mount.as_ref();
            let number = mount.map(|mount| &*mount.number);
            let server = servers::fuse(number, asking, witness.fuse_servers());
            // Of its threads, the one that keeps it from serving.
            let thread = server.map(|server| witness.stuck_thread_of(server).unwrap_or(server));
            let name = mount.map(|mount| format!("{} at {}", mount.filesystem, escape(&mount.point)));
            if name.is_none() && thread.is_none() {
                return None;
            }
            Some(Step { relation: Relation::FuseServer, name, tid: thread, task: None, beyond: None })
        }
        Some(Served::Network | Served::Host) => {
            let mount = place.mount.as_ref()?;
            Some(Step::named(Relation::Server, escape(&mount.source), None))
        }
        None => {
            let device = place.device_name().filter(|device| device.starts_with("loop"))?;
            if let Some(worker) = witness.threads().loop_worker(device) {
                return Some(Step::to(Relation::LoopWorker, worker));
            }
            let below = servers::below_loop(device, witness.files())?;
            let served =
                below.mount.as_ref().and_then(|mount| causes::served_by_type(mount.filesystem.as_str()));
            let file = below.file.as_deref().map(escape).unwrap_or_default();
            let name = format!("{device} over {file}");
            Some(Step { beyond: Some((served, below)), ..Step::named(Relation::LoopBacking, name, None) })
        }
    }
}

/// The children that are waited for in vfork, by their parents.
pub(super) fn vforked(sleepers: impl Iterator<Item = Sleeper>) -> HashMap<u32, u32> {
    sleepers.filter(|sleeper| sleeper.flags & VFORKED != 0).map(|child| (child.parent, child.pid)).collect()
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
