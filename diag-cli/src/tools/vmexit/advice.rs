//! What would stop exits: rules, as data. Each has a condition, its text, and its source.

use super::{
    guest::Guest,
    model::SWAPPER,
    record::{Advice, Cause, CauseKind, Context, Doer, Vmexit},
    words,
};
use crate::output::units;

/// What the rules look at.
pub(super) struct Facts<'a> {
    pub(super) guest: &'a Guest,
    pub(super) body: &'a Vmexit,
    pub(super) cpus: u64,
    pub(super) duration_ns: u64,
}

struct Rule {
    name: &'static str,
    /// Of what the text speaks, where the rule applies.
    applies: fn(&Facts<'_>) -> Option<String>,
    /// `{}` stands for that.
    text: &'static str,
    source: &'static str,
}

/// What applies, in the order of the rules.
pub(super) fn advice(facts: &Facts<'_>) -> Vec<Advice> {
    let one = |rule: &Rule| {
        let subject = (rule.applies)(facts)?;
        Some(Advice { rule: rule.name, text: rule.text.replace("{}", &subject), source: rule.source })
    };
    // Where nothing exits there is nothing to stop.
    if facts.guest.cpu.can_exit() { RULES.iter().filter_map(one).collect() } else { Vec::new() }
}

/// Halts of one CPU in a second from which on they are many.
const MANY_HALTS: f64 = 1000.0;
/// Halts shorter than this, ns, are over before a host has made use of the CPU: the default of `guest_halt_poll_ns`.
const SHORT_HALT_NS: u64 = 200_000;
/// Timers, IPIs or shootdowns of one doer in a second from which on they are many.
const MANY_TIMERS: f64 = 500.0;
const MANY_SHOOTDOWNS: f64 = 1000.0;
const MANY_WAKEUPS: f64 = 5000.0;
/// Register reads, and reads of counters, in a second from which on somebody polls them.
const MANY_READS: f64 = 10.0;
const MANY_COUNTERS: f64 = 100.0;
/// Ticks of one CPU in a second that are too many.
const FAST_HZ: u32 = 1000;
/// Ticks of idle CPUs in a second.
const MANY_IDLE_TICKS: f64 = 50.0;
/// A share of CPU time that the hypervisor takes.
const MUCH_STEAL: f64 = 0.05;

impl Facts<'_> {
    fn causes(&self, kind: CauseKind) -> impl Iterator<Item = &Cause> {
        self.body.causes.iter().filter(move |cause| cause.kind == kind)
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 * 1e9 / self.duration_ns.max(1) as f64
    }

    /// The busiest doer of some causes that is a task and not idle, and how often a second it does it.
    fn busiest<'a>(&self, causes: impl Iterator<Item = &'a Cause>, least: f64) -> Option<String> {
        let doers = causes.flat_map(|cause| &cause.by);
        let is_task = |doer: &&Doer| doer.context == Context::Task && doer.comm != SWAPPER;
        let busiest = doers.filter(is_task).max_by_key(|doer| doer.count)?;
        let rate = self.per_second(busiest.count);
        (rate >= least).then(|| format!("{}[{}] ({})", busiest.comm, busiest.pid, a_second(rate)))
    }

    /// How often a second causes happen that have such a name.
    fn named(&self, kind: CauseKind, names: &[&str]) -> f64 {
        let causes = self.causes(kind).filter(|cause| names.contains(&cause.name.as_str()));
        causes.map(|cause| cause.per_second).sum()
    }

    /// CPUs that halt often and shortly: how often, how long, where that applies.
    fn short_halts(&self) -> Option<String> {
        let halts: f64 = self.causes(CauseKind::Hlt).map(|cause| cause.per_second).sum();
        let typical_ns = self.body.idle.halted.p50_ns;
        let many = halts / self.cpus.max(1) as f64 >= MANY_HALTS && typical_ns <= SHORT_HALT_NS;
        let rate = units::count(halts.round() as u64);
        let words = format!("{rate} times a second, half of them for less than {}", units::time(typical_ns));
        (many && !self.guest.kernel.polls_before_halt()).then_some(words)
    }
}

fn a_second(rate: f64) -> String {
    format!("{} a second", units::count(rate.round() as u64))
}

const RULES: &[Rule] = &[
    Rule {
        name: "halt-polling-off",
        applies: |facts| facts.short_halts().filter(|_| facts.guest.kernel.idle_driver == "haltpoll"),
        text: "idle CPUs halt {}: let them poll first, echo 200000 > /sys/module/haltpoll/parameters/guest_halt_poll_ns; \
               it spares halts, wake-up IPIs and timer writes, and costs CPU time that the host then has not",
        source: "Linux 6.18, Documentation/virt/guest-halt-polling.rst",
    },
    Rule {
        name: "halt-polling-missing",
        applies: |facts| facts.short_halts().filter(|_| facts.guest.kernel.idle_driver != "haltpoll"),
        text: "idle CPUs halt {}: boot with cpuidle_haltpoll.force=1 (CONFIG_HALTPOLL_CPUIDLE), so that they poll for a \
               moment first",
        source: "Linux 6.18, Documentation/virt/guest-halt-polling.rst",
    },
    Rule {
        name: "clocksource",
        applies: |facts| {
            const SLOW: [&str; 2] = ["hpet", "acpi_pm"];
            let kernel = &facts.guest.kernel;
            let is_slow = |clock: &str| SLOW.contains(&clock);
            let better: Vec<&str> =
                kernel.clocksources.iter().map(String::as_str).filter(|clock| !is_slow(clock)).collect();
            let better = if better.is_empty() { "nothing better".to_owned() } else { better.join(", ") };
            is_slow(&kernel.clocksource).then(|| format!("{} (there is {better})", kernel.clocksource))
        },
        text: "each read of the clock exits, which is {}: \
               /sys/devices/system/clocksource/clocksource0/current_clocksource takes another one, and dmesg says why \
               tsc was given up",
        source: "Linux 6.18, Documentation/virt/kvm/x86/timekeeping.rst",
    },
    Rule {
        name: "tick-when-idle",
        applies: |facts| {
            let is_idle = |doer: &&Doer| doer.comm == SWAPPER && doer.pid == 0;
            let ticks = facts.causes(CauseKind::Timer).filter(|cause| words::TICKS.contains(&&*cause.name));
            let idle = ticks.flat_map(|cause| cause.by.iter().filter(is_idle)).map(|doer| doer.count).sum();
            let rate = facts.per_second(idle);
            let ticking = facts.guest.kernel.ticks_when_idle && rate >= MANY_IDLE_TICKS;
            ticking.then(|| a_second(rate))
        },
        text: "idle CPUs have their tick, {}: boot without nohz=off, or with a kernel that has CONFIG_NO_HZ_IDLE",
        source: "Linux 6.18, Documentation/timers/no_hz.rst",
    },
    Rule {
        name: "tick-rate",
        applies: |facts| {
            let hz = facts.guest.kernel.hz.filter(|&hz| hz >= FAST_HZ)?;
            let ticks = facts.named(CauseKind::Timer, words::TICKS);
            (ticks >= f64::from(hz) / 2.0).then(|| format!("{hz} times a second"))
        },
        text: "busy CPUs tick {} (CONFIG_HZ): a kernel with 250 exits a quarter as often for it; \
               nohz_full= frees chosen CPUs altogether",
        source: "Linux 6.18, Documentation/timers/no_hz.rst",
    },
    Rule {
        name: "sleeps",
        applies: |facts| {
            let sleeps = facts.causes(CauseKind::Timer).filter(|cause| cause.name == words::SLEEPS);
            facts.busiest(sleeps, MANY_TIMERS)
        },
        text: "{} wakes up by short time limits: wait for the event instead of polling, sleep longer, or let the kernel \
               put wake-ups together (prctl PR_SET_TIMERSLACK, systemd's TimerSlackNSec=)",
        source: "prctl(2), timer slack; Linux 6.18, kernel/time/hrtimer.c",
    },
    Rule {
        name: "periodic-timers",
        applies: |facts| {
            const PERIODIC: [&str; 3] = ["timerfd_tmrproc", "posix_timer_fn", "it_real_fn"];
            let timers =
                facts.causes(CauseKind::Timer).filter(|cause| PERIODIC.contains(&cause.name.as_str()));
            facts.busiest(timers, MANY_TIMERS)
        },
        text: "{} has a fast periodic timer (timerfd, timer_create or setitimer): a longer period, or one timer for \
               several jobs",
        source: "timerfd_create(2), timer_create(2), setitimer(2)",
    },
    Rule {
        name: "pacing",
        applies: |facts| {
            let rate = facts.named(CauseKind::Timer, &["tcp_pace_kick", "qdisc_watchdog"]);
            (rate >= MANY_TIMERS).then(|| a_second(rate))
        },
        text: "sending is paced by timers, {} (BBR, SO_MAX_PACING_RATE, or the packet scheduler fq): where the network \
               can take bursts, another net.ipv4.tcp_congestion_control, such as cubic without fq, needs none",
        source: "Linux 6.18, net/ipv4/tcp_output.c (tcp_update_skb_after_send), net/sched/sch_fq.c",
    },
    Rule {
        name: "unmaps",
        applies: |facts| facts.busiest(facts.causes(CauseKind::TlbShootdown), MANY_SHOOTDOWNS),
        text: "{} makes other CPUs flush their TLBs: fewer and larger munmap, mprotect and madvise calls, an allocator \
               that gives memory back later (glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, jemalloc's \
               dirty_decay_ms), or its threads on fewer CPUs",
        source: "Linux 6.18, Documentation/arch/x86/tlb.rst; mallopt(3)",
    },
    Rule {
        name: "wake-ups",
        applies: |facts| {
            let calls = facts.causes(CauseKind::IpiCall).filter(|cause| cause.name == words::WAKE_UPS);
            facts.busiest(calls.chain(facts.causes(CauseKind::IpiReschedule)), MANY_WAKEUPS)
        },
        text: "{} wakes tasks on other CPUs: those that talk to each other are better off on one CPU (taskset, a \
               cpuset), or with more work for each wake-up",
        source: "Linux 6.18, kernel/sched/core.c (ttwu_queue_wakelist); sched_setaffinity(2)",
    },
    Rule {
        name: "pv-ipi-shunned",
        applies: |facts| {
            let off = facts.guest.kernel.shuns_paravirt && facts.guest.cpu.offers("PV_SEND_IPI");
            off.then(|| "nopv".to_owned())
        },
        text: "the hypervisor offers to send IPIs to many CPUs at the price of one exit, and the kernel was booted with \
               {}: leave that away",
        source: "Linux 6.18, Documentation/virt/kvm/x86/hypercalls.rst (KVM_HC_SEND_IPI)",
    },
    Rule {
        name: "msr-readers",
        applies: |facts| {
            const ELSEWHERE: [&str; 2] = ["__rdmsr_on_cpu", "__rdmsr_safe_on_cpu"];
            let calls =
                facts.causes(CauseKind::IpiCall).filter(|cause| ELSEWHERE.contains(&cause.name.as_str()));
            facts.busiest(calls.chain(facts.causes(CauseKind::MsrRead)), MANY_READS)
        },
        text: "{} reads model-specific registers: a monitoring agent that asks for temperature, energy or frequency, \
               which a guest has none of; turn that collector off",
        source: "msr(4); Linux 6.18, arch/x86/lib/msr-smp.c",
    },
    Rule {
        name: "counter-readers",
        applies: |facts| {
            const ELSEWHERE: [&str; 2] = ["remote_function", "__perf_event_read"];
            let calls =
                facts.causes(CauseKind::IpiCall).filter(|cause| ELSEWHERE.contains(&cause.name.as_str()));
            facts.busiest(calls.chain(facts.causes(CauseKind::PmcRead)), MANY_COUNTERS)
        },
        text: "{} uses performance counters: a profiler or agent; a lower frequency, fewer events, or clocks of the \
               kernel instead (perf -e cpu-clock)",
        source: "perf_event_open(2)",
    },
    Rule {
        name: "steal",
        applies: |facts| {
            let share = facts.body.steal_ns as f64 / (facts.duration_ns * facts.cpus.max(1)).max(1) as f64;
            (share >= MUCH_STEAL).then(|| units::percent(share))
        },
        text: "the hypervisor ran something else for {} of this guest's CPU time: that is a busy host or a quota, which \
               sparing exits does not cure",
        source: "proc_stat(5), steal",
    },
];

#[cfg(test)]
#[path = "advice_tests.rs"]
mod tests;
