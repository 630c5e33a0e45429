//! Processes as a target.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::{exit::Failure, kernel::procfs};

/// Checks `-p PID`; [`Failure::Usage`] if one of them is no process.
pub(super) fn check_pids(pids: &[u32]) -> Result<()> {
    for &pid in pids {
        let Some(process) = procfs::status_of_thread(pid).map(|status| status.process) else {
            return Err(
                Failure::Usage(format!("no process {pid}: expected the PID of a running process")).into()
            );
        };
        if process != pid {
            return Err(Failure::Usage(format!(
                "{pid} is a thread of process {process}: expected a process, give --pid {process}"
            ))
            .into());
        }
    }
    Ok(())
}

/// Processes and their descendants, as they are now.
///
/// Errors when the process list cannot be read.
pub(crate) fn with_descendants(pids: &[u32]) -> Result<Vec<u32>> {
    let parents: Vec<(u32, u32)> = procfs::processes()
        .filter_map(|pid| Some((pid.cast_unsigned(), procfs::status(pid, pid)?.parent)))
        .collect();
    anyhow::ensure!(!parents.is_empty(), "cannot list processes: /proc has none");
    let mut family: Vec<u32> = Vec::new();
    let mut seen = HashSet::new();
    let mut next: Vec<u32> = pids.to_vec();
    while let Some(pid) = next.pop() {
        if seen.insert(pid) {
            family.push(pid);
            next.extend(parents.iter().filter(|&&(_, parent)| parent == pid).map(|&(child, _)| child));
        }
    }
    Ok(family)
}

/// Holds on to processes, so that a PID that is used again is not taken for them.
pub(super) struct Held {
    /// Ready to be read once the process has exited. None from the start on, where it had exited before.
    processes: Vec<OwnedFd>,
}

impl Held {
    /// Takes hold of processes. Errors when this system refuses that for one that exists.
    pub(super) fn new(pids: &[u32]) -> Result<Held> {
        let mut processes = Vec::new();
        for &pid in pids {
            let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
            match pidfd_open(raw, PidfdFlags::empty()) {
                Ok(process) => processes.push(process),
                Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot watch process {pid}")),
            }
        }
        Ok(Held { processes })
    }

    /// Those that had not exited when they were last looked at, each ready to be read once it has.
    pub(super) fn processes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.processes.iter().map(AsFd::as_fd)
    }

    /// Whether all of them have exited.
    pub(super) fn gone(&mut self) -> bool {
        self.processes.retain(|process| {
            let mut poll_one = [PollFd::new(process, PollFlags::IN)];
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            !poll(&mut poll_one, Some(&now)).is_ok_and(|ready| ready > 0)
        });
        self.processes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_no_process_is_named() {
        let error = check_pids(&[u32::MAX]).unwrap_err().to_string();
        assert_eq!(error, format!("no process {}: expected the PID of a running process", u32::MAX));
        check_pids(&[std::process::id()]).unwrap();
        let thread = std::thread::spawn(|| {
            let tid = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
            check_pids(&[tid]).unwrap_err().to_string()
        });
        assert!(thread.join().unwrap().contains(&format!("a thread of process {}", std::process::id())));
    }

    #[test]
    fn a_child_is_a_descendant_until_it_exits() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let me = std::process::id();
        assert!(with_descendants(&[me]).unwrap().contains(&child.id()));
        assert!(!with_descendants(&[child.id()]).unwrap().contains(&me));
        let mut held = Held::new(&[child.id()]).unwrap();
        assert!(!held.gone());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(held.gone());
    }
}
