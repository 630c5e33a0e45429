//! One look at the machine: what the iterator has told, and whatever procfs adds to it.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, SystemTime},
};

use diag_common::{
    cause::{Cause, Class},
    hung::{AWAKE, BLOCKED, FROZEN, IOWAIT, Sleeper},
    state,
};

use super::{
    causes,
    chain::{self, Described, Witness},
    place::{self, KTHREADD},
    record::StuckTask,
    scan::{Sleepers, Source},
    servers::Server,
    threads::Threads,
    watch::Sleep,
};
use crate::{
    kernel::{files::Files, procfs},
    output::{
        record::{cause::CauseKeys, parties::Task, state::TaskState},
        text::escape,
    },
    target::CgroupNames,
};

/// One look.
pub(super) struct Scene<'a, S> {
    source: &'a mut S,
    cgroups: Option<&'a mut CgroupNames>,
    sleepers: Sleepers,
    files: Files,
    threads: Threads,
    children: HashMap<u32, u32>,
    /// Tasks that were asked for beside the sleepers; none of one that is gone.
    asked: HashMap<u32, Option<Sleeper>>,
    /// Tasks that chains lead to, and that are still to be asked for.
    wanted: BTreeSet<u32>,
    /// The chain that is being followed leads to one of them.
    leads_to_wanted: bool,
    described: HashMap<u32, Described>,
}

impl<'a, S: Source> Scene<'a, S> {
    /// What the iterator has told just now.
    pub(super) fn new(
        source: &'a mut S,
        cgroups: Option<&'a mut CgroupNames>,
        sleepers: Sleepers,
    ) -> Scene<'a, S> {
        Scene {
            source,
            cgroups,
            children: chain::vforked(sleepers.values().copied()),
            sleepers,
            files: Files::default(),
            threads: Threads::default(),
            asked: HashMap::new(),
            wanted: BTreeSet::new(),
            leads_to_wanted: false,
            described: HashMap::new(),
        }
    }

    /// Stuck tasks, and what is behind each; without those that went on meanwhile. All that the chains lead to is asked for at
    /// once, a link of all chains at a time.
    pub(super) fn stuck(&mut self, tids: &BTreeSet<u32>) -> Vec<(Sleep, StuckTask)> {
        let mut found = Vec::new();
        let mut left: Vec<u32> = tids.iter().copied().collect();
        loop {
            let mut open = Vec::new();
            for tid in left {
                let task = self.stuck_one(tid);
                if self.leads_to_wanted {
                    open.push(tid);
                } else {
                    found.extend(task);
                }
            }
            if open.is_empty() {
                return found;
            }
            let wanted = std::mem::take(&mut self.wanted);
            let told = self.source.ask(&wanted);
            self.asked.extend(wanted.into_iter().map(|tid| (tid, told.get(&tid).copied())));
            left = open;
        }
    }

    fn stuck_one(&mut self, tid: u32) -> Option<(Sleep, StuckTask)> {
        self.leads_to_wanted = false;
        let described = self.describe(tid)?;
        let cause = described.cause.filter(|_| described.state == TaskState::Uninterruptible)?;
        let chain = chain::behind(&described, self);
        let sleep = (tid, described.sleeper.switches);
        let asleep = Duration::from_nanos(described.sleeper.asleep_ns);
        let task = StuckTask {
            place: (&described.place).into(),
            task: described.task,
            state: described.state,
            killable: described.killable,
            stack: Some(described.stack).filter(|stack| !stack.is_empty()),
            blocked_ns: described.sleeper.asleep_ns,
            since: (SystemTime::now() - asleep).into(),
            keys: CauseKeys { cause, via: chain::via(cause, &chain) },
            chain,
            resolved_at: None,
        };
        Some((sleep, task))
    }

    /// A task as far as it is known by now; one that is still to be asked for is not.
    fn sleeper(&mut self, tid: u32) -> Option<Sleeper> {
        if let Some(known) = self.sleepers.get(&tid).filter(|sleeper| sleeper.stack[0] != 0) {
            return Some(*known);
        }
        if let Some(asked) = self.asked.get(&tid) {
            return *asked;
        }
        self.wanted.insert(tid);
        self.leads_to_wanted = true;
        None
    }

    fn look_at(&mut self, sleeper: Sleeper) -> Described {
        let tid = sleeper.pid;
        let name = full_name(&sleeper);
        let stack = self.source.functions(&sleeper);
        let called = String::from_utf8_lossy(&name);
        let place = place::of(&sleeper, &called, &stack, &mut self.files, self.source.reader());
        let filesystem = place.mount.as_ref().map(|mount| mount.filesystem.as_str());
        let mut told = causes::told(&stack, sleeper.lock != 0, sleeper.flags & IOWAIT != 0, filesystem);
        if told.cause == Cause::BlockWait
            && place::is_in_fault(&stack)
            && self.files.has_any(sleeper.tgid, |filesystem| causes::served_by_type(filesystem).is_some())
        {
            // A page of which file is not known: it may as well be one that a server has.
            told.cause = Cause::FsWait;
        }
        if told.cause == Cause::OtherWait && self.children.contains_key(&tid) {
            told.cause = Cause::Child;
        }
        let state = state_of(&sleeper);
        let cause = match state {
            TaskState::Stopped | TaskState::Traced | TaskState::Frozen => stopped(&sleeper),
            TaskState::Uninterruptible => Some(told.cause),
            // Of whoever sleeps interruptibly only what is known to be a wait for somebody else is one.
            TaskState::Sleeping => Some(told.cause).filter(|cause| {
                *cause != Cause::OtherWait && matches!(cause.class(), Class::Lost | Class::Waiting)
            }),
            TaskState::Running | TaskState::Dead | TaskState::Idle | TaskState::Parked => None,
        };
        let home = self.cgroups.as_mut().map(|names| names.home(sleeper.cgroup)).unwrap_or_default();
        let task = Task {
            pid: Some(sleeper.tgid),
            tid: Some(sleeper.pid),
            comm: Some(escape(&name)),
            process_comm: Some(escape(comm(&sleeper.process_comm))),
            start_ns: (sleeper.start_ns != 0).then_some(sleeper.start_ns),
            cgroup: home.cgroup,
            container: home.container,
        };
        let killable = sleeper.state & state::WAKEKILL != 0;
        Described { sleeper, task, state, killable, stack, cause, served: told.served, place }
    }
}

impl<S: Source> Witness for Scene<'_, S> {
    fn describe(&mut self, tid: u32) -> Option<Described> {
        if let Some(described) = self.described.get(&tid) {
            return Some(described.clone());
        }
        let sleeper = self.sleeper(tid)?;
        let described = self.look_at(sleeper);
        self.described.insert(tid, described.clone());
        Some(described)
    }

    fn stuck_thread_of(&mut self, pid: u32) -> Option<u32> {
        let of_it =
            self.sleepers.values().filter(|sleeper| sleeper.tgid == pid && sleeper.flags & BLOCKED != 0);
        of_it
            .filter(|sleeper| sleeper.stack[0] != 0)
            .max_by_key(|sleeper| sleeper.asleep_ns)
            .map(|sleeper| sleeper.pid)
    }

    fn vforked_by(&mut self, tid: u32) -> Option<u32> {
        self.children.get(&tid).copied()
    }

    fn files(&mut self) -> &mut Files {
        &mut self.files
    }

    fn threads(&mut self) -> &mut Threads {
        &mut self.threads
    }

    fn fuse_servers(&mut self) -> &[Server] {
        self.threads.fuse_servers(self.source.reader())
    }
}

/// The name of a task; of a worker with what it works on, which only procfs tells.
fn full_name(sleeper: &Sleeper) -> Vec<u8> {
    let kernel_thread = sleeper.parent == KTHREADD;
    let name = || procfs::name(sleeper.tgid.cast_signed(), sleeper.pid.cast_signed());
    let full = kernel_thread.then(name).flatten();
    full.unwrap_or_else(|| comm(&sleeper.comm).to_vec())
}

/// A name as the kernel has it, up to its end: what follows is whatever was there before.
fn comm(bytes: &[u8; 16]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// What stops a task, if it is stopped.
fn stopped(sleeper: &Sleeper) -> Option<Cause> {
    state::stopped(sleeper.state).or((sleeper.flags & FROZEN != 0).then_some(Cause::StoppedFreezer))
}

/// What a task does.
fn state_of(sleeper: &Sleeper) -> TaskState {
    let is = |bits| sleeper.state & bits != 0;
    if sleeper.exit_state & (state::ZOMBIE | state::GONE) != 0 || is(state::DEAD) {
        return TaskState::Dead;
    }
    if sleeper.flags & AWAKE != 0 {
        return TaskState::Running;
    }
    match stopped(sleeper) {
        Some(Cause::StoppedTrace) => TaskState::Traced,
        Some(Cause::StoppedSignal) => TaskState::Stopped,
        Some(_) => TaskState::Frozen,
        None if is(state::UNINTERRUPTIBLE) && is(state::NOLOAD) => TaskState::Idle,
        None if is(state::UNINTERRUPTIBLE | state::RTLOCK) => TaskState::Uninterruptible,
        None if is(state::PARKED) => TaskState::Parked,
        None if is(state::INTERRUPTIBLE) => TaskState::Sleeping,
        None => TaskState::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::procfs::Reader;

    #[test]
    fn states_are_the_kernels() {
        // SAFETY: all of its fields are integers.
        let zero: Sleeper = unsafe { std::mem::zeroed() };
        for (state, exit_state, flags, expected) in [
            (0, 0, 0, TaskState::Running),
            (0x1, 0, 0, TaskState::Sleeping),
            (0x1, 0, FROZEN, TaskState::Frozen),
            (0x2001, 0, 0, TaskState::Sleeping),
            (0x102, 0, 0, TaskState::Uninterruptible),
            (0x2002, 0, 0, TaskState::Uninterruptible),
            (0x2, 0, AWAKE, TaskState::Running),
            (0x1000, 0, 0, TaskState::Uninterruptible),
            (0x402, 0, 0, TaskState::Idle),
            (0x104, 0, 0, TaskState::Stopped),
            (0x108, 0, 0, TaskState::Traced),
            (0x40, 0, 0, TaskState::Parked),
            (0x8000, 0, 0, TaskState::Frozen),
            (0x2, 0, FROZEN, TaskState::Frozen),
            (0x80, 0x20, 0, TaskState::Dead),
        ] {
            let sleeper = Sleeper { state, exit_state, flags, ..zero };
            assert_eq!(state_of(&sleeper), expected, "{state:#x} {flags:#x}");
        }
    }

    /// A machine on which these tasks do not sleep uninterruptibly, and how often it was asked for any.
    #[derive(Default)]
    struct Crowd {
        others: Sleepers,
        passes: u32,
        reader: Reader,
    }

    impl Source for Crowd {
        fn ask(&mut self, tids: &BTreeSet<u32>) -> Sleepers {
            self.passes += 1;
            tids.iter().filter_map(|tid| Some((*tid, *self.others.get(tid)?))).collect()
        }

        fn functions(&mut self, sleeper: &Sleeper) -> Vec<String> {
            vec![format!("function_{}", sleeper.stack[0])]
        }

        fn reader(&mut self) -> &mut Reader {
            &mut self.reader
        }
    }

    /// Ids that no process has.
    const NOBODY: u32 = 1 << 30;

    fn sleeper(number: u32, owner: u32, flags: u32, state: u32) -> (u32, Sleeper) {
        // SAFETY: all of its fields are integers.
        let mut sleeper: Sleeper = unsafe { std::mem::zeroed() };
        let (tid, owner_pid) = (NOBODY + number, NOBODY + owner);
        (sleeper.pid, sleeper.tgid, sleeper.task) = (tid, tid, u64::from(tid));
        (sleeper.lock, sleeper.owner_pid, sleeper.owner) = (1, owner_pid, u64::from(owner_pid));
        (sleeper.flags, sleeper.state, sleeper.stack[0]) = (flags, state, 1);
        (tid, sleeper)
    }

    #[test]
    fn a_crowd_is_asked_for_once_for_each_link_of_its_chains() {
        // Each of 500 stuck tasks waits for a sleeping holder of its own, and that for another.
        let stuck: Sleepers = (0..500).map(|number| sleeper(number, 1000 + number, BLOCKED, 2)).collect();
        let holders = (1000..1500).map(|number| sleeper(number, number + 1000, 0, 1));
        let ends = (2000..2500).map(|number| sleeper(number, number, 0, 0));
        let mut crowd = Crowd { others: holders.chain(ends).collect(), ..Crowd::default() };
        let tids = stuck.keys().copied().collect();
        let found = Scene::new(&mut crowd, None, stuck).stuck(&tids);
        assert_eq!(found.len(), 500);
        for (_, task) in &found {
            let chain: Vec<u32> = task
                .chain
                .iter()
                .filter_map(|link| link.task.as_ref()?.tid)
                .map(|tid| tid - NOBODY)
                .collect();
            let own = task.task.tid.expect("known") - NOBODY;
            assert_eq!(chain, [own + 1000, own + 2000]);
        }
        assert_eq!(crowd.passes, 2);
    }

    #[test]
    fn a_holder_that_is_gone_is_asked_for_once() {
        let stuck: Sleepers = [sleeper(1, 2, BLOCKED, 2)].into();
        let mut crowd = Crowd::default();
        let tids = stuck.keys().copied().collect();
        let found = Scene::new(&mut crowd, None, stuck).stuck(&tids);
        assert!(found[0].1.chain.is_empty());
        assert_eq!(crowd.passes, 1);
    }

    #[test]
    fn a_name_ends_at_its_nul() {
        assert_eq!(comm(b"dd\0kworker/0:1\0\0"), b"dd");
        assert_eq!(comm(b"a-name-of-15-by\0"), b"a-name-of-15-by");
    }
}
