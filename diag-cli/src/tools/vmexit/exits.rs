//! Whether a thing makes this guest exit: rules, as data. The first that fits decides.

use schemars::JsonSchema;
use serde::Serialize;

use super::{guest::Guest, record::Vendor};
use crate::{
    arch::msr::{
        APIC, APIC_VIRTUALISED, COUNTERS, PASSED_ON_REQUEST, PASSED_ON_USE, SEGMENTS, SYNTHETIC,
        SYSTEM_CALLS, TIME_STAMP_COUNTER, TSC_DEADLINE,
    },
    kernel::hypervisor::Hypervisor,
};

/// Whether it exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Exits {
    /// Each time.
    Yes,
    /// Never.
    No,
    /// A guest cannot know: it is up to the host, or to a feature that spares some of the exits.
    Depends,
}

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Writes a register.
    Write(u32),
    /// Reads a register.
    Read(u32),
    /// Sends an IPI by writing the x2APIC's command register.
    IpiByRegister,
    /// Sends an IPI in another way.
    IpiOtherwise,
    /// Is interrupted by the local timer.
    Timer,
    /// Halts.
    Halt,
    /// Reads a performance counter.
    ReadCounter,
}

/// An answer, and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) exits: Exits,
    /// Why, in a few words.
    pub(super) why: &'static str,
    /// The same in full.
    pub(super) reason: &'static str,
}

/// Whether `act` makes `guest` exit.
pub(super) fn exits(guest: &Guest, act: Act) -> Answer {
    let rule = RULES.iter().find(|rule| (rule.about)(act) && (rule.on)(guest)).unwrap_or(&REST);
    Answer { exits: rule.exits, why: rule.why, reason: rule.reason }
}

struct Rule {
    about: fn(Act) -> bool,
    on: fn(&Guest) -> bool,
    exits: Exits,
    why: &'static str,
    reason: &'static str,
}

const fn any(_: Act) -> bool {
    true
}

fn kvm(guest: &Guest) -> bool {
    guest.cpu.hypervisor == Some(Hypervisor::Kvm)
}

fn hyper_v(guest: &Guest) -> bool {
    guest.cpu.hypervisor == Some(Hypervisor::HyperV)
}

fn on_intel(guest: &Guest) -> bool {
    guest.cpu.vendor == Vendor::Intel
}

fn is_register(act: Act, these: &[(u32, u32)]) -> bool {
    let (Act::Write(msr) | Act::Read(msr)) = act else { return false };
    these.iter().any(|&(first, last)| (first..=last).contains(&msr))
}

const PASSED_THROUGH: Answer =
    Answer { exits: Exits::No, why: "passed through", reason: "KVM lets guests have this register" };

const RULES: &[Rule] = &[
    Rule {
        about: any,
        on: |guest| !guest.cpu.is_virtual(),
        exits: Exits::No,
        why: "no virtual machine",
        reason: "no hypervisor says that it is there (CPUID leaf 1, ECX bit 31)",
    },
    Rule {
        about: any,
        on: |guest| guest.cpu.hypervisor == Some(Hypervisor::Tcg),
        exits: Exits::No,
        why: "emulated",
        reason: "QEMU emulates this CPU, so there is nothing to exit from",
    },
    // vmx_possible_passthrough_msrs, arch/x86/kvm/vmx/vmx.c; direct_access_msrs, arch/x86/kvm/svm/svm.c (6.12). The
    // time-stamp counter stands in the former, for reading.
    Rule {
        about: |act| is_register(act, SEGMENTS),
        on: kvm,
        exits: Exits::No,
        why: PASSED_THROUGH.why,
        reason: PASSED_THROUGH.reason,
    },
    Rule {
        about: |act| is_register(act, SYSTEM_CALLS),
        on: |guest| kvm(guest) && guest.cpu.vendor == Vendor::Amd,
        exits: Exits::No,
        why: PASSED_THROUGH.why,
        reason: PASSED_THROUGH.reason,
    },
    Rule {
        about: |act| act == Act::Read(TIME_STAMP_COUNTER),
        on: |guest| kvm(guest) && on_intel(guest),
        exits: Exits::No,
        why: PASSED_THROUGH.why,
        reason: PASSED_THROUGH.reason,
    },
    // Documentation/virt/kvm/api.rst (6.18): KVM_X86_DISABLE_EXITS_CSTATE and KVM_X86_DISABLE_EXITS_APERFMPERF.
    Rule {
        about: |act| matches!(act, Act::Read(_)) && is_register(act, PASSED_ON_REQUEST),
        on: kvm,
        exits: Exits::Depends,
        why: "unless passed through",
        reason: "the host can give this register to guests whose CPUs are dedicated, and no guest can see whether it \
                 does",
    },
    // vmx_set_msr and svm_set_msr: MSR_IA32_SPEC_CTRL and its like (6.12).
    Rule {
        about: |act| is_register(act, PASSED_ON_USE),
        on: kvm,
        exits: Exits::Depends,
        why: "passed through once used",
        reason: "KVM lets a guest have this register once it has written it, and intercepts it before",
    },
    // handle_fastpath_set_tscdeadline, arch/x86/kvm/x86.c: ae95f566b3d2 (5.8), up to 6.18.
    Rule {
        about: |act| act == Act::Write(TSC_DEADLINE),
        on: kvm,
        exits: Exits::Yes,
        why: "intercepted",
        reason: "KVM intercepts each write of the deadline, though it handles it on its shortest path",
    },
    // d588bb9be1da, "KVM: VMX: enable IPI virtualization"; 4d1d7942e36a, "KVM: SVM: Introduce logic to (de)activate
    // x2AVIC mode".
    Rule {
        about: |act| act == Act::IpiByRegister,
        on: |guest| kvm(guest) && on_intel(guest),
        exits: Exits::Depends,
        why: "unless IPI virtualisation",
        reason: "a processor with IPI virtualisation (Intel, from Sapphire Rapids on) sends it itself where the host \
                 lets it; no guest can see that. Else each write exits",
    },
    Rule {
        about: |act| act == Act::IpiByRegister,
        on: kvm,
        exits: Exits::Depends,
        why: "unless x2AVIC",
        reason: "a processor with x2AVIC (AMD, from Zen 4 on) delivers it itself where the host lets it and the target \
                 runs; no guest can see that. Else each write exits",
    },
    // Documentation/virt/kvm/x86/hypercalls.rst (6.18): KVM_HC_SEND_IPI.
    Rule {
        about: |act| act == Act::IpiOtherwise,
        on: |guest| kvm(guest) && guest.cpu.offers("PV_SEND_IPI"),
        exits: Exits::Yes,
        why: "a hypercall",
        reason: "sent by a hypercall (KVM_HC_SEND_IPI), which exits once for up to 128 CPUs",
    },
    // arch/x86/hyperv/hv_apic.c (6.18): __send_ipi_mask.
    Rule {
        about: |act| act == Act::IpiOtherwise,
        on: |guest| hyper_v(guest) && guest.cpu.offers("HV_CLUSTER_IPI"),
        exits: Exits::Yes,
        why: "a hypercall",
        reason: "sent by a hypercall (HvCallSendSyntheticClusterIpi), which exits once for many CPUs",
    },
    // drivers/xen/events/events_base.c (6.18): notify_remote_via_irq.
    Rule {
        about: |act| act == Act::IpiOtherwise,
        on: |guest| guest.cpu.hypervisor == Some(Hypervisor::Xen),
        exits: Exits::Yes,
        why: "a hypercall",
        reason: "sent through an event channel, which is a hypercall for each CPU",
    },
    // Intel SDM vol. 3, "Virtualizing Memory-Mapped APIC Accesses"; AMD APM vol. 2, "Advanced Virtual Interrupt
    // Controller".
    Rule {
        about: |act| act == Act::IpiOtherwise,
        on: |_| true,
        exits: Exits::Depends,
        why: "unless APICv or AVIC",
        reason: "written to the APIC's memory, or sent by a hypercall: a processor that virtualises the APIC may spare \
                 the exit, and no guest can see whether it does",
    },
    // Intel SDM vol. 3, "Virtualizing MSR-Based APIC Accesses"; AMD APM vol. 2, "Advanced Virtual Interrupt
    // Controller".
    Rule {
        about: |act| {
            is_register(act, APIC_VIRTUALISED) || matches!(act, Act::Read(_)) && is_register(act, APIC)
        },
        on: |_| true,
        exits: Exits::Depends,
        why: "unless APICv or AVIC",
        reason: "a processor that virtualises the APIC spares the exit, and no guest can see whether it does",
    },
    // arch/x86/kvm/x86.c (6.18): kvm_set_msr_common; include/hyperv/hvgdk_mini.h.
    Rule {
        about: |act| is_register(act, SYNTHETIC),
        on: |_| true,
        exits: Exits::Yes,
        why: "the hypervisor's own",
        reason: "there is no such register in the processor: the hypervisor serves it",
    },
    // arch/x86/kvm/pmu.c (6.18); Intel SDM vol. 3, "Processor-Based VM-Execution Controls": RDPMC exiting.
    Rule {
        about: |act| act == Act::ReadCounter || is_register(act, COUNTERS),
        on: |_| true,
        exits: Exits::Depends,
        why: "unless the counters are mediated",
        reason: "hypervisors emulate performance counters, each access exits; newer ones can hand the counters to the \
                 guest",
    },
    // arch/x86/kvm/lapic.c (6.12): start_hv_timer, kvm_can_post_timer_interrupt.
    Rule {
        about: |act| act == Act::Timer,
        on: |_| true,
        exits: Exits::Depends,
        why: "unless halted or posted",
        reason: "the deadline takes a running CPU out of guest mode, unless the host posts the interrupt from another \
                 CPU; a halted CPU has already exited",
    },
    // Documentation/virt/kvm/api.rst (6.18): KVM_CAP_X86_DISABLE_EXITS; cpuid.rst: KVM_HINTS_REALTIME.
    Rule {
        about: |act| act == Act::Halt,
        on: |guest| kvm(guest) && (guest.cpu.offers("HINTS_REALTIME") || guest.cpu.offers("MWAIT")),
        exits: Exits::Depends,
        why: "unless CPUs are dedicated",
        reason: "the host offers MWAIT or says that vCPUs have CPUs of their own: then it may let them halt without an \
                 exit",
    },
    // Intel SDM vol. 3, "Processor-Based VM-Execution Controls": HLT exiting; AMD APM vol. 2, "Instruction Intercepts".
    Rule {
        about: |act| act == Act::Halt,
        on: |_| true,
        exits: Exits::Yes,
        why: "intercepted",
        reason: "a hypervisor takes a halting CPU for something else, so it intercepts HLT",
    },
    // Intel SDM vol. 3, "MSR-Bitmap Address": all bits are set at first (vmx_vcpu_create, arch/x86/kvm/vmx/vmx.c, and
    // svm_vcpu_alloc_msrpm, arch/x86/kvm/svm/svm.c, 6.12).
    Rule {
        about: |act| matches!(act, Act::Write(_) | Act::Read(_)),
        on: kvm,
        exits: Exits::Yes,
        why: "intercepted",
        reason: "KVM intercepts every register that is not on its short list of those it lets guests have",
    },
];

/// Where no rule fits.
const REST: Rule = Rule {
    about: any,
    on: |_| true,
    exits: Exits::Depends,
    why: "the host decides",
    reason: "the host decides which registers it intercepts, and no guest can see it",
};

#[cfg(test)]
#[path = "exits_tests.rs"]
mod tests;
