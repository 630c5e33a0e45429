//! One look at the machine: what the iterator has told, and whatever procfs adds to it.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use diag_common::{
    cause::{Cause, Class},
    hung::{AWAKE, BLOCKED, FROZEN, IOWAIT, Sleeper},
};

use super::{
    causes,
    chain::{self, Described, Witness},
    place::{self, KTHREADD},
    record::StuckTask,
    scan::{Scanner, Sleepers},
    servers::Server,
    threads::Threads,
};
use crate::{
    ebpf::object::Object,
    kernel::{files::Files, procfs},
    output::{
        record::{cause::CauseKeys, parties::Task, state::TaskState},
        text::escape,
    },
    target::CgroupNames,
};

/// States of a task (include/linux/sched.h, 6.18).
mod state {
    pub(super) const INTERRUPTIBLE: u32 = 0x1;
    pub(super) const UNINTERRUPTIBLE: u32 = 0x2;
    pub(super) const STOPPED: u32 = 0x4;
    pub(super) const TRACED: u32 = 0x8;
    pub(super) const WAKEKILL: u32 = 0x100;
    pub(super) const DEAD: u32 = 0x80;
    pub(super) const PARKED: u32 = 0x40;
    pub(super) const NOLOAD: u32 = 0x400;
    /// Waits for a lock that is a spinlock without PREEMPT_RT.
    pub(super) const RTLOCK: u32 = 0x1000;
    /// From 6.1 on.
    pub(super) const FROZEN: u32 = 0x8000;
    /// Of `exit_state`.
    pub(super) const ZOMBIE: u32 = 0x20;
    pub(super) const GONE: u32 = 0x10;
}

/// One look.
pub(super) struct Scene<'a> {
    pub(super) object: &'a mut Object,
    pub(super) scanner: &'a mut Scanner,
    pub(super) cgroups: Option<&'a mut CgroupNames>,
    pub(super) sleepers: Sleepers,
    files: Files,
    threads: Threads,
    children: HashMap<u32, u32>,
    described: HashMap<u32, Option<Described>>,
}

impl<'a> Scene<'a> {
    /// What the iterator has told just now.
    pub(super) fn new(
        object: &'a mut Object,
        scanner: &'a mut Scanner,
        cgroups: Option<&'a mut CgroupNames>,
        sleepers: Sleepers,
    ) -> Scene<'a> {
        Scene {
            object,
            scanner,
            cgroups,
            children: chain::vforked(sleepers.values().copied()),
            sleepers,
            files: Files::default(),
            threads: Threads::default(),
            described: HashMap::new(),
        }
    }

    /// A stuck task, and what is behind it; none where it went on meanwhile.
    pub(super) fn stuck(&mut self, tid: u32) -> Option<StuckTask> {
        let described = self.describe(tid)?;
        let cause = described.cause.filter(|_| described.state == TaskState::Uninterruptible)?;
        let chain = chain::behind(&described, self);
        let asleep = Duration::from_nanos(described.sleeper.asleep_ns);
        Some(StuckTask {
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
        })
    }

    fn look_at(&mut self, tid: u32) -> Option<Described> {
        let known = self.sleepers.get(&tid).filter(|sleeper| sleeper.stack[0] != 0).copied();
        let sleeper = known.or_else(|| self.scanner.ask(self.object, tid))?;
        let name = full_name(&sleeper);
        let stack = self.scanner.functions(&sleeper);
        let called = String::from_utf8_lossy(&name);
        let place = place::of(&sleeper, &called, &stack, &mut self.files, &mut self.scanner.reader);
        let filesystem = place.mount.as_ref().map(|mount| mount.filesystem.as_str());
        let mut told = causes::told(&stack, sleeper.lock != 0, sleeper.flags & IOWAIT != 0, filesystem);
        if told.cause == Cause::OtherWait && self.children.contains_key(&tid) {
            told.cause = Cause::Child;
        }
        let state = state_of(&sleeper);
        let cause = match state {
            TaskState::Stopped => Some(Cause::StoppedSignal),
            TaskState::Traced => Some(Cause::StoppedTrace),
            TaskState::Frozen => Some(Cause::StoppedFreezer),
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
        Some(Described { sleeper, task, state, killable, stack, cause, served: told.served, place })
    }
}

impl Witness for Scene<'_> {
    fn describe(&mut self, tid: u32) -> Option<Described> {
        if !self.described.contains_key(&tid) {
            let described = self.look_at(tid);
            self.described.insert(tid, described);
        }
        self.described[&tid].clone()
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
        self.threads.fuse_servers(&mut self.scanner.reader)
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

/// What a task does.
fn state_of(sleeper: &Sleeper) -> TaskState {
    let is = |bits| sleeper.state & bits != 0;
    match sleeper.exit_state {
        exit if exit & (state::ZOMBIE | state::GONE) != 0 => TaskState::Dead,
        _ if is(state::DEAD) => TaskState::Dead,
        _ if sleeper.flags & AWAKE != 0 => TaskState::Running,
        _ if is(state::FROZEN) || sleeper.flags & FROZEN != 0 => TaskState::Frozen,
        _ if is(state::UNINTERRUPTIBLE) && is(state::NOLOAD) => TaskState::Idle,
        _ if is(state::UNINTERRUPTIBLE | state::RTLOCK) => TaskState::Uninterruptible,
        _ if is(state::STOPPED) => TaskState::Stopped,
        _ if is(state::TRACED) => TaskState::Traced,
        _ if is(state::PARKED) => TaskState::Parked,
        _ if is(state::INTERRUPTIBLE) => TaskState::Sleeping,
        _ => TaskState::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_name_ends_at_its_nul() {
        assert_eq!(comm(b"dd\0kworker/0:1\0\0"), b"dd");
        assert_eq!(comm(b"a-name-of-15-by\0"), b"a-name-of-15-by");
    }
}
