//! `osdiag.runq/1`: what a record of `osdiag runq` adds to the common keys.

use schemars::JsonSchema;
use serde::Serialize;

use super::{args::By, waiting::Waiting};
use crate::output::{histogram::Histogram, record::Body};

/// What `osdiag runq` found in an interval or a session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Runq {
    /// What the groups are.
    pub(crate) by: By,
    /// Those of the target that waited or ran, those that waited longest first; `--top` of them.
    pub(crate) groups: Vec<Group>,
    /// The other groups, added up; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rest: Option<Rest>,
    /// Every CPU that was online, by number. Waits are the target's; all else is every task's.
    pub(crate) cpus: Vec<Cpu>,
    /// Time that the hypervisor took from all CPUs together, ns, in steps of a clock tick; null where the kernel keeps no
    /// account.
    pub(crate) steal_ns: Option<u64>,
    /// Tasks of the target that still waited for a CPU when tracing ended, longest first. Their waits are in none of the
    /// numbers. Absent without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) waiting: Vec<Waiting>,
    /// Who lost most by waiting, and to whom; null where no wait reaches `--slow` and no quota held anybody.
    pub(crate) verdict: Option<Verdict>,
}

impl Body for Runq {
    const SCHEMA: &'static str = "osdiag.runq/1";
}

/// Tasks that belong together.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Group {
    /// The thread name, process id, thread id, cgroup path or CPU number.
    pub(crate) key: String,
    /// The thread name that waited and ran most, where the group is no CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comm: Option<String>,
    /// The process, where the group is one or a thread of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    /// Waits that ended, from runnable to running. Minimum and maximum are means of buckets, but where the groups are
    /// CPUs.
    pub(crate) delay: Histogram,
    /// Time under a CPU quota, ns; not in `delay`.
    pub(crate) throttled_ns: u64,
    /// Time on a CPU, ns.
    pub(crate) run_ns: u64,
    /// Who had the CPU while the group waited for it, longest first.
    pub(crate) culprits: Vec<Culprit>,
    /// Time of further culprits, which are not listed, ns.
    pub(crate) other_culprits_ns: u64,
    /// Time of which it is not known who had the CPU, ns. With it and the one above, the culprits' times add up to
    /// `delay.sum_ns`.
    pub(crate) unattributed_ns: u64,
}

/// Groups that are not listed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Rest {
    /// How many.
    pub(crate) groups: u64,
    /// Their waits.
    pub(crate) delay: Histogram,
    /// Their time under a CPU quota, ns.
    pub(crate) throttled_ns: u64,
    /// Their time on a CPU, ns.
    pub(crate) run_ns: u64,
}

/// Somebody who had the CPU.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Culprit {
    /// What it is.
    pub(crate) kind: CulpritKind,
    /// The thread's name, or again what it is.
    pub(crate) comm: String,
    /// The process; 0 where it is none.
    pub(crate) pid: u32,
    /// The thread, with `--by tid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tid: Option<u32>,
    /// The cgroup's path, where it is a task and has one.
    pub(crate) cgroup: Option<String>,
    /// For how long, ns.
    pub(crate) ns: u64,
    /// Which share of the group's waiting that is, 0 to 1.
    pub(crate) share: f64,
}

/// What a culprit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CulpritKind {
    /// A task ran.
    Task,
    /// Nobody ran: the CPU had not taken up the wake-up yet.
    Idle,
    /// The CPU was busy with interrupts.
    Irq,
    /// The hypervisor ran something else.
    Steal,
    /// A task that was not told from others, because there were too many.
    Unknown,
}

/// A CPU.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Cpu {
    /// Its number.
    pub(crate) cpu: u32,
    /// Which share of the time a task ran, 0 to 1.
    pub(crate) utilization: f64,
    /// Time that a task ran, ns.
    pub(crate) busy_ns: u64,
    /// Time that none did, ns.
    pub(crate) idle_ns: u64,
    /// Of both, time in interrupts, ns; null where it could not be measured.
    pub(crate) irq_ns: Option<u64>,
    /// Time that the hypervisor took, ns, in steps of a clock tick; null where the kernel keeps no account.
    pub(crate) steal_ns: Option<u64>,
    /// Context switches.
    pub(crate) switches: u64,
    /// The target's waits that ended on it.
    pub(crate) delay: Histogram,
}

/// The answer in short.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Verdict {
    /// The `key` of the group that lost most.
    pub(crate) key: String,
    /// What it lost its time to.
    pub(crate) reason: Reason,
    /// Time that it lost in slow waits, or to its quota, ns.
    pub(crate) lost_ns: u64,
    /// The first culprit; null where a quota is the reason, or nobody is known.
    pub(crate) culprit: Option<Culprit>,
    /// One plain sentence.
    pub(crate) statement: String,
    /// What to look at next.
    pub(crate) advice: Vec<String>,
}

/// What a group lost its time to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// Other tasks that ran.
    Others,
    /// Tasks of its own group that ran.
    Itself,
    /// A task of a real-time policy that ran.
    RealTime,
    /// Its CPU quota.
    Quota,
    /// The hypervisor.
    Steal,
    /// Interrupts.
    Interrupts,
    /// CPUs that were idle, and slow to wake up.
    IdleCpu,
    /// It is not known.
    Unknown,
}
