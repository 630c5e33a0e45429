//! What to look at next, by what a group lost its time to: rules as data, of Linux 6.18 unless said otherwise.

use super::record::Reason;
use crate::output::{
    advice::{Adviser, Rule},
    record::{parties::Task, verdict::Advice},
};

/// When a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// CPUs were idle while others were full.
    Free,
    /// This is what the group lost most to.
    On(Reason),
    /// That is not known.
    Unknown,
    /// A task got no CPU at all.
    Starved,
}

/// What advice depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    /// What most was lost to.
    pub(super) reason: Option<Reason>,
    /// The first culprit; of a task that got no CPU that task.
    pub(super) culprit: Option<&'a Task>,
    /// How many CPUs were mostly idle, of how many.
    pub(super) free: Option<(usize, usize)>,
    /// Whether it is about a task that got no CPU at all.
    pub(super) starved: bool,
}

impl Situation<'_> {
    /// Nothing but the reason is known.
    pub(super) fn of(reason: Option<Reason>) -> Situation<'static> {
        Situation { reason, culprit: None, free: None, starved: false }
    }

    fn is(&self, when: When) -> bool {
        match when {
            When::Free => {
                let crowded = [Reason::Others, Reason::Itself, Reason::RealTime].map(Some);
                self.free.is_some() && crowded.contains(&self.reason)
            }
            When::On(reason) => self.reason == Some(reason),
            When::Unknown => self.reason.is_none() && !self.starved,
            When::Starved => self.starved,
        }
    }
}

/// What to look at next.
pub(super) fn advice(situation: &Situation<'_>) -> Vec<Advice> {
    let culprit = situation.culprit;
    let free = situation.free.map(|(free, all)| {
        format!("{free} of {all} CPUs {} mostly idle meanwhile", if free == 1 { "was" } else { "were" })
    });
    let gaps = [
        ("free", free),
        ("comm", culprit.and_then(|task| task.comm.clone())),
        ("pid", culprit.and_then(|task| task.pid).map(|pid| pid.to_string())),
        ("cgroup", culprit.and_then(|task| task.cgroup.clone())),
    ];
    let mut adviser = Adviser::new(&gaps);
    adviser.add(RULES, usize::MAX, |&when| situation.is(when));
    adviser.finish()
}

/// The rules; `{comm}`, `{pid}` and `{cgroup}` stand for those of the first culprit.
pub(super) const RULES: &[Rule<When>] = &[
    Rule {
        id: "free-cpus",
        when: When::Free,
        text: "{free}: what ties the tasks to the busy ones (taskset -p, cpuset.cpus, numactl, isolcpus)?",
        source: "Documentation/admin-guide/cgroup-v1/cpusets.rst; taskset(1)",
    },
    Rule {
        id: "culprit-weight",
        when: When::On(Reason::Others),
        text: "give {cgroup} less of the CPU (cpu.weight, cpu.max), or {comm} itself: renice 10 -p {pid}",
        source: "Documentation/admin-guide/cgroup-v2.rst, 'CPU'; renice(1)",
    },
    Rule {
        id: "keep-apart",
        when: When::On(Reason::Others),
        text: "or keep the two apart: cpuset.cpus, taskset -p",
        source: "Documentation/admin-guide/cgroup-v1/cpusets.rst; taskset(1)",
    },
    Rule {
        id: "culprit-profile",
        when: When::On(Reason::Others),
        text: "what {comm} does with the CPU: perf top -p {pid}",
        source: "perf-top(1)",
    },
    Rule {
        id: "real-time-policy",
        when: When::On(Reason::RealTime),
        text: "{comm}[{pid}] has a real-time policy, so it runs before every ordinary task: chrt -a -p {pid} shows it, chrt -a -o -p 0 {pid} takes it away",
        source: "sched(7); chrt(1)",
    },
    Rule {
        id: "real-time-bound",
        when: When::On(Reason::RealTime),
        text: "what bounds real-time tasks: kernel.sched_rt_runtime_us of kernel.sched_rt_period_us",
        source: "Documentation/scheduler/sched-rt-group.rst",
    },
    Rule {
        id: "fewer-threads",
        when: When::On(Reason::Itself),
        text: "it has more runnable threads than it gets CPUs: fewer threads or more CPUs; --by process and --by thread show which",
        source: "Documentation/scheduler/sched-eevdf.rst",
    },
    Rule {
        id: "own-affinity",
        when: When::On(Reason::Itself),
        text: "whether it is tied to few CPUs: taskset -a -p PID, cpuset.cpus",
        source: "taskset(1); Documentation/admin-guide/cgroup-v1/cpusets.rst",
    },
    Rule {
        id: "quota",
        when: When::On(Reason::Quota),
        text: "a higher quota: cpu.max (v1: cpu.cfs_quota_us), of its cgroup or of one above; nr_throttled and throttled_usec in cpu.stat say which",
        source: "Documentation/scheduler/sched-bwc.rst",
    },
    Rule {
        id: "quota-burst",
        when: When::On(Reason::Quota),
        text: "where bursts are the trouble and the average is below the quota: cpu.max.burst (v1: cpu.cfs_burst_us)",
        source: "Documentation/scheduler/sched-bwc.rst",
    },
    Rule {
        id: "quota-threads",
        when: When::On(Reason::Quota),
        text: "threads by the number of the machine's CPUs burn a small quota at once: fewer of them",
        source: "Documentation/scheduler/sched-bwc.rst",
    },
    Rule {
        id: "steal",
        when: When::On(Reason::Steal),
        text: "the host had no CPU for this guest: nothing in the guest helps; show steal_ns to the provider, or take a dedicated type",
        source: "Documentation/virt/kvm/x86/msr.rst: MSR_KVM_STEAL_TIME",
    },
    Rule {
        id: "interrupt-sources",
        when: When::On(Reason::Interrupts),
        text: "which interrupts: /proc/interrupts and /proc/softirqs, twice; their CPUs: /proc/irq/*/smp_affinity_list",
        source: "Documentation/filesystems/proc.rst: interrupts, softirqs; Documentation/core-api/irq/irq-affinity.rst",
    },
    Rule {
        id: "idle-wake-up",
        when: When::On(Reason::IdleCpu),
        text: "the time is that of waking an idle CPU, and of its vCPU on the host: guest_halt_poll_ns (module haltpoll), or idle=poll, trade power for it",
        source: "Documentation/admin-guide/pm/cpuidle.rst; Documentation/virt/guest-halt-polling.rst",
    },
    Rule {
        id: "idle-steal",
        when: When::On(Reason::IdleCpu),
        text: "whether the hypervisor delays the vCPU: steal_ns",
        source: "Documentation/virt/kvm/x86/msr.rst: MSR_KVM_STEAL_TIME",
    },
    Rule {
        id: "starved-policy",
        when: When::Starved,
        text: "what runs before it on that CPU: its own policy is shown by chrt -p {pid}, those of the others by ps -eLo psr,cls,rtprio,ni,pid,comm",
        source: "sched(7); ps(1)",
    },
    Rule {
        id: "narrower",
        when: When::Unknown,
        text: "--by process and --by cpu, or fewer tasks (--cgroup, -p), may show who",
        source: "contract of osdiag.runq/1: groups[].unattributed_ns",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::advice::check;

    #[test]
    fn every_reason_has_advice() {
        check(RULES);
        for reason in [
            Reason::Others,
            Reason::Itself,
            Reason::RealTime,
            Reason::Quota,
            Reason::Steal,
            Reason::Interrupts,
            Reason::IdleCpu,
        ] {
            let task = Task { pid: Some(7), comm: Some("hog".into()), ..Task::default() };
            let situation = Situation { culprit: Some(&task), ..Situation::of(Some(reason)) };
            let advice = advice(&situation);
            assert!(!advice.is_empty(), "{reason:?}");
            assert!(advice.iter().all(|advice| !advice.text.contains('{')), "{advice:?}");
        }
        assert!(!advice(&Situation::of(None)).is_empty());
    }

    #[test]
    fn free_cpus_come_first() {
        let situation = Situation { free: Some((1, 2)), ..Situation::of(Some(Reason::Itself)) };
        assert!(advice(&situation)[0].text.starts_with("1 of 2 CPUs was mostly idle"));
        let situation = Situation { free: Some((1, 2)), ..Situation::of(Some(Reason::Steal)) };
        assert_eq!(advice(&situation)[0].rule, "steal");
    }
}
