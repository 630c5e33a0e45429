//! Features of CPUs and hypervisors that decide what exits: data.

use crate::kernel::hypervisor::Hypervisor;

/// A register of a leaf, by its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tools::vmexit) enum Register {
    Eax = 0,
    Ecx = 2,
    Edx = 3,
}

/// A bit of CPUID.
#[derive(Debug, Clone, Copy)]
pub(in crate::tools::vmexit) struct Place {
    /// The leaf; of a hypervisor's from the first of its block.
    pub(in crate::tools::vmexit) leaf: u32,
    pub(in crate::tools::vmexit) register: Register,
    pub(in crate::tools::vmexit) bit: u32,
}

/// A feature.
#[derive(Debug, Clone, Copy)]
pub(in crate::tools::vmexit) struct Offer {
    /// Its name, as records have it.
    pub(in crate::tools::vmexit) name: &'static str,
    /// Whose it is; none for one of the CPU itself.
    pub(in crate::tools::vmexit) of: Option<Hypervisor>,
    /// Where CPUID has it.
    pub(in crate::tools::vmexit) place: Place,
}

const fn cpu(name: &'static str, register: Register, bit: u32) -> Offer {
    Offer { name, of: None, place: Place { leaf: 1, register, bit } }
}

const fn kvm(name: &'static str, bit: u32) -> Offer {
    let place = Place { leaf: 1, register: Register::Eax, bit };
    Offer { name, of: Some(Hypervisor::Kvm), place }
}

const fn hyper_v(name: &'static str, leaf: u32, bit: u32) -> Offer {
    Offer { name, of: Some(Hypervisor::HyperV), place: Place { leaf, register: Register::Eax, bit } }
}

const fn xen(name: &'static str, bit: u32) -> Offer {
    let place = Place { leaf: 4, register: Register::Eax, bit };
    Offer { name, of: Some(Hypervisor::Xen), place }
}

/// All of them.
pub(in crate::tools::vmexit) const OFFERS: &[Offer] = &[
    // Intel SDM vol. 2, CPUID leaf 1; AMD APM vol. 3, appendix E.
    cpu("MWAIT", Register::Ecx, 3),
    cpu("x2APIC", Register::Ecx, 21),
    cpu("TSC_DEADLINE", Register::Ecx, 24),
    // Linux, arch/x86/include/uapi/asm/kvm_para.h (6.1).
    kvm("CLOCKSOURCE", 0),
    kvm("CLOCKSOURCE2", 3),
    kvm("ASYNC_PF", 4),
    kvm("STEAL_TIME", 5),
    kvm("PV_EOI", 6),
    kvm("PV_UNHALT", 7),
    kvm("PV_TLB_FLUSH", 9),
    kvm("ASYNC_PF_VMEXIT", 10),
    kvm("PV_SEND_IPI", 11),
    kvm("POLL_CONTROL", 12),
    kvm("PV_SCHED_YIELD", 13),
    kvm("ASYNC_PF_INT", 14),
    kvm("MSI_EXT_DEST_ID", 15),
    kvm("HC_MAP_GPA_RANGE", 16),
    kvm("MIGRATION_CONTROL", 17),
    kvm("CLOCKSOURCE_STABLE", 24),
    Offer {
        name: "HINTS_REALTIME",
        of: Some(Hypervisor::Kvm),
        place: Place { leaf: 1, register: Register::Edx, bit: 0 },
    },
    // Linux, include/hyperv/hvgdk_mini.h (6.17): HV_MSR_*_AVAILABLE and *_RECOMMENDED.
    hyper_v("HV_REFERENCE_COUNTER", 3, 1),
    hyper_v("HV_SYNIC", 3, 2),
    hyper_v("HV_SYNTHETIC_TIMER", 3, 3),
    hyper_v("HV_APIC_MSRS", 3, 4),
    hyper_v("HV_REFERENCE_TSC", 3, 9),
    hyper_v("HV_GUEST_IDLE", 3, 10),
    hyper_v("HV_LOCAL_TLB_FLUSH", 4, 1),
    hyper_v("HV_REMOTE_TLB_FLUSH", 4, 2),
    hyper_v("HV_APIC_ACCESS", 4, 3),
    hyper_v("HV_NO_AUTO_EOI", 4, 9),
    hyper_v("HV_CLUSTER_IPI", 4, 10),
    // Linux, arch/x86/include/asm/xen/cpuid.h (6.2): XEN_HVM_CPUID_*.
    xen("XEN_APIC_ACCESS_VIRT", 0),
    xen("XEN_X2APIC_VIRT", 1),
    xen("XEN_UPCALL_VECTOR", 6),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_are_unique() {
        for (at, a) in OFFERS.iter().enumerate() {
            for b in &OFFERS[at + 1..] {
                assert_ne!(a.name, b.name);
                let place =
                    |offer: &Offer| (offer.of, offer.place.leaf, offer.place.register, offer.place.bit);
                assert_ne!(place(a), place(b), "{} and {}", a.name, b.name);
            }
        }
    }
}
