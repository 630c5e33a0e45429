//! The threads of a target, as they are now.

use std::{collections::HashSet, fs, thread, time::Duration};

use super::{Cgroup, Target};
use crate::{
    kernel::procfs::{self, Reader},
    output::{record::parties::Task, text::escape},
};

/// A thread, as `/proc` shows it.
pub(crate) struct Thread {
    /// Its process.
    pub(crate) pid: i32,
    /// Itself.
    pub(crate) tid: i32,
    /// Its name.
    pub(crate) comm: Vec<u8>,
    /// Its state, as ps(1) shows it.
    pub(crate) state: char,
}

/// Which tasks are in a target, as the kernel side's filter has it (`scope::contains`).
pub(crate) struct Members<'a> {
    target: &'a Target,
    followed: HashSet<u32>,
}

impl<'a> Members<'a> {
    /// Of a target that is processes or a command, the kernel side has followed these.
    pub(crate) fn new(target: &'a Target, followed: HashSet<u32>) -> Members<'a> {
        Members { target, followed }
    }

    /// Every thread that is there now.
    pub(crate) fn threads(&self) -> impl Iterator<Item = Thread> {
        procfs::processes().flat_map(move |pid| {
            let tids = self.may_have_threads_of(pid).then(|| procfs::threads(pid)).into_iter().flatten();
            tids.filter_map(move |tid| {
                let comm = procfs::name(pid, tid)?;
                self.hold(pid, tid, &comm).then_some(())?;
                Some(Thread { pid, tid, comm, state: procfs::status(pid, tid)?.state })
            })
        })
    }

    /// Whether it is worth to look at a process.
    fn may_have_threads_of(&self, pid: i32) -> bool {
        match self.target {
            Target::Pids(_) | Target::Command(_) => self.followed.contains(&pid.cast_unsigned()),
            _ => true,
        }
    }

    /// Whether a thread, with its name, of a process that is worth it, is in the target. Threads of a process can be in
    /// different cgroups.
    fn hold(&self, pid: i32, tid: i32, comm: &[u8]) -> bool {
        match self.target {
            Target::System | Target::Pids(_) | Target::Command(_) => true,
            Target::Comm(name) => *name == comm,
            Target::Cgroup(_) | Target::Container(_) | Target::Unit(_) => {
                let lines = fs::read(format!("/proc/{pid}/task/{tid}/cgroup")).unwrap_or_default();
                self.target.cgroup().is_some_and(|cgroup| holds(cgroup, &lines))
            }
        }
    }
}

/// Whether a task with these lines in its `/proc/PID/cgroup` is in a cgroup or below it. The same path in another hierarchy
/// is another cgroup.
fn holds(cgroup: &Cgroup, lines: &[u8]) -> bool {
    let Some(path) = cgroup.hierarchy.path_of_task(lines) else { return false };
    let below = escape(path).strip_prefix(cgroup.path.trim_end_matches('/')).map(str::to_owned);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Thread {
    /// What records say of it.
    pub(crate) fn task(&self) -> Task {
        Task {
            pid: Some(self.pid.cast_unsigned()),
            tid: Some(self.tid.cast_unsigned()),
            comm: Some(escape(&self.comm)),
            process_comm: procfs::name(self.pid, self.pid).map(|comm| escape(&comm)),
            ..Task::default()
        }
    }

    /// How long it has run and waited for a CPU, and how often it ran: the same as long as it does not run.
    pub(crate) fn account(&self) -> Option<String> {
        procfs::schedstat(self.pid, self.tid)
    }

    /// Where it sleeps, innermost function first.
    pub(crate) fn stack(&self, reader: &mut Reader) -> Vec<String> {
        reader.stack(self.pid, self.tid)
    }
}

/// How long a thread must stay where it is to count as stuck there rather than met on its way.
pub(crate) const STAYS: Duration = Duration::from_millis(50);

/// Of those that were met at some place, each with it, those that are still there after [`STAYS`].
pub(crate) fn staying<T, P: PartialEq>(met: Vec<(T, P)>, mut place: impl FnMut(&T) -> Option<P>) -> Vec<T> {
    if met.is_empty() {
        return Vec::new();
    }
    thread::sleep(STAYS);
    met.into_iter().filter(|(who, before)| place(who).as_ref() == Some(before)).map(|(who, _)| who).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::Selection, target::tests::Machine};

    #[test]
    fn a_thread_is_among_those_of_its_process() {
        let me = std::process::id();
        let target = Target::Pids(vec![me]);
        let members = Members::new(&target, [me].into());
        let none = Members::new(&target, HashSet::new());
        assert_eq!(none.threads().count(), 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let tid = rustix::thread::gettid().as_raw_nonzero().get();
                assert!(
                    members.threads().any(|thread| thread.pid.cast_unsigned() == me && thread.tid == tid)
                );
            });
        });
    }

    fn inside(machine: &Machine, wanted: Selection<'_>, lines: &str) -> bool {
        let target = Target::resolve(wanted, &machine.roots()).unwrap();
        holds(target.cgroup().unwrap(), lines.as_bytes())
    }

    #[test]
    fn a_cgroup_holds_those_below_it_in_its_own_hierarchy() {
        let machine = Machine::hybrid();
        machine.busy("memory/jobs");
        let jobs = |lines| inside(&machine, Selection::Cgroup("/jobs"), lines);
        assert!(jobs("4:memory:/jobs\n0::/\n") && jobs("4:memory:/jobs/a/b\n"));
        assert!(
            !jobs("4:memory:/jobs2\n0::/jobs\n1:name=systemd:/jobs\n"),
            "another cgroup of the same path"
        );
        assert!(!jobs("") && !jobs("4:memory:/\n"));
    }

    #[test]
    fn the_root_holds_everybody() {
        let machine = Machine::hybrid();
        machine.busy("memory");
        let root = machine.at("memory");
        for wanted in [Selection::Cgroup(root.to_str().unwrap()), Selection::Unit("-.slice")] {
            assert!(inside(&machine, wanted, "4:memory:/\n0::/\n"));
            assert!(inside(&machine, wanted, "4:memory:/jobs/nightly\n0::/init\n"));
        }
    }

    #[test]
    fn names_that_escaping_changes_are_found() {
        let machine = Machine::hybrid();
        machine.busy("memory/a\\x5cb");
        let path = machine.at("memory/a\\x5cb");
        assert!(inside(&machine, Selection::Cgroup(path.to_str().unwrap()), "4:memory:/a\\x5cb/c\n"));
    }
}
