//! `osdiag.runq/1`: what a record of `osdiag runq` adds to the common keys.

use schemars::JsonSchema;
use serde::Serialize;

use super::{advice, attach::KERNEL_SIDE, waiting::Waiting};
use crate::output::{
    advice::ids,
    consistency::Contradiction,
    histogram::Histogram,
    record::{
        Body,
        parties::{self, Culprit, GroupType, Omitted},
        verdict::Verdict,
    },
};

/// What `osdiag runq` found in an interval or a session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Runq {
    /// Those of the target that waited or ran, in the order of `--sort`: `--top` of them, and then all others as one group
    /// of type `rest`.
    pub(crate) groups: Vec<Group>,
    /// How many groups are in the one of type `rest`, and how long they waited, ns.
    pub(crate) groups_omitted: Omitted,
    /// Every CPU that was online, by number. Waits are the target's; all else is every task's.
    pub(crate) cpu_times: Vec<CpuTime>,
    /// Time that the hypervisor took from all CPUs together, ns, in steps of a clock tick; null where the kernel keeps no
    /// account.
    pub(crate) steal_ns: Option<u64>,
    /// Tasks of the target that still waited for a CPU when tracing ended, longest first. Their waits are in none of the
    /// numbers. Null but in a summary.
    pub(crate) waiting: Option<Vec<Waiting>>,
    /// What `waiting` lacks; null but in a summary.
    pub(crate) waiting_omitted: Option<Omitted>,
    /// Who lost most by waiting, and to whom.
    pub(crate) verdict: Verdict,
}

/// Groups that hold less than this share of the waits of all CPUs say nothing of the rest.
const LEAST_HELD: f64 = 0.5;

impl Body for Runq {
    const SCHEMA: &'static str = "osdiag.runq/1";

    fn unavailable_names() -> Vec<&'static str> {
        KERNEL_SIDE.unavailable_names()
    }

    fn advice_rules() -> Vec<&'static str> {
        ids(advice::RULES)
    }

    fn set_verdict(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }

    fn counted(&self) -> Option<u64> {
        Some(self.cpu_times.iter().map(|cpu| cpu.delay.count).sum())
    }

    fn contradictions(&self) -> Vec<Contradiction> {
        self.groups.iter().filter_map(Group::parts_differ).chain(self.groups_lack_waits()).collect()
    }
}

impl Runq {
    /// Waiting time of all groups and of all CPUs, ns: the same, but for what found no room in the groups' tables.
    pub(crate) fn held(&self) -> (u64, u64) {
        let groups = self.groups.iter().map(|group| group.delay.sum_ns).sum();
        (groups, self.cpu_times.iter().map(|cpu| cpu.delay.sum_ns).sum())
    }

    fn groups_lack_waits(&self) -> Option<Contradiction> {
        let (parts_ns, whole_ns) = self.held();
        let lack = (parts_ns as f64) < LEAST_HELD * whole_ns as f64;
        lack.then(|| Contradiction::PartsDiffer { of: "all groups".to_owned(), parts_ns, whole_ns })
    }
}

/// Tasks that belong together. `culprits`, `culprits_omitted`, `idle_ns`, `irq_ns`, `steal_ns` and `unattributed_ns` add up
/// to `delay.sum_ns`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Group {
    /// Who they are.
    pub(crate) group: parties::Group,
    /// The CPU that the waits ended on, with `--by cpu`; else null.
    pub(crate) cpu: Option<u32>,
    /// Waits that ended, from runnable to running. Minimum and maximum are means of buckets, but where the groups are
    /// CPUs.
    pub(crate) delay: Histogram,
    /// Of `delay`, the time from being woken to being on a run queue, ns.
    pub(crate) wake_ns: u64,
    /// Time under a CPU quota, ns; not in `delay`.
    pub(crate) throttled_ns: u64,
    /// Time on a CPU, ns.
    pub(crate) run_ns: u64,
    /// Tasks that had the CPU while the group waited for it, longest first.
    pub(crate) culprits: Vec<Culprit>,
    /// Further tasks that had it.
    pub(crate) culprits_omitted: Omitted,
    /// Time that the CPU was idle, ns: it had not taken up the wake-up yet.
    pub(crate) idle_ns: u64,
    /// Time that it was busy with interrupts, ns; null where that is not measured.
    pub(crate) irq_ns: Option<u64>,
    /// Time that the hypervisor took, ns; null where the kernel keeps no account.
    pub(crate) steal_ns: Option<u64>,
    /// Time of which it is not known who had the CPU, ns.
    pub(crate) unattributed_ns: u64,
    /// What the group lost most of its time to; null where it lost none, or that is not known.
    pub(crate) reason: Option<Reason>,
}

impl Group {
    /// What people call it. Not yet safe for a terminal.
    pub(crate) fn label(&self) -> String {
        match (self.cpu, self.group.kind, self.group.pid, self.group.tid) {
            (Some(cpu), ..) => format!("CPU {cpu}"),
            (_, GroupType::Thread, Some(pid), Some(tid)) if pid != tid => {
                format!("{}[{pid}/{tid}]", self.group.comm.as_deref().unwrap_or("?"))
            }
            _ => self.group.label(),
        }
    }

    /// Time of tasks that had the CPU, ns.
    pub(crate) fn tasks_ns(&self) -> u64 {
        let listed: u64 = self.culprits.iter().map(|culprit| culprit.ns).sum();
        listed + self.culprits_omitted.ns.unwrap_or(0)
    }

    fn parts_differ(&self) -> Option<Contradiction> {
        let steal_and_irq_ns = self.irq_ns.unwrap_or(0) + self.steal_ns.unwrap_or(0);
        let parts_ns = self.tasks_ns() + self.idle_ns + steal_and_irq_ns + self.unattributed_ns;
        let whole_ns = self.delay.sum_ns;
        (parts_ns != whole_ns).then(|| Contradiction::PartsDiffer { of: self.label(), parts_ns, whole_ns })
    }
}

/// What a group lost its time to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// Tasks of others ran.
    Others,
    /// Its own tasks ran.
    Itself,
    /// A task of a real-time policy ran.
    RealTime,
    /// Its CPU quota held it.
    Quota,
    /// The hypervisor ran something else.
    Steal,
    /// The CPU was busy with interrupts.
    Interrupts,
    /// The CPU was idle, and slow to wake up.
    IdleCpu,
}

/// What a CPU did.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct CpuTime {
    /// Its number.
    pub(crate) cpu: u32,
    /// The share of the time in which a task ran, 0 to 1.
    pub(crate) busy_share: f64,
    /// Time that a task ran, ns.
    pub(crate) busy_ns: u64,
    /// Time that it was idle, ns.
    pub(crate) idle_ns: u64,
    /// Of both, time that it was busy with interrupts, ns; null where that is not measured.
    pub(crate) irq_ns: Option<u64>,
    /// Time that the hypervisor took, ns, in steps of a clock tick; null where the kernel keeps no account.
    pub(crate) steal_ns: Option<u64>,
    /// Context switches.
    pub(crate) switch_count: u64,
    /// The target's waits that ended on it.
    pub(crate) delay: Histogram,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        output::{
            record::Record,
            sample::{check_keys, check_refused, complaints, envelope},
        },
        tools::runq::sample::{cpu, culprit, group, idle},
    };

    fn body(groups: Vec<Group>, cpu_times: Vec<CpuTime>) -> Runq {
        Runq {
            groups,
            groups_omitted: Omitted::default(),
            cpu_times,
            steal_ns: None,
            waiting: None,
            waiting_omitted: None,
            verdict: Verdict::nothing(String::new()),
        }
    }

    #[test]
    fn records_follow_the_schema_and_nothing_less_does() {
        let web = idle(group("web", 500, 40_000, vec![culprit("hog", 7, 500, 40_000, 0.5)]), 0.25);
        let record = Record::new(envelope(), body(vec![web], vec![cpu(0, 1.0)]));
        let record = serde_json::to_value(record).unwrap();
        check_keys::<Runq>(&record);
        let empty = serde_json::to_value(Record::new(envelope(), body(vec![], vec![]))).unwrap();
        assert_eq!(complaints::<Runq>(&empty), Vec::<String>::new());
        for (pointer, wrong) in [
            ("/schema", json!("osdiag.iolat/1")),
            ("/groups/0/throttled_ns", json!(-1)),
            ("/groups/0/reason", json!("unknown")),
            ("/groups/0/culprits/0/basis", json!("luck")),
            ("/cpu_times/0/cpu", json!("0")),
        ] {
            check_refused::<Runq>(&record, pointer, wrong);
        }
    }

    #[test]
    fn what_adds_up_is_no_contradiction() {
        let web = idle(group("web", 500, 40_000, vec![culprit("hog", 7, 500, 40_000, 0.5)]), 0.25);
        let body = body(vec![web], vec![cpu(0, 1.0)]);
        assert_eq!(body.contradictions(), vec![]);
        assert_eq!(body.counted(), Some(500));
    }

    #[test]
    fn parts_that_are_not_the_whole_are_one() {
        let mut web = group("web", 500, 40_000, vec![culprit("hog", 7, 500, 40_000, 0.5)]);
        web.culprits[0].ns += 1;
        let found = body(vec![web], vec![cpu(0, 1.0)]).contradictions();
        assert!(matches!(&found[..], [Contradiction::PartsDiffer { of, .. }] if of == "web"), "{found:?}");
    }

    #[test]
    fn groups_that_lack_most_waits_are_one() {
        let held =
            |count| body(vec![group("web", count, 40_000, vec![])], vec![cpu(0, 1.0)]).contradictions();
        assert_eq!(held(250).len(), 0);
        assert_eq!(held(249).len(), 1);
    }
}
