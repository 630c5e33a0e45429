//! Scheduling policies, which decide who may have a CPU before whom.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{kernel::procfs, output::text::escape};

/// A scheduling policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Policy {
    /// `SCHED_OTHER`
    Other,
    /// `SCHED_FIFO`
    Fifo,
    /// `SCHED_RR`
    Rr,
    /// `SCHED_BATCH`
    Batch,
    /// `SCHED_IDLE`
    Idle,
    /// `SCHED_DEADLINE`
    Deadline,
    /// `SCHED_EXT`: a BPF scheduler's.
    Ext,
}

impl Policy {
    /// Whether its tasks run before all ordinary ones.
    pub(crate) fn is_real_time(self) -> bool {
        matches!(self, Policy::Fifo | Policy::Rr | Policy::Deadline)
    }

    /// Its name for people, where it is not the ordinary one.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Policy::Other => None,
            Policy::Fifo => Some("SCHED_FIFO"),
            Policy::Rr => Some("SCHED_RR"),
            Policy::Batch => Some("SCHED_BATCH"),
            Policy::Idle => Some("SCHED_IDLE"),
            Policy::Deadline => Some("SCHED_DEADLINE"),
            Policy::Ext => Some("SCHED_EXT"),
        }
    }

    fn from_number(number: u32) -> Option<Policy> {
        // include/uapi/linux/sched.h, 6.18.
        Some(match number {
            0 => Policy::Other,
            1 => Policy::Fifo,
            2 => Policy::Rr,
            3 => Policy::Batch,
            5 => Policy::Idle,
            6 => Policy::Deadline,
            7 => Policy::Ext,
            _ => return None,
        })
    }
}

/// The policy of a thread; none where it is gone. The system call takes no lock, as reading `/proc/PID/stat` does on some
/// kernels.
pub(super) fn of(tid: i32) -> Option<Policy> {
    // SAFETY: it takes a number.
    let policy = unsafe { libc::sched_getscheduler(tid) };
    u32::try_from(policy)
        .ok()
        .and_then(|policy| Policy::from_number(policy & !libc::SCHED_RESET_ON_FORK.cast_unsigned()))
}

/// The most urgent policy among the threads of a process that have this name, as records show it; none where there is no such thread now.
pub(super) fn of_process(pid: u32, comm: &str) -> Option<Policy> {
    let pid = i32::try_from(pid).ok()?;
    let named =
        procfs::threads(pid).filter(|&tid| procfs::name(pid, tid).is_some_and(|name| escape(&name) == comm));
    named.filter_map(of).max_by_key(|policy| policy.is_real_time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_has_an_ordinary_policy() {
        let me = std::process::id();
        assert!(!of(me.cast_signed()).is_some_and(Policy::is_real_time));
        let name = escape(&procfs::name(me.cast_signed(), me.cast_signed()).unwrap());
        assert!(of_process(me, &name).is_some());
        assert_eq!(of_process(u32::MAX, "x"), None);
    }
}
