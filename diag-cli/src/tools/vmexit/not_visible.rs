//! Exits that no guest can see: data.

use super::record::NotVisible;

/// All of them.
pub(super) const NOT_VISIBLE: &[NotVisible] = &[
    NotVisible {
        what: "faults of the second level (EPT, NPT)",
        why: "the hypervisor handles them under the guest; first touches of memory and ballooning cause them",
    },
    NotVisible {
        what: "kicks of devices and other accesses to their memory or ports",
        why: "no tracepoint; virtio kicks are about as many as requests or packets are batched into",
    },
    NotVisible { what: "hypercalls", why: "no tracepoint; those that send an IPI are counted as that IPI" },
    NotVisible {
        what: "interrupts that arrive from outside",
        why: "the host's own, and those of devices where they are not posted; /proc/interrupts counts the latter",
    },
    NotVisible {
        what: "the exit of the CPU that an IPI is sent to",
        why: "it depends on posted interrupts (APICv, AVIC)",
    },
    NotVisible {
        what: "end of interrupt (EOI)",
        why: "the kernel writes it past all tracepoints; PV_EOI, APICv and AVIC spare most of its exits",
    },
    NotVisible {
        what: "CPUID, RDTSC and port accesses by programs",
        why: "no tracepoint; clocks other than tsc and those of the hypervisor are read through ports or memory",
    },
    NotVisible { what: "PAUSE loops", why: "the processor decides how many spins make an exit" },
    NotVisible {
        what: "register accesses in assembler and in code without tracing",
        why: "FS and GS bases at context switches, mitigations at the kernel's entry; mostly passed through",
    },
];
