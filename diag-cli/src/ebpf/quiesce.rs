//! Waiting until every program that was running has ended, for as long as one can wait.
//!
//! Programs on tracepoints run without preemption or inside an RCU read-side section, so one grace period is enough. Two
//! calls wait for one and return:
//!
//! - `membarrier` with `MEMBARRIER_CMD_GLOBAL` is `synchronize_rcu` (kernel/sched/membarrier.c, 6.18), but where CPUs run
//!   without a tick (`nohz_full`) it is refused, and where a single CPU is online it waits for nothing;
//! - writing an element of an array of maps waits for the programs that may have the old one (`maybe_wait_bpf_programs`,
//!   kernel/bpf/syscall.c, 4.20 to 6.18).
//!
//! Where a CPU holds a grace period up, both wait for it, and cannot be interrupted.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError},
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{MembarrierCommand, membarrier};

use super::{knobs, syscall};
use crate::output::streams;

/// How long a grace period may take: a kernel that reports its stalls does so after 21 s, and one that works takes some
/// 20 ms.
const PATIENCE: Duration = Duration::from_secs(2);

/// A thread that waits for programs to end.
struct Waiting {
    since: Instant,
    answer: Receiver<io::Result<()>>,
}

/// Waits for programs to end, and remembers if they did not.
#[derive(Default)]
pub(super) struct Quiesce {
    waiting: Option<Waiting>,
    why: Option<String>,
}

impl Quiesce {
    /// Waits until every program that is running has ended.
    pub(super) fn wait(&mut self) {
        self.wait_by(wait_for_grace_period, PATIENCE);
    }

    fn wait_by(&mut self, wait: impl FnOnce() -> io::Result<()> + Send + 'static, patience: Duration) {
        if let Some(waiting) = &self.waiting
            && matches!(waiting.answer.try_recv(), Err(TryRecvError::Empty))
        {
            // The grace period for this call comes after the one that has not ended.
            return;
        }
        let (sender, answer) = mpsc::sync_channel(1);
        let since = Instant::now();
        let spawned = thread::Builder::new().name("quiesce".to_owned()).spawn(move || sender.send(wait()));
        self.waiting = None;
        let answered = match spawned {
            Ok(_) => answer.recv_timeout(patience),
            Err(error) => Ok(Err(error)),
        };
        match answered {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.why = Some(format!("the kernel cannot be waited for: {error}")),
            Err(RecvTimeoutError::Timeout) => {
                self.waiting = Some(Waiting { since, answer });
                self.why = Some(format!("the kernel's RCU grace period did not end within {patience:?}"));
            }
            Err(RecvTimeoutError::Disconnected) => self.why = Some("the waiting thread ended".to_owned()),
        }
    }

    /// Why counts may have been read while programs still wrote them, if that was ever so.
    pub(super) fn why_not(&self) -> Option<&str> {
        self.why.as_deref()
    }
}

impl Drop for Quiesce {
    fn drop(&mut self) {
        if let Some(Waiting { since, answer }) = &self.waiting
            && matches!(answer.try_recv(), Err(TryRecvError::Empty))
        {
            streams::note(format_args!(
                "osdiag: a thread has waited for an RCU grace period for {} s and cannot be interrupted; this process goes away when it ends",
                since.elapsed().as_secs()
            ));
        }
    }
}

fn wait_for_grace_period() -> io::Result<()> {
    if online_cpus() > 1 && knobs::without(knobs::MEMBARRIER).is_none() {
        // Where a CPU went away meanwhile, the other call is to wait as well.
        if membarrier(MembarrierCommand::Global).is_ok() && online_cpus() > 1 {
            return Ok(());
        }
    }
    let inner = syscall::array()?;
    write_outer_map(&syscall::array_of_maps(inner.as_fd())?, &inner)
}

fn write_outer_map(outer: &OwnedFd, inner: &OwnedFd) -> io::Result<()> {
    syscall::update(outer.as_fd(), 0, &inner.as_raw_fd().to_ne_bytes())
}

/// CPUs that are online; several where that is not known.
fn online_cpus() -> i64 {
    // SAFETY: no preconditions.
    match unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) } {
        unknown if unknown < 1 => 2,
        cpus => cpus,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_in_time_leaves_nothing_to_say() {
        let mut quiesce = Quiesce::default();
        quiesce.wait_by(|| Ok(()), PATIENCE);
        assert_eq!(quiesce.why_not(), None);
    }

    #[test]
    fn what_does_not_end_is_given_up_once() {
        let (release, held) = mpsc::channel::<()>();
        let mut quiesce = Quiesce::default();
        let stalled = move || held.recv().map_err(io::Error::other);
        quiesce.wait_by(stalled, Duration::from_millis(20));
        assert!(quiesce.why_not().unwrap().contains("20ms"));
        let again = Instant::now();
        quiesce.wait_by(|| Ok(()), PATIENCE);
        assert!(again.elapsed() < PATIENCE, "it waits behind the first");
        assert!(quiesce.waiting.is_some());
        release.send(()).unwrap();
        while matches!(quiesce.waiting.as_ref().unwrap().answer.try_recv(), Err(TryRecvError::Empty)) {
            thread::yield_now();
        }
        quiesce.wait_by(|| Ok(()), PATIENCE);
        assert!(quiesce.waiting.is_none());
        assert!(quiesce.why_not().is_some(), "what was read before stays uncertain");
    }

    #[test]
    fn a_kernel_that_cannot_be_waited_for_says_why() {
        let mut quiesce = Quiesce::default();
        quiesce.wait_by(|| Err(io::ErrorKind::PermissionDenied.into()), PATIENCE);
        assert!(quiesce.why_not().unwrap().contains("permission denied"));
    }
}
