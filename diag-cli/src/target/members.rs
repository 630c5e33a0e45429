//! The threads of a target, as they are now.

use std::{fs, thread, time::Duration};

use procfs::process::{Process, Stat, all_processes};

use super::{Target, with_descendants};
use crate::{
    kernel::task_files::{self, TaskStat},
    output::text::escape,
};

/// A thread, as `/proc` shows it.
pub(crate) struct Thread {
    /// Its process.
    pub(crate) pid: i32,
    /// Its name, which may be any bytes.
    pub(crate) comm: Vec<u8>,
    /// What `/proc/PID/task/TID/stat` says, but for the name.
    pub(crate) stat: Stat,
}

/// Every thread of a target that is there now.
pub(crate) fn threads(target: &Target) -> impl Iterator<Item = Thread> {
    let family = match target {
        Target::Pids(pids) => with_descendants(pids).unwrap_or_default(),
        _ => Vec::new(),
    };
    let processes = all_processes().into_iter().flatten().flatten();
    processes.filter(move |process| holds(target, &family, process)).flat_map(move |process| {
        let pid = process.pid;
        let tasks: Vec<_> = process.tasks().into_iter().flatten().flatten().collect();
        let stats = tasks.into_iter().filter_map(|task| task_files::stat(task.pid, task.tid));
        stats
            .filter(|task| !matches!(target, Target::Comm(comm) if *comm != task.comm))
            .map(move |TaskStat { comm, stat }| Thread { pid, comm, stat })
    })
}

fn holds(target: &Target, family: &[u32], process: &Process) -> bool {
    match target {
        Target::System | Target::Comm(_) => true,
        Target::Pids(_) => family.contains(&process.pid.cast_unsigned()),
        // It has ended, or was interrupted with its session.
        Target::Command(_) => false,
        Target::Cgroup(_) | Target::Container(_) | Target::Unit(_) => {
            let wanted = target.cgroup().map_or("", |cgroup| cgroup.path.as_str());
            task_files::cgroup_paths(process.pid).iter().any(|path| {
                let path = escape(path);
                let below = path.strip_prefix(wanted);
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        }
    }
}

impl Thread {
    /// How long it has run and waited for a CPU, and how often it ran: the same as long as it does not run.
    pub(crate) fn account(&self) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/task/{}/schedstat", self.pid, self.stat.pid)).ok()
    }

    /// Where it sleeps, innermost function first: `[<0>] jbd2_log_wait_commit+0xe6/0x150`.
    pub(crate) fn stack(&self) -> Vec<String> {
        let stack = fs::read_to_string(format!("/proc/{}/task/{}/stack", self.pid, self.stat.pid));
        let function = |line: &str| Some(line.split_once("] ")?.1.split('+').next()?.to_owned());
        stack.unwrap_or_default().lines().filter_map(function).collect()
    }
}

/// How long a thread must stay where it is to count as stuck there rather than met on its way.
pub(crate) const STAYS: Duration = Duration::from_millis(50);

/// Of those that were met at some place, each with it, those that are still there after [`STAYS`].
pub(crate) fn staying<T, P: PartialEq>(met: Vec<(T, P)>, place: impl Fn(&T) -> Option<P>) -> Vec<T> {
    if met.is_empty() {
        return Vec::new();
    }
    thread::sleep(STAYS);
    met.into_iter().filter(|(who, before)| place(who).as_ref() == Some(before)).map(|(who, _)| who).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_among_those_of_its_process() {
        let me = std::process::id();
        let target = Target::Pids(vec![me]);
        let others = thread::spawn(move || {
            let tid = rustix::thread::gettid().as_raw_nonzero().get();
            threads(&target).any(|thread| thread.pid.cast_unsigned() == me && thread.stat.pid == tid)
        });
        assert!(others.join().unwrap());
    }
}
