//! Threads in uninterruptible sleep.

use std::time::Instant;

use crate::target::places::lines_of;
use crate::{
    kernel::procfs::{self, Status},
    output::text::escape,
};

/// Threads that are looked at.
const MOST: usize = 20_000;

/// A thread that was in uninterruptible sleep in both looks, without having slept anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stuck {
    pub(crate) pid: i32,
    pub(crate) tid: i32,
    pub(crate) comm: String,
    /// What `/proc/PID/cgroup` says of it.
    pub(crate) cgroups: Vec<u8>,
}

/// A thread as it was in the first look.
pub(super) struct Seen {
    pid: i32,
    tid: i32,
    status: Status,
}

/// Those that are in it now. `status` takes no lock; `stat` has one line less to read, and on some kernels waits behind exec.
pub(super) fn uninterruptible(deadline: Instant, left_out: &mut Vec<String>) -> Vec<Seen> {
    let mut found = Vec::new();
    let mut looked = 0;
    for pid in procfs::processes() {
        for tid in procfs::threads(pid) {
            if looked == MOST || Instant::now() > deadline {
                left_out.push(format!("threads after the first {looked}"));
                return found;
            }
            looked += 1;
            if let Some(status) = procfs::status(pid, tid).filter(|status| status.state == 'D') {
                found.push(Seen { pid, tid, status });
            }
        }
    }
    found
}

/// Those that still are, in the same sleep.
pub(super) fn still(seen: Vec<Seen>) -> Vec<Stuck> {
    let is_stuck = |seen: &Seen| {
        procfs::status(seen.pid, seen.tid)
            .is_some_and(|now| now.state == 'D' && now.slept == seen.status.slept)
    };
    let stuck = seen.into_iter().filter(is_stuck);
    stuck
        .map(|Seen { pid, tid, .. }| Stuck {
            pid,
            tid,
            comm: procfs::name(pid, tid).map(|name| escape(&name)).unwrap_or_default(),
            cgroups: lines_of(pid),
        })
        .collect()
}
