//! Behind whom a task is stuck, and behind whom that one is, up to one that does not wait.

use std::collections::{BTreeSet, HashMap};

use diag_common::hung::{READER_OWNED, SEMAPHORE, Sleeper, VFORKED};

use super::{
    causes::Cause,
    place::Place,
    record::{Behind, Relation, Wait, Who},
    servers::{self, Server},
    threads::Threads,
};
use crate::{kernel::files::Files, output::text::escape};

/// Links that are followed at most.
const LONGEST: usize = 10;

/// A task as far as it is known: who it is, and what it waits for, if it does.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) sleeper: Sleeper,
    pub(super) who: Who,
    pub(super) wait: Option<Wait>,
    pub(super) place: Place,
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
struct Link {
    relation: Relation,
    name: Option<String>,
    tid: Option<u32>,
    /// Where the task's `task_struct` must be, lest another one has its id by now.
    task: Option<u64>,
    /// Where to go on where there is no task.
    place: Option<(Cause, Place)>,
}

impl Link {
    fn to(relation: Relation, tid: u32) -> Link {
        Link { relation, name: None, tid: Some(tid), task: None, place: None }
    }

    fn named(relation: Relation, name: String, tid: Option<u32>) -> Link {
        Link { relation, name: Some(name), tid, task: None, place: None }
    }
}

/// What is behind `stuck`.
pub(super) fn behind(stuck: &Described, witness: &mut impl Witness) -> Option<Box<Behind>> {
    let mut seen = BTreeSet::from([stuck.sleeper.pid]);
    let link = link_of(stuck, witness)?;
    follow(link, witness, &mut seen, LONGEST)
}

fn follow(
    link: Link,
    witness: &mut impl Witness,
    seen: &mut BTreeSet<u32>,
    left: usize,
) -> Option<Box<Behind>> {
    let described = link.tid.and_then(|tid| witness.describe(tid));
    let described = described.filter(|found| link.task.is_none_or(|task| task == found.sleeper.task));
    if described.is_none() && link.name.is_none() {
        // Whoever it was is gone.
        return None;
    }
    let deadlock = described.as_ref().is_some_and(|found| !seen.insert(found.sleeper.pid));
    let next = match (&described, link.place) {
        _ if deadlock || left == 0 => None,
        (Some(found), _) => link_of(found, witness),
        (None, Some((cause, place))) => served(0, cause, &place, witness),
        (None, None) => None,
    };
    let behind = next.and_then(|next| follow(next, witness, seen, left - 1));
    let (who, wait) = described.map_or((None, None), |found| (Some(found.who), found.wait));
    Some(Box::new(Behind { relation: link.relation, name: link.name, who, wait, behind, deadlock }))
}

/// Whom a task waits for, if it is known.
fn link_of(of: &Described, witness: &mut impl Witness) -> Option<Link> {
    let wait = of.wait.as_ref()?;
    let Described { sleeper, place, .. } = of;
    if sleeper.lock != 0 {
        let relation = if sleeper.flags & READER_OWNED != 0 || sleeper.lock_kind == SEMAPHORE {
            Relation::Reader
        } else {
            Relation::Holder
        };
        let known = sleeper.owner != 0 && sleeper.owner_pid != 0;
        return known.then(|| Link { task: Some(sleeper.owner), ..Link::to(relation, sleeper.owner_pid) });
    }
    if of.who.stack.iter().any(|function| function == "wait_for_vfork_done" || function == "kernel_clone")
        && let Some(child) = witness.vforked_by(sleeper.pid)
    {
        return Some(Link::to(Relation::VforkChild, child));
    }
    if wait.cause == Cause::Journal {
        let thread = witness.threads().journal(place.device.as_deref())?;
        // The thread itself waits for what the rest of its stack says.
        return (thread != sleeper.pid).then(|| Link::to(Relation::JournalThread, thread));
    }
    if of.who.stack.iter().any(|function| WRITEBACK.contains(&function.as_str()))
        && let Some(flusher) = witness.threads().flusher(place.mount.as_ref().map(|mount| &*mount.number))
        && flusher != sleeper.pid
    {
        return Some(Link::to(Relation::Flusher, flusher));
    }
    served(sleeper.tgid, wait.cause, place, witness).filter(|link| link.tid != Some(sleeper.pid))
}

/// Functions that wait for the flusher (fs/fs-writeback.c, 6.18).
const WRITEBACK: &[&str] = &["wb_wait_for_completion", "__writeback_inodes_sb_nr", "writeback_inodes_sb"];

/// Who serves what a process waits for.
fn served(asking: u32, cause: Cause, place: &Place, witness: &mut impl Witness) -> Option<Link> {
    match cause {
        Cause::Fuse => {
            let mount = place.mount.as_ref();
            let number = mount.map(|mount| &*mount.number);
            let server = servers::fuse(number, asking, witness.fuse_servers());
            // Of its threads, the one that keeps it from serving.
            let thread = server.map(|server| witness.stuck_thread_of(server).unwrap_or(server));
            let name = mount.map(|mount| format!("{} at {}", mount.filesystem, escape(&mount.point)));
            if name.is_none() && thread.is_none() {
                return None;
            }
            Some(Link { relation: Relation::FuseServer, name, tid: thread, task: None, place: None })
        }
        Cause::NetworkFs => {
            let mount = place.mount.as_ref()?;
            Some(Link::named(Relation::Server, escape(&mount.source), None))
        }
        Cause::Block => {
            let device = place.device.as_deref().filter(|device| device.starts_with("loop"))?;
            if let Some(worker) = witness.threads().loop_worker(device) {
                return Some(Link::to(Relation::LoopWorker, worker));
            }
            let below = servers::below_loop(device, witness.files())?;
            let filesystem = below.mount.as_ref().map(|mount| mount.filesystem.as_str());
            let cause = filesystem.and_then(super::causes::served_by_type).unwrap_or(Cause::Block);
            let file = below.file.as_deref().map(escape).unwrap_or_default();
            let name = format!("{device} over {file}");
            Some(Link { place: Some((cause, below)), ..Link::named(Relation::LoopBacking, name, None) })
        }
        Cause::Lock | Cause::Journal | Cause::Freeze | Cause::Other => None,
    }
}

/// The children that are waited for in vfork, by their parents.
pub(super) fn vforked(sleepers: impl Iterator<Item = Sleeper>) -> HashMap<u32, u32> {
    sleepers.filter(|sleeper| sleeper.flags & VFORKED != 0).map(|child| (child.parent, child.pid)).collect()
}

#[cfg(test)]
mod tests {
    use diag_common::hung::{BLOCKED, MUTEX, RWSEM_READ};

    use super::*;

    /// A machine with these tasks, and nothing else.
    #[derive(Default)]
    struct Machine(HashMap<u32, Described>, Threads, Files);

    impl Witness for Machine {
        fn describe(&mut self, tid: u32) -> Option<Described> {
            self.0.get(&tid).cloned()
        }
        fn stuck_thread_of(&mut self, _pid: u32) -> Option<u32> {
            None
        }
        fn vforked_by(&mut self, tid: u32) -> Option<u32> {
            self.0.values().find(|task| task.sleeper.parent == tid).map(|task| task.sleeper.pid)
        }
        fn files(&mut self) -> &mut Files {
            &mut self.2
        }
        fn threads(&mut self) -> &mut Threads {
            &mut self.1
        }
        fn fuse_servers(&mut self) -> &[Server] {
            &[]
        }
    }

    fn task(tid: u32, sleeper: Sleeper, stack: &str) -> (u32, Described) {
        let waits = sleeper.flags & BLOCKED != 0;
        let who = Who {
            pid: tid,
            tid,
            comm: format!("task{tid}"),
            cgroup: None,
            state: if waits { "D" } else { "R" }.to_owned(),
            killable: false,
            stack: vec![stack.to_owned()],
        };
        let wait = Wait {
            cause: Cause::Lock,
            detail: None,
            file: None,
            device: None,
            filesystem: None,
            mount: None,
        };
        let sleeper = Sleeper { pid: tid, tgid: tid, task: u64::from(tid) << 8, ..sleeper };
        (tid, Described { sleeper, who, wait: waits.then_some(wait), place: Place::default() })
    }

    fn nobody() -> Sleeper {
        // SAFETY: all of its fields are integers.
        unsafe { std::mem::zeroed() }
    }

    fn waits_for(owner: u32, kind: u32, flags: u32) -> Sleeper {
        let flags = BLOCKED | flags;
        Sleeper {
            lock: 0x1000,
            lock_kind: kind,
            owner: u64::from(owner) << 8,
            owner_pid: owner,
            flags,
            ..nobody()
        }
    }

    fn chain_of(tid: u32, tasks: Vec<(u32, Described)>) -> Option<Box<Behind>> {
        let mut machine = Machine(tasks.into_iter().collect(), Threads::default(), Files::default());
        let first = machine.0[&tid].clone();
        behind(&first, &mut machine)
    }

    #[test]
    fn holders_are_followed_to_one_that_does_not_wait() {
        let chain = chain_of(
            1,
            vec![
                task(1, waits_for(2, MUTEX, 0), "fdget_pos"),
                task(2, waits_for(3, RWSEM_READ, READER_OWNED), "down_read"),
                task(3, nobody(), "busy"),
            ],
        );
        let first = chain.expect("it has a holder");
        assert_eq!((first.relation, first.who.as_ref().map(|who| who.tid)), (Relation::Holder, Some(2)));
        let second = first.behind.expect("the holder waits");
        assert_eq!((second.relation, second.who.as_ref().map(|who| who.tid)), (Relation::Reader, Some(3)));
        assert!(second.wait.is_none() && second.behind.is_none() && !second.deadlock);
    }

    #[test]
    fn a_circle_is_a_deadlock_and_ends() {
        let tasks = vec![task(1, waits_for(2, MUTEX, 0), "a"), task(2, waits_for(1, MUTEX, 0), "b")];
        let first = chain_of(1, tasks).expect("it has a holder");
        let second = first.behind.expect("the holder waits");
        assert!(second.deadlock && second.behind.is_none());
        assert_eq!(second.who.map(|who| who.tid), Some(1));
    }

    #[test]
    fn a_thread_that_has_the_id_of_an_owner_that_is_gone_is_not_taken_for_it() {
        let mut stale = waits_for(2, MUTEX, 0);
        stale.owner = 0xdead_0000;
        assert_eq!(chain_of(1, vec![task(1, stale, "a"), task(2, nobody(), "b")]), None);
    }

    #[test]
    fn a_parent_in_vfork_waits_for_its_child() {
        let parent = Sleeper { flags: BLOCKED, ..nobody() };
        let child = Sleeper { parent: 1, ..nobody() };
        let chain = chain_of(1, vec![task(1, parent, "wait_for_vfork_done"), task(2, child, "fifo_open")]);
        assert_eq!(chain.map(|link| link.relation), Some(Relation::VforkChild));
    }
}
