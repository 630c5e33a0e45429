//! One look at the machine: what the iterator has told, and whatever procfs adds to it.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use diag_common::hung::{AWAKE, BLOCKED, IOWAIT, Sleeper};

use super::{
    causes,
    chain::{self, Described, Witness},
    place::{self, KTHREADD},
    record::{Cause, StuckTask, Wait, Who},
    scan::{Scanner, Sleepers},
    servers::Server,
    threads::Threads,
};
use crate::{
    ebpf::object::Object,
    kernel::{files::Files, procfs},
    output::text::escape,
    target::CgroupNames,
};

/// States of a task (include/linux/sched.h, 6.18).
mod state {
    pub(super) const INTERRUPTIBLE: u32 = 0x1;
    pub(super) const UNINTERRUPTIBLE: u32 = 0x2;
    pub(super) const STOPPED: u32 = 0x4;
    pub(super) const TRACED: u32 = 0x8;
    pub(super) const WAKEKILL: u32 = 0x100;
    pub(super) const NOLOAD: u32 = 0x400;
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
        let behind = chain::behind(&described, self);
        let Described { sleeper, who, wait, .. } = described;
        let asleep = Duration::from_nanos(sleeper.asleep_ns);
        Some(StuckTask {
            who,
            blocked_ns: sleeper.asleep_ns,
            since: (SystemTime::now() - asleep).into(),
            wait: wait?,
            behind,
            resolved: None,
        })
    }

    fn look_at(&mut self, tid: u32) -> Option<Described> {
        let known = self.sleepers.get(&tid).filter(|sleeper| sleeper.stack[0] != 0).copied();
        let sleeper = known.or_else(|| self.scanner.ask(self.object, tid))?;
        let name = full_name(&sleeper);
        let stack = self.scanner.functions(&sleeper);
        let comm = String::from_utf8_lossy(&name);
        let place = place::of(&sleeper, &comm, &stack, &mut self.files, &mut self.scanner.reader);
        let filesystem = place.mount.as_ref().map(|mount| mount.filesystem.as_str());
        let told = causes::told(&stack, sleeper.lock != 0, sleeper.flags & IOWAIT != 0, filesystem);
        let blocked = sleeper.flags & BLOCKED != 0;
        // Of whoever sleeps interruptibly only what is known to be a wait for somebody else is one.
        let sleeps = blocked || (sleeper.state & state::INTERRUPTIBLE != 0 && told.cause != Cause::Other);
        let waits = sleeps && sleeper.flags & AWAKE == 0;
        let wait = waits.then(|| Wait {
            cause: told.cause,
            detail: told.finer.map(Wait::detail_of),
            file: place.file.as_deref().map(escape),
            device: place.device.clone(),
            filesystem: filesystem.map(str::to_owned),
            mount: place.mount.as_ref().map(|mount| escape(&mount.point)),
        });
        let cgroup = self.cgroups.as_mut().and_then(|names| names.path(sleeper.cgroup).map(str::to_owned));
        let who = Who {
            pid: sleeper.tgid,
            tid: sleeper.pid,
            comm: escape(&name),
            cgroup,
            state: letter(&sleeper).to_owned(),
            killable: sleeper.state & state::WAKEKILL != 0,
            stack,
        };
        Some(Described { sleeper, who, wait, place })
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
    let full =
        kernel_thread.then(|| procfs::name(sleeper.tgid.cast_signed(), sleeper.pid.cast_signed())).flatten();
    full.unwrap_or_else(|| sleeper.comm.split(|&byte| byte == 0).next().unwrap_or_default().to_vec())
}

/// A task's state as ps(1) shows it.
fn letter(sleeper: &Sleeper) -> &'static str {
    let is = |bits| sleeper.state & bits != 0;
    match sleeper.exit_state {
        exit if exit & state::ZOMBIE != 0 => "Z",
        exit if exit & state::GONE != 0 => "X",
        _ if is(state::UNINTERRUPTIBLE) && is(state::NOLOAD) => "I",
        _ if is(state::UNINTERRUPTIBLE) => "D",
        _ if is(state::STOPPED) => "T",
        _ if is(state::TRACED) => "t",
        _ if is(state::INTERRUPTIBLE) => "S",
        _ => "R",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_those_of_ps() {
        // SAFETY: all of its fields are integers.
        let zero: Sleeper = unsafe { std::mem::zeroed() };
        for (state, exit_state, expected) in [
            (0, 0, "R"),
            (0x1, 0, "S"),
            (0x102, 0, "D"),
            (0x2002, 0, "D"),
            (0x402, 0, "I"),
            (0x104, 0, "T"),
            (0x80, 0x20, "Z"),
        ] {
            assert_eq!(letter(&Sleeper { state, exit_state, ..zero }), expected, "{state:#x}");
        }
    }
}
