//! Exits that no guest can see: data.

use schemars::JsonSchema;
use serde::Serialize;

/// A kind of exits that no guest can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct InvisibleExit {
    /// Which.
    pub(crate) exit: Exit,
    /// Why not, and what would tell.
    pub(crate) why: &'static str,
    /// What it is, for people.
    #[serde(skip)]
    pub(crate) what: &'static str,
}

/// What makes a CPU exit without being seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Exit {
    /// A fault of the second level (EPT, NPT).
    SecondLevelFault,
    /// A kick of a device, or another access to its memory or ports.
    DeviceAccess,
    /// A hypercall.
    Hypercall,
    /// An interrupt from outside.
    ExternalInterrupt,
    /// The exit of the CPU that an IPI is sent to.
    IpiTarget,
    /// An end of interrupt.
    EndOfInterrupt,
    /// CPUID, RDTSC or a port access by a program.
    Instruction,
    /// A PAUSE loop.
    PauseLoop,
    /// A register access that no tracepoint tells.
    UntracedRegister,
}

const fn invisible(exit: Exit, what: &'static str, why: &'static str) -> InvisibleExit {
    InvisibleExit { exit, why, what }
}

/// All of them.
pub(super) const INVISIBLE: &[InvisibleExit] = &[
    invisible(
        Exit::SecondLevelFault,
        "faults of the second level (EPT, NPT)",
        "the hypervisor handles them under the guest; first touches of memory and ballooning cause them",
    ),
    invisible(
        Exit::DeviceAccess,
        "kicks of devices and other accesses to their memory or ports",
        "no tracepoint; virtio kicks are about as many as requests or packets are batched into",
    ),
    invisible(Exit::Hypercall, "hypercalls", "no tracepoint; those that send an IPI are counted as that IPI"),
    invisible(
        Exit::ExternalInterrupt,
        "interrupts that arrive from outside",
        "the host's own, and those of devices where they are not posted; /proc/interrupts counts the latter",
    ),
    invisible(
        Exit::IpiTarget,
        "the exit of the CPU that an IPI is sent to",
        "it depends on posted interrupts (APICv, AVIC)",
    ),
    invisible(
        Exit::EndOfInterrupt,
        "end of interrupt (EOI)",
        "the kernel writes it past all tracepoints; PV_EOI, APICv and AVIC spare most of its exits",
    ),
    invisible(
        Exit::Instruction,
        "CPUID, RDTSC and port accesses by programs",
        "no tracepoint; clocks other than tsc and those of the hypervisor are read through ports or memory",
    ),
    invisible(Exit::PauseLoop, "PAUSE loops", "the processor decides how many spins make an exit"),
    invisible(
        Exit::UntracedRegister,
        "register accesses in assembler and in code without tracing",
        "FS and GS bases at context switches, mitigations at the kernel's entry; mostly passed through",
    ),
];
