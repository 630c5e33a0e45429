//! The threads of a target, as they are now.

use procfs::process::{Process, Stat, all_processes};

use super::{Target, with_descendants};

/// A thread, as `/proc` shows it.
pub(crate) struct Thread {
    /// Its process.
    pub(crate) pid: i32,
    /// What `/proc/PID/task/TID/stat` says.
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
        let stats = tasks.into_iter().filter_map(|task| task.stat().ok());
        stats
            .filter(|stat| !matches!(target, Target::Comm(comm) if *comm != stat.comm))
            .map(move |stat| Thread { pid, stat })
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
            let cgroups = process.cgroups().map(|cgroups| cgroups.0).unwrap_or_default();
            cgroups.iter().any(|cgroup| {
                let below = cgroup.pathname.strip_prefix(wanted);
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_among_those_of_its_process() {
        let me = std::process::id();
        let target = Target::Pids(vec![me]);
        let others = std::thread::spawn(move || {
            let tid = rustix::thread::gettid().as_raw_nonzero().get();
            threads(&target).any(|thread| thread.pid.cast_unsigned() == me && thread.stat.pid == tid)
        });
        assert!(others.join().unwrap());
    }
}
