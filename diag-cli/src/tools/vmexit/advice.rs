//! What would stop exits: rules, as data.

use super::{
    collect::{Halts, SHORT_HALT_NS},
    exits::Exits,
    model::Scene,
    record::{Activity, Context, Deed, Doer, Vmexit},
    words,
};
use crate::output::{
    advice::{Adviser, Rule},
    record::verdict::Advice,
    units,
};

/// What the rules look at.
pub(super) struct Facts<'a> {
    scene: &'a Scene<'a>,
    body: &'a Vmexit,
    /// Each CPU's halts.
    halts: &'a [Halts],
}

/// When a rule applies, beside that what fills its gap is known.
type When = fn(&Facts<'_>) -> bool;

const ALWAYS: When = |_| true;

/// What applies, in the order of the rules.
pub(super) fn advice(scene: &Scene<'_>, body: &Vmexit, halts: &[Halts]) -> Vec<Advice> {
    let facts = Facts { scene, body, halts };
    let gaps = facts.gaps();
    let mut adviser = Adviser::new(&gaps);
    // Where nothing exits there is nothing to stop.
    if scene.guest.cpu.can_exit() {
        adviser.add(RULES, usize::MAX, |when| when(&facts));
    }
    adviser.finish()
}

/// Halts of one CPU in a second from which on they are many.
const MANY_HALTS: f64 = 1000.0;
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

/// Timers that start themselves again: timerfd, timer_create, setitimer.
const PERIODIC: &[&str] = &["timerfd_tmrproc", "posix_timer_fn", "it_real_fn"];
/// Timers by which sending is paced.
const PACING: &[&str] = &["tcp_pace_kick", "qdisc_watchdog"];
/// What another CPU calls to read one of its registers.
const READS_ELSEWHERE: &[&str] = &["__rdmsr_on_cpu", "__rdmsr_safe_on_cpu"];
/// What another CPU calls for a performance counter.
const COUNTERS_ELSEWHERE: &[&str] = &["remote_function", "__perf_event_read"];

impl Facts<'_> {
    /// What fills the rules' gaps; none of what does not apply.
    fn gaps(&self) -> [(&'static str, Option<String>); 12] {
        let calls = |names: &'static [&'static str]| self.named(Deed::IpiCall, names);
        let timers = |names: &'static [&'static str]| self.named(Deed::Timer, names);
        let paced = timers(PACING).map(|activity| activity.events_per_second).sum();
        [
            ("halts", self.short_halts()),
            ("clock", self.slow_clock()),
            ("idle-ticks", self.idle_ticks()),
            ("ticks", self.fast_ticks()),
            ("sleeper", self.busiest(timers(&[words::SLEEPS]), MANY_TIMERS)),
            ("periodic", self.busiest(timers(PERIODIC), MANY_TIMERS)),
            ("paced", (paced >= MANY_TIMERS).then(|| a_second(paced))),
            ("unmapper", self.busiest(self.activities(Deed::TlbShootdown), MANY_SHOOTDOWNS)),
            (
                "waker",
                self.busiest(
                    calls(&[words::WAKE_UPS]).chain(self.activities(Deed::IpiReschedule)),
                    MANY_WAKEUPS,
                ),
            ),
            (
                "register-reader",
                self.busiest(calls(READS_ELSEWHERE).chain(self.activities(Deed::MsrRead)), MANY_READS),
            ),
            (
                "counter-reader",
                self.busiest(calls(COUNTERS_ELSEWHERE).chain(self.activities(Deed::PmcRead)), MANY_COUNTERS),
            ),
            ("stolen", self.much_steal()),
        ]
    }

    /// Activities of a kind, of those that may exit.
    fn activities(&self, deed: Deed) -> impl Iterator<Item = &Activity> {
        let may_exit = self.body.activities.iter().filter(|activity| activity.exits != Exits::No);
        may_exit.filter(move |activity| activity.activity == deed)
    }

    /// Activities that have such a name.
    fn named(&self, deed: Deed, names: &'static [&'static str]) -> impl Iterator<Item = &Activity> {
        self.activities(deed).filter(|activity| activity.is_one_of(names))
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 * 1e9 / self.scene.duration_ns.max(1) as f64
    }

    /// The busiest task among the doers of some activities, and how often a second it does it.
    fn busiest<'a>(&self, activities: impl Iterator<Item = &'a Activity>, least: f64) -> Option<String> {
        let doers = activities.flat_map(|activity| &activity.doers);
        let tasks = doers.filter_map(|doer| Some((doer.task.as_ref()?, doer.event_count)));
        let (task, count) = tasks.max_by_key(|&(_, count)| count)?;
        let rate = self.per_second(count);
        (rate >= least).then(|| format!("{} ({})", task.label(), a_second(rate)))
    }

    /// CPUs that halt often and shortly, judged one by one: how many, and how often.
    fn short_halts(&self) -> Option<String> {
        let is_short = |halts: &&Halts| {
            self.per_second(halts.count) >= MANY_HALTS && halts.short_count * 2 >= halts.count
        };
        let (mut number, mut most) = (0, 0);
        for halts in self.halts.iter().filter(is_short) {
            (number, most) = (number + 1, most.max(halts.count));
        }
        let rate = a_second(self.per_second(most));
        let all = units::counted(self.scene.cpus, "CPU");
        let words = format!(
            "{number} of {all} halt up to {rate}, mostly for less than {}",
            units::time(SHORT_HALT_NS)
        );
        let fits = number > 0 && self.scene.targets_all && !self.scene.guest.kernel.polls_before_halt();
        fits.then_some(words)
    }

    fn slow_clock(&self) -> Option<String> {
        let is_slow = |clock: &str| matches!(clock, "hpet" | "acpi_pm");
        let kernel = &self.scene.guest.kernel;
        let clock = kernel.clocksource.as_deref().filter(|clock| is_slow(clock))?;
        let clocks = kernel.clocksources.iter().map(String::as_str);
        let better: Vec<&str> = clocks.filter(|clock| !is_slow(clock)).collect();
        let better = if better.is_empty() { "nothing better".to_owned() } else { better.join(", ") };
        Some(format!("{clock} (there is {better})"))
    }

    fn idle_ticks(&self) -> Option<String> {
        let is_idle = |doer: &&Doer| doer.context == Context::Idle;
        let doers = self.named(Deed::Timer, words::TICKS).flat_map(|activity| &activity.doers);
        let rate = self.per_second(doers.filter(is_idle).map(|doer| doer.event_count).sum());
        let ticking = self.scene.guest.kernel.ticks_when_idle && rate >= MANY_IDLE_TICKS;
        ticking.then(|| a_second(rate))
    }

    fn fast_ticks(&self) -> Option<String> {
        let hz = self.scene.guest.kernel.hz.filter(|&hz| hz >= FAST_HZ)?;
        let ticks: f64 =
            self.named(Deed::Timer, words::TICKS).map(|activity| activity.events_per_second).sum();
        (ticks >= f64::from(hz) / 2.0).then(|| format!("{hz} times a second"))
    }

    /// Steal is of all tasks, so it is nothing that a target does.
    fn much_steal(&self) -> Option<String> {
        let all_ns = self.scene.duration_ns * self.scene.cpus.max(1);
        let share = self.body.steal_ns? as f64 / all_ns.max(1) as f64;
        (self.scene.targets_all && share >= MUCH_STEAL).then(|| units::percent(share))
    }
}

fn a_second(rate: f64) -> String {
    format!("{} a second", units::count(rate.round() as u64))
}

/// The rules; `{NAME}` stands for what they speak of.
pub(super) const RULES: &[Rule<When>] = &[
    Rule {
        id: "halt-polling-off",
        when: |facts| facts.scene.guest.kernel.has_haltpoll_driver(),
        text: "{halts}: let them poll first, echo 200000 > \
               /sys/module/haltpoll/parameters/guest_halt_poll_ns; it spares halts, wake-up IPIs and timer writes, and \
               costs CPU time that the host then has not",
        source: "Linux 6.18, Documentation/virt/guest-halt-polling.rst",
    },
    Rule {
        id: "halt-polling-missing",
        when: |facts| !facts.scene.guest.kernel.has_haltpoll_driver(),
        text: "{halts}: boot with cpuidle_haltpoll.force=1 (CONFIG_HALTPOLL_CPUIDLE), so that they poll \
               for a moment first",
        source: "Linux 6.18, Documentation/virt/guest-halt-polling.rst",
    },
    Rule {
        id: "clocksource",
        when: ALWAYS,
        text: "each read of the clock exits, which is {clock}: \
               /sys/devices/system/clocksource/clocksource0/current_clocksource takes another one, and dmesg says why \
               tsc was given up",
        source: "Linux 6.18, Documentation/virt/kvm/x86/timekeeping.rst",
    },
    Rule {
        id: "tick-when-idle",
        when: ALWAYS,
        text: "idle CPUs have their tick, {idle-ticks}: boot without nohz=off, or with a kernel that has \
               CONFIG_NO_HZ_IDLE",
        source: "Linux 6.18, Documentation/timers/no_hz.rst",
    },
    Rule {
        id: "tick-rate",
        when: ALWAYS,
        text: "busy CPUs tick {ticks} (CONFIG_HZ): a kernel with 250 exits a quarter as often for it; \
               nohz_full= frees chosen CPUs altogether",
        source: "Linux 6.18, Documentation/timers/no_hz.rst",
    },
    Rule {
        id: "sleeps",
        when: ALWAYS,
        text: "{sleeper} wakes up by short time limits: wait for the event instead of polling, sleep longer, or let the \
               kernel put wake-ups together (prctl PR_SET_TIMERSLACK, systemd's TimerSlackNSec=)",
        source: "prctl(2), timer slack; Linux 6.18, kernel/time/hrtimer.c",
    },
    Rule {
        id: "periodic-timers",
        when: ALWAYS,
        text: "{periodic} has a fast periodic timer (timerfd, timer_create or setitimer): a longer period, or one timer \
               for several jobs",
        source: "timerfd_create(2), timer_create(2), setitimer(2)",
    },
    Rule {
        id: "pacing",
        when: ALWAYS,
        text: "sending is paced by timers, {paced} (BBR, SO_MAX_PACING_RATE, or the packet scheduler fq): where the \
               network can take bursts, another net.ipv4.tcp_congestion_control, such as cubic without fq, needs none",
        source: "Linux 6.18, net/ipv4/tcp_output.c (tcp_update_skb_after_send), net/sched/sch_fq.c",
    },
    Rule {
        id: "unmaps",
        when: ALWAYS,
        text: "{unmapper} makes other CPUs flush their TLBs: fewer and larger munmap, mprotect and madvise calls, an \
               allocator that gives memory back later (glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, jemalloc's \
               dirty_decay_ms), or its threads on fewer CPUs",
        source: "Linux 6.18, Documentation/arch/x86/tlb.rst; mallopt(3)",
    },
    Rule {
        id: "wake-ups",
        when: ALWAYS,
        text: "{waker} wakes tasks on other CPUs: those that talk to each other are better off on one CPU (taskset, a \
               cpuset), or with more work for each wake-up",
        source: "Linux 6.18, kernel/sched/core.c (ttwu_queue_wakelist); sched_setaffinity(2)",
    },
    Rule {
        id: "pv-ipi-shunned",
        when: |facts| facts.scene.guest.kernel.shuns_paravirt && facts.scene.guest.cpu.offers("PV_SEND_IPI"),
        text: "the hypervisor offers to send IPIs to many CPUs at the price of one exit, and the kernel was booted with \
               nopv: leave that away",
        source: "Linux 6.18, Documentation/virt/kvm/x86/hypercalls.rst (KVM_HC_SEND_IPI)",
    },
    Rule {
        id: "msr-readers",
        when: ALWAYS,
        text: "{register-reader} reads model-specific registers: a monitoring agent that asks for temperature, energy or \
               frequency, which a guest has none of; turn that collector off",
        source: "msr(4); Linux 6.18, arch/x86/lib/msr-smp.c",
    },
    Rule {
        id: "counter-readers",
        when: ALWAYS,
        text: "{counter-reader} uses performance counters: a profiler or agent; a lower frequency, fewer events, or \
               clocks of the kernel instead (perf -e cpu-clock)",
        source: "perf_event_open(2)",
    },
    Rule {
        id: "steal",
        when: ALWAYS,
        text: "the hypervisor ran something else for {stolen} of this guest's CPU time: that is a busy host or a quota, \
               which sparing exits does not cure",
        source: "proc_stat(5), steal",
    },
];

#[cfg(test)]
#[path = "advice_tests.rs"]
mod tests;
