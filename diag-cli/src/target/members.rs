//! The threads of a target, as they are now.

use std::{fs, thread, time::Duration};

use super::{Target, with_descendants};
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

/// Every thread of a target that is there now.
pub(crate) fn threads(target: &Target) -> impl Iterator<Item = Thread> {
    let family = match target {
        Target::Pids(pids) => with_descendants(pids).unwrap_or_default(),
        _ => Vec::new(),
    };
    procfs::processes().filter(move |&pid| holds(target, &family, pid)).flat_map(move |pid| {
        procfs::threads(pid).filter_map(move |tid| {
            let comm = procfs::name(pid, tid)?;
            if matches!(target, Target::Comm(name) if *name != comm) {
                return None;
            }
            Some(Thread { pid, tid, comm, state: procfs::status(pid, tid)?.state })
        })
    })
}

fn holds(target: &Target, family: &[u32], pid: i32) -> bool {
    match target {
        Target::System | Target::Comm(_) => true,
        Target::Pids(_) => family.contains(&pid.cast_unsigned()),
        // It has ended, or was interrupted with its session.
        Target::Command(_) => false,
        Target::Cgroup(_) | Target::Container(_) | Target::Unit(_) => {
            let wanted = target.cgroup().map_or("", |cgroup| cgroup.path.as_str());
            let cgroups = fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            cgroups.split(|&byte| byte == b'\n').any(|line| is_below(line, wanted))
        }
    }
}

/// Whether a line of `/proc/PID/cgroup`, `HIERARCHY:CONTROLLERS:PATH`, names a cgroup or one below it.
fn is_below(line: &[u8], wanted: &str) -> bool {
    let Some(path) = line.splitn(3, |&byte| byte == b':').nth(2).map(escape) else { return false };
    path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

    #[test]
    fn a_thread_is_among_those_of_its_process() {
        let me = std::process::id();
        let target = Target::Pids(vec![me]);
        let others = thread::spawn(move || {
            let tid = rustix::thread::gettid().as_raw_nonzero().get();
            threads(&target).any(|thread| thread.pid.cast_unsigned() == me && thread.tid == tid)
        });
        assert!(others.join().unwrap());
    }

    #[test]
    fn a_cgroup_holds_those_below_it() {
        assert!(is_below(b"4:memory:/a/b", "/a") && is_below(b"0::/a", "/a"));
        assert!(!is_below(b"0::/ab", "/a") && !is_below(b"", "/a"));
    }
}
