//! `osdiag.vmexit/1`: what a record of `osdiag vmexit` adds to the common keys.

use schemars::JsonSchema;
use serde::Serialize;

use super::{advice, attach};
pub(crate) use super::{calibrate::ExitCost, exits::Exits, invisible::InvisibleExit};
use crate::output::{
    advice::ids,
    histogram::Histogram,
    record::{
        Body,
        parties::{Omitted, Task},
        verdict::Verdict,
    },
};

/// What `osdiag vmexit` found in an interval or a session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Vmexit {
    /// What this guest did that may make its CPUs exit, in the order of `--sort`; `--top` of them.
    pub(crate) activities: Vec<Activity>,
    /// What `activities` lacks, and the estimated time of those; the time is null without `exit_cost`.
    pub(crate) activities_omitted: Omitted,
    /// Events of the activities that `activities` lacks.
    pub(crate) other_event_count: u64,
    /// What an exit costs here; null where CPUID does not exit, so that there is nothing to measure by.
    pub(crate) exit_cost: Option<ExitCost>,
    /// Estimated share of all CPUs' time that exits took from tasks and interrupts, 0 to 1: those that happen and those that
    /// may. Null without `exit_cost`.
    pub(crate) cpu_share: Option<f64>,
    /// The part of it of activities that exit for certain.
    pub(crate) cpu_share_certain: Option<f64>,
    /// The same as `cpu_share`, of exits of idle CPUs: time that nothing wanted to run in.
    pub(crate) cpu_share_idle: Option<f64>,
    /// What CPU and hypervisor offer, and what is made of it.
    pub(crate) features: Features,
    /// What idle CPUs did.
    pub(crate) idle: Idle,
    /// Interrupts that came in this time, as `/proc/interrupts` counts them, for comparison.
    pub(crate) interrupts: Interrupts,
    /// Time in which CPUs of this guest were ready to run and the hypervisor ran something else, ns, over all of them; null
    /// where the hypervisor does not tell.
    pub(crate) steal_ns: Option<u64>,
    /// What makes this guest exit most, and what would stop it.
    pub(crate) verdict: Verdict,
    /// Exits that no guest can see, and that are in none of the numbers.
    pub(crate) invisible_exits: Vec<InvisibleExit>,
}

impl Body for Vmexit {
    const SCHEMA: &'static str = "osdiag.vmexit/1";

    fn unavailable_names() -> Vec<&'static str> {
        [attach::KERNEL_SIDE.unavailable_names(), super::FOUND_UNAVAILABLE.to_vec()].concat()
    }

    fn advice_rules() -> Vec<&'static str> {
        ids(advice::RULES)
    }

    fn set_verdict(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }

    fn counted(&self) -> Option<u64> {
        Some(self.event_count())
    }
}

impl Vmexit {
    /// All events.
    pub(crate) fn event_count(&self) -> u64 {
        self.activities.iter().map(|activity| activity.event_count).sum::<u64>() + self.other_event_count
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Deed {
    /// A register was written.
    MsrWrite,
    /// A register was read.
    MsrRead,
    /// An IPI was sent that makes another CPU look at its run queue.
    IpiReschedule,
    /// An IPI was sent that makes another CPU call a function.
    IpiCall,
    /// The same, and the function flushes its TLB.
    TlbShootdown,
    /// The local timer interrupted.
    Timer,
    /// An idle CPU halted.
    Hlt,
    /// The kernel read a performance counter.
    PmcRead,
}

impl Deed {
    /// The name that records use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Deed::MsrWrite => "msr-write",
            Deed::MsrRead => "msr-read",
            Deed::IpiReschedule => "ipi-reschedule",
            Deed::IpiCall => "ipi-call",
            Deed::TlbShootdown => "tlb-shootdown",
            Deed::Timer => "timer",
            Deed::Hlt => "hlt",
            Deed::PmcRead => "pmc-read",
        }
    }

    /// Whether it sends an IPI.
    pub(crate) fn is_ipi(self) -> bool {
        matches!(self, Deed::IpiCall | Deed::IpiReschedule | Deed::TlbShootdown)
    }
}

/// One thing that was done. Nothing is in two of them: an IPI that is sent by writing a register is one of the IPIs, and
/// no `msr-write`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Activity {
    /// What it is.
    pub(crate) activity: Deed,
    /// The register's name in the manuals; of an IPI the kernel function that the other CPU calls; of a timer interrupt the
    /// function of the first timer that expired; of a halt the idle state. Null where that has no name, or is not known.
    pub(crate) name: Option<String>,
    /// The number of the register that was accessed; null where it was done without one.
    pub(crate) msr: Option<u32>,
    /// How often.
    pub(crate) event_count: u64,
    /// The part of `event_count` of idle CPUs.
    pub(crate) idle_event_count: u64,
    /// How often a second.
    pub(crate) events_per_second: f64,
    /// Who did it, most first.
    pub(crate) doers: Vec<Doer>,
    /// What `doers` lacks: they are many and did little.
    pub(crate) doers_omitted: Omitted,
    /// The part of `event_count` of doers that `doers` lacks.
    pub(crate) other_event_count: u64,
    /// Whether it makes the CPU exit.
    pub(crate) exits: Exits,
    /// Why.
    pub(crate) why: &'static str,
    /// The same in a few words.
    #[serde(skip)]
    pub(crate) in_short: &'static str,
    /// Estimated time that its exits took, ns, at `exit_cost.p50_ns` each; 0 where it does not exit, null without
    /// `exit_cost`.
    pub(crate) estimated_ns: Option<u64>,
    /// The same without exits of idle CPUs, as a share of all CPUs' time, 0 to 1: what it took from tasks and interrupts.
    pub(crate) cpu_share: Option<f64>,
    /// The same of exits of idle CPUs.
    pub(crate) cpu_share_idle: Option<f64>,
}

impl Activity {
    /// As people say it: `msr-write IA32_TSC_DEADLINE`, `msr-read 0xc0011234`, `hlt`.
    pub(crate) fn label(&self) -> String {
        match (&self.name, self.msr) {
            (Some(name), _) => format!("{} {name}", self.activity.name()),
            (None, Some(msr)) if !self.activity.is_ipi() => format!("{} {msr:#x}", self.activity.name()),
            _ => self.activity.name().to_owned(),
        }
    }

    /// The name; of a register without one its number.
    pub(crate) fn object(&self) -> String {
        match (&self.name, self.msr) {
            (Some(name), _) => name.clone(),
            (None, Some(msr)) => format!("{msr:#x}"),
            (None, None) => "?".to_owned(),
        }
    }

    /// Whether its function is one of these.
    pub(crate) fn is_one_of(&self, names: &[&str]) -> bool {
        self.name.as_deref().is_some_and(|name| names.contains(&name))
    }

    /// What is not of idle CPUs, of what was estimated, ns.
    pub(crate) fn busy_ns(&self) -> Option<u64> {
        let busy_count = self.event_count.saturating_sub(self.idle_event_count);
        let ns = u128::from(self.estimated_ns?) * u128::from(busy_count);
        Some((ns / u128::from(self.event_count.max(1))) as u64)
    }
}

/// In what context something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Context {
    /// By a task, which is named.
    Task,
    /// By the idle tasks of all CPUs.
    Idle,
    /// In an interrupt or softirq: the task that it interrupted has no part in it, and is not named.
    Interrupt,
    /// Of a timer that was armed before the session began, or before thousands of others were.
    Unknown,
}

/// Who did something: for a timer interrupt who armed the timer, else who was at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Doer {
    /// In what context.
    pub(crate) context: Context,
    /// All threads of one name in a process; null in contexts other than `task`.
    pub(crate) task: Option<Task>,
    /// How often.
    pub(crate) event_count: u64,
}

/// What CPU and hypervisor offer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Features {
    /// The hypervisor's signatures in CPUID, in the order of their leaves; empty outside a virtual machine.
    pub(crate) signatures: Vec<String>,
    /// Who made the CPU.
    pub(crate) cpu_vendor: Vendor,
    /// Features that can spare exits, of the CPU and of such a hypervisor.
    pub(crate) paravirtual_features: Vec<Feature>,
    /// The clock that time is read from; null where `/sys` does not tell.
    pub(crate) clocksource: Option<String>,
    /// The device behind the local timer; null likewise.
    pub(crate) timer_device: Option<String>,
    /// Ticks a second; null where the kernel's configuration is not shown.
    pub(crate) hz: Option<u32>,
}

/// Who made a CPU, which decides what its virtualisation can spare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Vendor {
    /// VT-x: Intel, Centaur, Zhaoxin.
    Intel,
    /// AMD-V: AMD, Hygon.
    Amd,
    /// Anybody else.
    #[default]
    Other,
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Feature {
    /// Its name: of KVM's as in the kernel without `KVM_FEATURE_`, of Hyper-V's beginning with `HV_`, of Xen's with
    /// `XEN_`.
    pub(crate) name: &'static str,
    /// Whether it is there.
    pub(crate) offered: bool,
    /// Whether the kernel uses it; null where that cannot be known.
    pub(crate) used: Option<bool>,
}

/// What idle CPUs did, over all of them, whatever the target.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Idle {
    /// cpuidle's driver; null where idle CPUs do what the architecture does by default.
    pub(crate) driver: Option<String>,
    /// cpuidle's governor; null without cpuidle.
    pub(crate) governor: Option<String>,
    /// How long a CPU polls at most before it halts, ns; null without the governor `haltpoll`.
    pub(crate) halt_poll_ns: Option<u64>,
    /// How often CPUs polled instead of halting; null without an idle state that polls.
    pub(crate) poll_count: Option<u64>,
    /// How long, ns; null likewise.
    pub(crate) polling_ns: Option<u64>,
    /// How long CPUs halted, each time.
    pub(crate) halted: Histogram,
}

/// Interrupts that `/proc/interrupts` counts, on all CPUs; each null where it does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Interrupts {
    /// `LOC`: local timer.
    pub(crate) timer_count: Option<u64>,
    /// `RES`: rescheduling.
    pub(crate) reschedule_count: Option<u64>,
    /// `CAL`: function calls, TLB shootdowns among them.
    pub(crate) call_count: Option<u64>,
    /// `TLB`: TLB shootdowns.
    pub(crate) tlb_count: Option<u64>,
}
