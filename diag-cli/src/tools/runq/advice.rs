//! What to look at next, by what a group lost its time to: rules as data, of Linux 6.18 unless said otherwise.

use std::path::Path;

use super::{
    record::Reason,
    rivalry::{Quota, Rivalry},
};
use crate::output::{
    advice::{Adviser, Rule},
    record::{parties::Task, verdict::Advice},
};

/// When a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// CPUs were idle while others were full.
    Free,
    /// Others ran, and this decides between them and who waited.
    Others(Knob),
    /// Others ran, none of them most of the time.
    Many,
    /// This is what the group lost most to.
    On(Reason),
    /// That is not known.
    Unknown,
    /// A task got no CPU at all.
    Starved,
}

/// [`Rivalry`], without its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knob {
    /// [`Rivalry::Nice`]
    Nice,
    /// [`Rivalry::Autogroups`]
    Autogroups,
    /// [`Rivalry::Cgroups`]
    Weights,
    /// [`Rivalry::Kernel`]
    None,
}

/// What advice depends on.
#[derive(Clone, Debug, Default)]
pub(super) struct Situation<'a> {
    /// What most was lost to.
    pub(super) reason: Option<Reason>,
    /// Who waited, or one of them.
    pub(super) victim: Option<&'a Task>,
    /// Who had the CPU most.
    pub(super) culprit: Option<&'a Task>,
    /// What decides between the two.
    pub(super) rivalry: Option<Rivalry>,
    /// The victim's quota.
    pub(super) quota: Option<Quota>,
    /// CPUs that were mostly idle while others were full, and all CPUs.
    pub(super) free: Option<(Vec<u32>, Vec<u32>)>,
    /// Whether it is about a task that got no CPU at all.
    pub(super) starved: bool,
}

impl Situation<'_> {
    fn is(&self, when: When) -> bool {
        let others = self.reason == Some(Reason::Others);
        match when {
            When::Free => {
                let crowded = [Reason::Others, Reason::Itself, Reason::RealTime].map(Some);
                self.free.is_some() && crowded.contains(&self.reason)
            }
            When::Others(knob) => others && self.rivalry.as_ref().map(knob_of) == Some(knob),
            When::Many => others && self.culprit.is_none(),
            When::On(reason) => self.reason == Some(reason),
            When::Unknown => self.reason.is_none() && !self.starved,
            When::Starved => self.starved,
        }
    }
}

fn knob_of(rivalry: &Rivalry) -> Knob {
    match rivalry {
        Rivalry::Nice => Knob::Nice,
        Rivalry::Autogroups => Knob::Autogroups,
        Rivalry::Cgroups(_) => Knob::Weights,
        Rivalry::Kernel => Knob::None,
    }
}

/// What to look at next.
pub(super) fn advice(situation: &Situation<'_>) -> Vec<Advice> {
    let Situation { victim, culprit, rivalry, quota, free, .. } = situation;
    let pid = |task: &Option<&Task>| task.and_then(|task| task.pid).map(|pid| pid.to_string());
    let list = |cpus: &[u32]| cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let idle = free.as_ref().map(|(free, all)| {
        let were = if free.len() == 1 { "was" } else { "were" };
        format!("{} of {} CPUs {were} mostly idle meanwhile", free.len(), all.len())
    });
    let kernel = matches!(rivalry, Some(Rivalry::Kernel));
    let elsewhere = free.as_ref().filter(|_| !kernel).map(|(free, _)| list(free));
    let weight = match rivalry {
        Some(Rivalry::Cgroups(file)) => Some(format!("{} > {}", least_weight(file), file.display())),
        _ => None,
    };
    let gaps = [
        ("idle", idle),
        ("cpus", free.as_ref().map(|(_, all)| list(all))),
        ("elsewhere", elsewhere),
        ("victim", pid(victim)),
        ("comm", culprit.and_then(|task| task.comm.clone())),
        ("pid", pid(culprit)),
        ("weight", weight),
        ("quota", quota.as_ref().map(|quota| format!("{} says {}", quota.file.display(), quota.value))),
        ("no quota", quota.as_ref().map(|quota| format!("{} > {}", quota.none, quota.file.display()))),
    ];
    let mut adviser = Adviser::new(&gaps);
    adviser.add(RULES, usize::MAX, |&when| situation.is(when));
    adviser.finish()
}

/// A tenth of the weight that a cgroup has by default, in the unit of its file.
fn least_weight(file: &Path) -> &'static str {
    if file.ends_with("cpu.shares") { "102" } else { "10" }
}

/// The rules. `{comm}` and `{pid}` stand for who had the CPU most, `{victim}` for the process id of one who waited.
pub(super) const RULES: &[Rule<When>] = &[
    Rule {
        id: "free-cpus",
        when: When::Free,
        text: "{idle}: where affinity ties the tasks to the busy ones, taskset -a -c -p {cpus} {victim} lets them use all; else see cpuset.cpus of their cgroup, and isolcpus",
        source: "taskset(1); Documentation/admin-guide/cgroup-v1/cpusets.rst",
    },
    Rule {
        id: "culprit-nice",
        when: When::Others(Knob::Nice),
        text: "give {comm} less of the CPU, all of its threads: renice -n 10 -p $(ls /proc/{pid}/task)",
        source: "renice(1); sched(7), 'The nice value'",
    },
    Rule {
        id: "culprit-autogroup",
        when: When::Others(Knob::Autogroups),
        text: "nice values count within a session only; give the session of {comm} less of the CPU: echo 10 > /proc/{pid}/autogroup",
        source: "sched(7), 'The autogroup feature'",
    },
    Rule {
        id: "culprit-weight",
        when: When::Others(Knob::Weights),
        text: "nice values count within a cgroup only; give that of {comm} less of the CPU: echo {weight}",
        source: "Documentation/admin-guide/cgroup-v2.rst, 'CPU'; Documentation/scheduler/sched-design-CFS.rst",
    },
    Rule {
        id: "kernel-thread",
        when: When::Others(Knob::None),
        text: "{comm} is a kernel thread, so what it works for is the matter, not its priority: perf top -p {pid}",
        source: "perf-top(1)",
    },
    Rule {
        id: "keep-apart",
        when: When::On(Reason::Others),
        text: "or keep the two apart: taskset -a -c -p {elsewhere} {pid}",
        source: "taskset(1)",
    },
    Rule {
        id: "culprit-profile",
        when: When::On(Reason::Others),
        text: "what {comm} does with the CPU: perf top -p {pid}",
        source: "perf-top(1)",
    },
    Rule {
        id: "fewer-tasks",
        when: When::Many,
        text: "more tasks want to run than there are CPUs for them: fewer at a time, or more CPUs; --by process and --by cgroup show which",
        source: "Documentation/scheduler/sched-eevdf.rst",
    },
    Rule {
        id: "real-time-policy",
        when: When::On(Reason::RealTime),
        text: "{comm}[{pid}] has a real-time policy, so it runs before every ordinary task: chrt -a -p {pid} shows it, chrt -a -o -p 0 {pid} takes it away",
        source: "sched(7); chrt(1)",
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
        text: "whether it is tied to few CPUs: taskset -a -c -p {victim}, cpuset.cpus of its cgroup",
        source: "taskset(1); Documentation/admin-guide/cgroup-v1/cpusets.rst",
    },
    Rule {
        id: "quota",
        when: When::On(Reason::Quota),
        text: "a higher quota: {quota}, and cpu.stat beside it how often that was used up; echo {no quota} lifts it",
        source: "Documentation/scheduler/sched-bwc.rst",
    },
    Rule {
        id: "quota-place",
        when: When::On(Reason::Quota),
        text: "the quota is that of its cgroup or of one above (cpu.max; v1: cpu.cfs_quota_us); where bursts are the trouble and the average is below it: cpu.max.burst (v1: cpu.cfs_burst_us)",
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
        text: "the host ran something else on the CPU of this guest's vCPU, which no setting of the guest decides; steal_ns is what to show to those who run the host",
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
        text: "the time is that of waking an idle CPU, and of its vCPU on the host; where /sys/devices/system/cpu/cpuidle/current_governor_ro says haltpoll, CPUs can look for work for so many ns before they halt, at the expense of the host's CPU: echo 200000 > /sys/module/haltpoll/parameters/guest_halt_poll_ns",
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
        text: "what runs before it on that CPU: chrt -a -p {victim} shows its own policy, ps -eLo psr,cls,rtprio,ni,pid,comm those of the others",
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

    fn task(pid: u32) -> Task {
        Task { pid: Some(pid), comm: Some("hog".into()), ..Task::default() }
    }

    fn rules(situation: &Situation<'_>) -> Vec<&'static str> {
        let advice = advice(situation);
        assert!(advice.iter().all(|advice| !advice.text.contains('{')), "{advice:?}");
        advice.iter().map(|advice| advice.rule).collect()
    }

    #[test]
    fn every_reason_has_advice() {
        check(RULES);
        let culprit = task(7);
        for reason in [
            Reason::Others,
            Reason::Itself,
            Reason::RealTime,
            Reason::Quota,
            Reason::Steal,
            Reason::Interrupts,
            Reason::IdleCpu,
        ] {
            let situation =
                Situation { reason: Some(reason), culprit: Some(&culprit), ..Situation::default() };
            assert!(!rules(&situation).is_empty(), "{reason:?}");
        }
        assert!(!rules(&Situation::default()).is_empty());
        assert_eq!(
            rules(&Situation { starved: true, victim: Some(&culprit), ..Situation::default() }),
            ["starved-policy"]
        );
        assert_eq!(
            rules(&Situation { reason: Some(Reason::Others), ..Situation::default() }),
            ["fewer-tasks"]
        );
    }

    #[test]
    fn what_decides_is_what_is_advised() {
        let culprit = task(7);
        for (rivalry, rule, words) in [
            (Rivalry::Nice, "culprit-nice", "renice -n 10 -p $(ls /proc/7/task)"),
            (Rivalry::Autogroups, "culprit-autogroup", "echo 10 > /proc/7/autogroup"),
            (Rivalry::Cgroups("/c/b/cpu.shares".into()), "culprit-weight", "echo 102 > /c/b/cpu.shares"),
            (Rivalry::Cgroups("/c/b/cpu.weight".into()), "culprit-weight", "echo 10 > /c/b/cpu.weight"),
            (Rivalry::Kernel, "kernel-thread", "perf top -p 7"),
        ] {
            let situation = Situation {
                reason: Some(Reason::Others),
                culprit: Some(&culprit),
                rivalry: Some(rivalry),
                ..Situation::default()
            };
            assert_eq!(rules(&situation), [rule, "culprit-profile"]);
            assert!(advice(&situation)[0].text.contains(words), "{:?}", advice(&situation));
        }
    }

    #[test]
    fn free_cpus_come_first() {
        let (culprit, victim) = (task(7), task(8));
        let free = |reason| Situation {
            reason: Some(reason),
            culprit: Some(&culprit),
            victim: Some(&victim),
            free: Some((vec![0], vec![0, 1])),
            ..Situation::default()
        };
        let said = advice(&free(Reason::Itself))[0].text.clone();
        assert!(
            said.starts_with("1 of 2 CPUs was mostly idle") && said.contains("taskset -a -c -p 0,1 8"),
            "{said}"
        );
        assert!(rules(&free(Reason::Others)).contains(&"keep-apart"));
        assert_eq!(rules(&free(Reason::Steal))[0], "steal");
    }
}
