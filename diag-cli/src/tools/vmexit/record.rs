//! `osdiag.vmexit/1`: what a record of `osdiag vmexit` adds to the common keys.

use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use super::{calibrate::ExitCost, exits::Exits};
use crate::output::{histogram::Histogram, record::Body};

/// What `osdiag vmexit` found in an interval or a session.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Vmexit {
    /// What this guest did that may make its CPUs exit; largest estimate first.
    pub(crate) causes: Vec<Cause>,
    /// What an exit costs here, ns; null where CPUID does not exit, so that there is nothing to measure by.
    pub(crate) exit_cost_ns: Option<ExitCost>,
    /// Estimated share of all CPUs' time that exits took, 0 to 1: those that happen and those that may; null without
    /// `exit_cost_ns`.
    pub(crate) vcpu_share: Option<f64>,
    /// The part of it of causes that exit for certain.
    pub(crate) vcpu_share_certain: Option<f64>,
    /// The hypervisor, what it offers, and what is made of it.
    pub(crate) features: Features,
    /// What idle CPUs did.
    pub(crate) idle: Idle,
    /// Interrupts that came in this time, as `/proc/interrupts` counts them, for comparison.
    pub(crate) interrupts: Interrupts,
    /// Time in which CPUs of this guest were ready to run and the hypervisor ran something else, ns, over all of them.
    pub(crate) steal_ns: u64,
    /// What makes this guest exit most; null where nothing does.
    pub(crate) verdict: Option<Verdict>,
    /// What would stop it, most worth first.
    pub(crate) advice: Vec<Advice>,
    /// Exits that no guest can see, and that are in none of the numbers.
    pub(crate) not_visible: Vec<NotVisible>,
}

impl Body for Vmexit {
    const SCHEMA: &'static str = "osdiag.vmexit/1";
}

/// The kind of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CauseKind {
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

impl CauseKind {
    /// The name that records use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            CauseKind::MsrWrite => "msr-write",
            CauseKind::MsrRead => "msr-read",
            CauseKind::IpiReschedule => "ipi-reschedule",
            CauseKind::IpiCall => "ipi-call",
            CauseKind::TlbShootdown => "tlb-shootdown",
            CauseKind::Timer => "timer",
            CauseKind::Hlt => "hlt",
            CauseKind::PmcRead => "pmc-read",
        }
    }
}

/// One thing that was done. Nothing is in two of them: an IPI that is sent by writing a register is one of the IPIs, and
/// no `msr-write`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Cause {
    /// What kind of thing it is.
    pub(crate) kind: CauseKind,
    /// The register's name, or its number where it has none; of an IPI the kernel function that the other CPU calls,
    /// where that is known; of a timer interrupt the function of the first timer that expired, `none` where none did;
    /// of a halt the idle state.
    pub(crate) name: String,
    /// The register that was accessed, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub(crate) msr: Option<u32>,
    /// How often.
    pub(crate) count: u64,
    /// How often a second.
    pub(crate) per_second: f64,
    /// Who did it, most first.
    pub(crate) by: Vec<Doer>,
    /// The part of `count` of doers that are not in `by`, which are many and did little.
    pub(crate) others: u64,
    /// Whether it makes the CPU exit.
    pub(crate) exits: Exits,
    /// Why.
    pub(crate) why: String,
    /// The same in a few words.
    #[serde(skip)]
    pub(crate) in_short: &'static str,
    /// Estimated time that its exits took, ns, at `exit_cost_ns.p50` each; 0 where it does not exit, null without
    /// `exit_cost_ns`.
    pub(crate) estimated_ns: Option<u64>,
    /// The same as a share of all CPUs' time, 0 to 1.
    pub(crate) vcpu_share: Option<f64>,
}

/// In what context something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Context {
    /// By a task, which is named.
    Task,
    /// In an interrupt or softirq: whom it interrupted has no part in it, and is not named.
    Interrupt,
    /// Of a timer that was armed before the session began, or before thousands of others were.
    Unknown,
}

/// Who did something: for a timer interrupt who armed the timer, else who was at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Doer {
    /// The thread's name; `swapper` for the idle tasks of all CPUs; empty where nobody is named.
    pub(crate) comm: String,
    /// Its process; 0 for the idle tasks, and where nobody is named.
    pub(crate) pid: u32,
    /// Its cgroup's path in the hierarchy that the session uses; absent where it is gone or nobody is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) cgroup: Option<String>,
    /// In what context.
    pub(crate) context: Context,
    /// How often.
    pub(crate) count: u64,
}

/// The hypervisor, and what it offers.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Features {
    /// Its name for people; `none` outside a virtual machine.
    pub(crate) hypervisor: String,
    /// Its signatures in CPUID, in the order of their leaves.
    pub(crate) signatures: Vec<String>,
    /// Who made the CPU: `intel`, `amd` or `other`.
    pub(crate) cpu: &'static str,
    /// Features that can spare exits, of the CPU and of such a hypervisor.
    pub(crate) paravirtual: Vec<Feature>,
    /// The clock that time is read from.
    pub(crate) clocksource: String,
    /// The device behind the local timer.
    pub(crate) timer: String,
    /// Ticks a second; absent where the kernel's configuration is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub(crate) hz: Option<u32>,
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Feature {
    /// Its name: of KVM's as in the kernel without `KVM_FEATURE_`, of Hyper-V's beginning with `HV_`, of Xen's with
    /// `XEN_`.
    pub(crate) name: &'static str,
    /// Whether it is there.
    pub(crate) offered: bool,
    /// Whether the kernel uses it; absent where that cannot be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(crate) used: Option<bool>,
}

/// What idle CPUs did, over all of them.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Idle {
    /// cpuidle's driver; `none` where idle CPUs do what the architecture does by default.
    pub(crate) driver: String,
    /// cpuidle's governor.
    pub(crate) governor: String,
    /// How long a CPU polls at most before it halts, ns; absent without the governor `haltpoll`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub(crate) halt_poll_ns: Option<u64>,
    /// How often CPUs polled instead of halting.
    pub(crate) polls: u64,
    /// How long, ns.
    pub(crate) polling_ns: u64,
    /// How long CPUs halted, each time.
    pub(crate) halted: Histogram,
}

/// Interrupts that `/proc/interrupts` counts, on all CPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Interrupts {
    /// `LOC`: local timer.
    pub(crate) timer: u64,
    /// `RES`: rescheduling.
    pub(crate) reschedule: u64,
    /// `CAL`: function calls, TLB shootdowns among them.
    pub(crate) call: u64,
    /// `TLB`: TLB shootdowns.
    pub(crate) tlb: u64,
}

/// What makes this guest exit most.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Verdict {
    /// The cause's kind.
    pub(crate) kind: CauseKind,
    /// Its name.
    pub(crate) name: String,
    /// One plain sentence.
    pub(crate) statement: String,
}

/// Something that would stop exits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Advice {
    /// The rule's name, which stays the same from release to release.
    pub(crate) rule: &'static str,
    /// One or two plain sentences.
    pub(crate) text: String,
    /// Where it is from.
    pub(crate) source: &'static str,
}

/// A kind of exits that no guest can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct NotVisible {
    /// What.
    pub(crate) what: &'static str,
    /// Why not, and what would tell.
    pub(crate) why: &'static str,
}
