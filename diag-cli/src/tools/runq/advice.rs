//! What to look at next, by what a group lost its time to. Data; each piece stands below its source, of Linux 6.18.

use super::record::{Culprit, Reason};

/// Lines of advice in a verdict at most.
const MOST: usize = 4;

/// What to look at next. `free` is how many CPUs were mostly idle, of how many.
pub(super) fn advice(reason: Reason, culprit: Option<&Culprit>, free: Option<(usize, usize)>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some((free, all)) = free
        && matches!(reason, Reason::Others | Reason::Itself | Reason::RealTime)
    {
        lines.push(format!(
            "{free} of {all} CPUs {} mostly idle meanwhile: what ties the tasks to the busy ones (taskset -p, cpuset.cpus, numactl, isolcpus)?",
            if free == 1 { "was" } else { "were" }
        ));
    }
    let fits = RULES.iter().filter(|rule| rule.reason == reason);
    for rule in fits {
        let comm = culprit.map_or("", |culprit| culprit.comm.as_str());
        let pid = culprit.map_or_else(String::new, |culprit| culprit.pid.to_string());
        let cgroup = culprit.and_then(|culprit| culprit.cgroup.as_deref()).unwrap_or("its cgroup");
        lines.push(rule.text.replace("{comm}", comm).replace("{pid}", &pid).replace("{cgroup}", cgroup));
    }
    lines.truncate(MOST);
    lines
}

/// Something worth looking at.
struct Rule {
    reason: Reason,
    /// One line; `{comm}`, `{pid}` and `{cgroup}` stand for those of the first culprit.
    text: &'static str,
}

const fn on(reason: Reason, text: &'static str) -> Rule {
    Rule { reason, text }
}

const RULES: &[Rule] = &[
    // Documentation/admin-guide/cgroup-v2.rst (cpu.weight, cpu.max); Documentation/scheduler/sched-eevdf.rst.
    on(
        Reason::Others,
        "give {cgroup} less of the CPU (cpu.weight, cpu.max), or {comm} itself: renice 10 -p {pid}",
    ),
    // Documentation/admin-guide/cgroup-v1/cpusets.rst.
    on(Reason::Others, "or keep the two apart: cpuset.cpus, taskset -p"),
    on(Reason::Others, "what {comm} does with the CPU: perf top -p {pid}"),
    // man 7 sched.
    on(
        Reason::RealTime,
        "{comm}[{pid}] has a real-time policy, so it runs before every ordinary task: chrt -p {pid} shows it, chrt -o -p 0 {pid} takes it away",
    ),
    // Documentation/scheduler/sched-rt-group.rst.
    on(
        Reason::RealTime,
        "what bounds real-time tasks: kernel.sched_rt_runtime_us of kernel.sched_rt_period_us",
    ),
    on(
        Reason::Itself,
        "it has more runnable threads than it gets CPUs: fewer threads or more CPUs; --by pid and --by tid show which",
    ),
    on(Reason::Itself, "whether it is tied to few CPUs: taskset -p, cpuset.cpus"),
    // Documentation/scheduler/sched-bwc.rst.
    on(
        Reason::Quota,
        "a higher quota: cpu.max (v1: cpu.cfs_quota_us), of its cgroup or of one above; nr_throttled and throttled_usec in cpu.stat say which",
    ),
    on(
        Reason::Quota,
        "where bursts are the trouble and the average is below the quota: cpu.max.burst (v1: cpu.cfs_burst_us)",
    ),
    on(
        Reason::Quota,
        "threads by the number of the machine's CPUs burn a small quota at once: fewer of them",
    ),
    // Documentation/virt/kvm/x86/msr.rst (MSR_KVM_STEAL_TIME).
    on(
        Reason::Steal,
        "the host had no CPU for this guest: nothing in the guest helps; show steal_ns to the provider, or take a dedicated type",
    ),
    on(
        Reason::Interrupts,
        "which interrupts: /proc/interrupts and /proc/softirqs, twice; their CPUs: /proc/irq/*/smp_affinity_list",
    ),
    // Documentation/admin-guide/pm/cpuidle.rst; Documentation/virt/guest-halt-polling.rst.
    on(
        Reason::IdleCpu,
        "the time is that of waking an idle CPU, and of its vCPU on the host: guest_halt_poll_ns (module haltpoll), or idle=poll, trade power for it",
    ),
    on(Reason::IdleCpu, "whether the hypervisor delays the vCPU: steal_ns"),
    on(Reason::Unknown, "--by pid and --by cpu, or fewer tasks (--cgroup, -p), may show who"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_advice() {
        for reason in [
            Reason::Others,
            Reason::Itself,
            Reason::RealTime,
            Reason::Quota,
            Reason::Steal,
            Reason::Interrupts,
            Reason::IdleCpu,
            Reason::Unknown,
        ] {
            assert!(!advice(reason, None, None).is_empty(), "{reason:?}");
        }
    }
}
