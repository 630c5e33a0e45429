//! Scheduling policies, which decide who may have a CPU before whom.

use procfs::process::{Process, Stat};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{kernel::task_files, output::text::escape};

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
    /// A policy that is younger than this tool.
    Unknown,
}

impl Policy {
    /// Whether its tasks run before all ordinary ones.
    pub(crate) fn is_real_time(self) -> bool {
        matches!(self, Policy::Fifo | Policy::Rr | Policy::Deadline)
    }

    /// Its name for people, where it is not the ordinary one.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Policy::Other | Policy::Unknown => None,
            Policy::Fifo => Some("SCHED_FIFO"),
            Policy::Rr => Some("SCHED_RR"),
            Policy::Batch => Some("SCHED_BATCH"),
            Policy::Idle => Some("SCHED_IDLE"),
            Policy::Deadline => Some("SCHED_DEADLINE"),
        }
    }

    fn from_number(number: u32) -> Policy {
        // include/uapi/linux/sched.h, 6.18.
        match number {
            0 => Policy::Other,
            1 => Policy::Fifo,
            2 => Policy::Rr,
            3 => Policy::Batch,
            5 => Policy::Idle,
            6 => Policy::Deadline,
            _ => Policy::Unknown,
        }
    }
}

/// The policy of a thread.
pub(super) fn of(stat: &Stat) -> Policy {
    stat.policy.map_or(Policy::Unknown, Policy::from_number)
}

/// The most urgent policy among the threads of a process that have this name, as records show it; none where there is no such thread now.
pub(super) fn of_process(pid: u32, comm: &str) -> Option<Policy> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let stats = process.tasks().ok()?.flatten().filter_map(|task| task_files::stat(task.pid, task.tid));
    let policies = stats.filter(|task| escape(&task.comm) == comm).map(|task| of(&task.stat));
    policies.max_by_key(|policy| policy.is_real_time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_has_an_ordinary_policy() {
        let me = Process::myself().unwrap().stat().unwrap();
        assert!(!of(&me).is_real_time());
        assert!(of_process(std::process::id(), &me.comm).is_some());
        assert_eq!(of_process(u32::MAX, "x"), None);
    }
}
