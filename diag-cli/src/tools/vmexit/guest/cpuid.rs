//! CPUID: whether there is a hypervisor, which, and what it offers.

use super::offers::{OFFERS, Offer, Place};
use crate::{
    kernel::hypervisor::{self, Hypervisor, Leaves},
    tools::vmexit::record::Vendor,
};

impl Vendor {
    fn of(signature: &str) -> Vendor {
        match signature {
            "GenuineIntel" | "CentaurHauls" | "  Shanghai" => Vendor::Intel,
            "AuthenticAMD" | "HygonGenuine" => Vendor::Amd,
            _ => Vendor::Other,
        }
    }
}

/// What CPUID says of a machine.
#[derive(Debug, Clone, Default)]
pub(in crate::tools::vmexit) struct Cpu {
    /// Who made it.
    pub(in crate::tools::vmexit) vendor: Vendor,
    /// The hypervisor; none on a machine without one.
    pub(in crate::tools::vmexit) hypervisor: Option<Hypervisor>,
    /// Its name, for people; empty without one.
    pub(in crate::tools::vmexit) name: String,
    /// All signatures, in the order of their leaves.
    pub(in crate::tools::vmexit) signatures: Vec<String>,
    /// The features that are offered, of those in [`OFFERS`].
    pub(in crate::tools::vmexit) offered: Vec<&'static str>,
    /// The features that such a hypervisor could offer.
    pub(in crate::tools::vmexit) known: Vec<&'static Offer>,
}

impl Cpu {
    /// Reads the leaves.
    pub(in crate::tools::vmexit) fn of(leaves: &impl Leaves) -> Cpu {
        let [_, b, c, d] = leaves.leaf(0);
        let mut cpu = Cpu { vendor: Vendor::of(&hypervisor::text([b, d, c])), ..Cpu::default() };
        let mut interfaces = Vec::new();
        if let Some(found) = hypervisor::find(leaves) {
            cpu.hypervisor = Some(found.hypervisor);
            (cpu.name, cpu.signatures, interfaces) = (found.name, found.signatures, found.interfaces);
        }
        for offer in OFFERS {
            let base = match offer.of {
                None => Some(0),
                Some(of) => {
                    interfaces.iter().find(|(hypervisor, _)| *hypervisor == of).map(|&(_, base)| base)
                }
            };
            let Some(base) = base else { continue };
            cpu.known.push(offer);
            let Place { leaf, register, bit } = offer.place;
            if leaves.leaf(base + leaf)[register as usize] >> bit & 1 == 1 {
                cpu.offered.push(offer.name);
            }
        }
        cpu
    }

    /// Whether a hypervisor says that it is there.
    pub(in crate::tools::vmexit) fn is_virtual(&self) -> bool {
        self.hypervisor.is_some()
    }

    /// Whether there is anything to exit to: an emulated CPU has a hypervisor only by name.
    pub(in crate::tools::vmexit) fn can_exit(&self) -> bool {
        !matches!(self.hypervisor, None | Some(Hypervisor::Tcg))
    }

    /// Whether a feature of [`OFFERS`] is offered.
    pub(in crate::tools::vmexit) fn offers(&self, name: &str) -> bool {
        self.offered.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernel::hypervisor::Cpuid, tools::vmexit::guest::recorded};

    fn cpu(machine: &recorded::Machine) -> Cpu {
        Cpu::of(machine)
    }

    #[test]
    fn hypervisors_are_known_by_their_leaves() {
        let is = |machine, hypervisor, vendor, name: &str| {
            let cpu = cpu(machine);
            assert_eq!((cpu.hypervisor, cpu.vendor, cpu.name.as_str()), (Some(hypervisor), vendor, name));
        };
        is(&recorded::KVM_AMD, Hypervisor::Kvm, Vendor::Amd, "KVM");
        is(&recorded::KVM_INTEL, Hypervisor::Kvm, Vendor::Intel, "KVM");
        is(&recorded::HYPER_V, Hypervisor::HyperV, Vendor::Intel, "Hyper-V");
        is(&recorded::XEN, Hypervisor::Xen, Vendor::Intel, "Xen");
        is(&recorded::VMWARE, Hypervisor::VMware, Vendor::Intel, "VMware");
        is(&recorded::TCG, Hypervisor::Tcg, Vendor::Amd, "QEMU TCG");
        is(&recorded::BHYVE, Hypervisor::Other, Vendor::Intel, "bhyve");
        is(&recorded::UNKNOWN, Hypervisor::Other, Vendor::Intel, "NoSuchThing!");
        assert_eq!((cpu(&recorded::BARE).hypervisor, cpu(&recorded::BARE).vendor), (None, Vendor::Intel));
        assert!(!cpu(&recorded::BARE).is_virtual() && cpu(&recorded::UNKNOWN).is_virtual());
        assert!(cpu(&recorded::TCG).is_virtual() && !cpu(&recorded::TCG).can_exit());
    }

    #[test]
    fn kvm_behind_an_imitation_is_kvm_and_has_the_features_of_both() {
        let cpu = cpu(&recorded::KVM_AS_HYPER_V);
        assert_eq!(cpu.hypervisor, Some(Hypervisor::Kvm));
        assert_eq!(cpu.signatures, ["Microsoft Hv", "KVMKVMKVM"]);
        assert!(cpu.offers("PV_EOI") && cpu.offers("HV_REFERENCE_TSC"), "{:?}", cpu.offered);
    }

    #[test]
    fn features_are_those_of_the_hypervisor() {
        let amd = cpu(&recorded::KVM_AMD);
        for name in ["PV_SEND_IPI", "PV_TLB_FLUSH", "PV_EOI", "STEAL_TIME", "POLL_CONTROL", "x2APIC"] {
            assert!(amd.offers(name), "{name}");
        }
        for name in ["HINTS_REALTIME", "MWAIT", "HV_CLUSTER_IPI"] {
            assert!(!amd.offers(name), "{name}");
        }
        assert!(amd.known.iter().all(|offer| !offer.name.starts_with("HV_")));
        let dedicated = cpu(&recorded::KVM_DEDICATED);
        assert!(dedicated.offers("HINTS_REALTIME") && dedicated.offers("MWAIT"));
        let azure = cpu(&recorded::HYPER_V);
        assert!(azure.offers("HV_CLUSTER_IPI") && azure.offers("HV_REMOTE_TLB_FLUSH"));
        assert!(azure.offers("HV_SYNTHETIC_TIMER") && !azure.offers("PV_SEND_IPI"));
        let xen = cpu(&recorded::XEN);
        assert!(xen.offers("XEN_X2APIC_VIRT") && !xen.offers("XEN_APIC_ACCESS_VIRT"));
        // Bits of hypervisor leaves mean nothing where there is no hypervisor.
        assert!(cpu(&recorded::BARE).known.iter().all(|offer| offer.of.is_none()));
    }

    #[test]
    fn this_machine_agrees_with_the_kernel() {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let Some(line) = flags.lines().find(|line| line.starts_with("flags")) else {
            eprintln!("SKIPPED: /proc/cpuinfo has no flags");
            return;
        };
        let has = |flag: &str| line.split_whitespace().any(|word| word == flag);
        let cpu = Cpu::of(&Cpuid);
        assert_eq!(cpu.is_virtual(), has("hypervisor"));
        assert_eq!(cpu.offers("x2APIC"), has("x2apic"));
        assert_eq!(cpu.offers("TSC_DEADLINE"), has("tsc_deadline_timer"));
    }
}
