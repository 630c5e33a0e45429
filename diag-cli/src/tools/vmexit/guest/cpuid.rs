//! CPUID: whether there is a hypervisor, which, and what it offers.

use super::offers::{OFFERS, Offer, Place};

/// Four registers: EAX, EBX, ECX, EDX.
pub(in crate::tools::vmexit) type Registers = [u32; 4];

/// Where CPUID comes from: the CPU, or a record of one.
pub(in crate::tools::vmexit) trait Leaves {
    /// A leaf's registers; zeroes where there is no such leaf.
    fn leaf(&self, leaf: u32) -> Registers;
}

/// This CPU.
pub(in crate::tools::vmexit) struct Cpuid;

impl Leaves for Cpuid {
    #[cfg(target_arch = "x86_64")]
    fn leaf(&self, leaf: u32) -> Registers {
        let registers = std::arch::x86_64::__cpuid_count(leaf, 0);
        [registers.eax, registers.ebx, registers.ecx, registers.edx]
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn leaf(&self, _leaf: u32) -> Registers {
        [0; 4]
    }
}

/// Who made the CPU, which decides what its virtualisation can spare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::tools::vmexit) enum Vendor {
    /// VT-x.
    Intel,
    /// AMD-V; Hygon has the same.
    Amd,
    /// Anybody else.
    #[default]
    Other,
}

impl Vendor {
    fn of(signature: &str) -> Vendor {
        match signature {
            "GenuineIntel" | "CentaurHauls" | "  Shanghai  " => Vendor::Intel,
            "AuthenticAMD" | "HygonGenuine" => Vendor::Amd,
            _ => Vendor::Other,
        }
    }
}

/// A hypervisor whose ways are known here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::tools::vmexit) enum Hypervisor {
    /// There is none.
    #[default]
    None,
    /// KVM, whatever runs it.
    Kvm,
    /// Microsoft's.
    HyperV,
    /// Xen, with hardware virtualisation.
    Xen,
    /// VMware's.
    VMware,
    /// QEMU without help of the CPU: an emulator.
    Tcg,
    /// One of which only the name is known.
    Other,
}

/// Signatures of leaf 0x40000000 and its followers (systemd's src/basic/virt.c, v257).
const SIGNATURES: &[(&str, Hypervisor, &str)] = &[
    ("KVMKVMKVM", Hypervisor::Kvm, "KVM"),
    ("Linux KVM Hv", Hypervisor::Kvm, "KVM"),
    ("Microsoft Hv", Hypervisor::HyperV, "Hyper-V"),
    ("XenVMMXenVMM", Hypervisor::Xen, "Xen"),
    ("VMwareVMware", Hypervisor::VMware, "VMware"),
    ("TCGTCGTCGTCG", Hypervisor::Tcg, "QEMU TCG"),
    ("bhyve bhyve", Hypervisor::Other, "bhyve"),
    ("ACRNACRNACRN", Hypervisor::Other, "ACRN"),
    ("QNXQVMBSQG", Hypervisor::Other, "QNX"),
    ("Apple VZ", Hypervisor::Other, "Apple"),
];

/// What CPUID says of a machine.
#[derive(Debug, Clone, Default)]
pub(in crate::tools::vmexit) struct Cpu {
    /// Who made it.
    pub(in crate::tools::vmexit) vendor: Vendor,
    /// The hypervisor. Of several interfaces, as of KVM with Hyper-V's, the one that is no imitation.
    pub(in crate::tools::vmexit) hypervisor: Hypervisor,
    /// Its name, for people.
    pub(in crate::tools::vmexit) name: String,
    /// All signatures, in the order of their leaves.
    pub(in crate::tools::vmexit) signatures: Vec<String>,
    /// The features that are offered, of those in [`OFFERS`].
    pub(in crate::tools::vmexit) offered: Vec<&'static str>,
    /// The features that such a hypervisor could offer.
    pub(in crate::tools::vmexit) known: Vec<&'static Offer>,
}

/// The first hypervisor leaf, and how far apart the blocks of several interfaces are (arch/x86/include/asm/cpuid, 6.18:
/// cpuid_base_hypervisor).
const FIRST: u32 = 0x4000_0000;
const STEP: usize = 0x100;
const END: u32 = 0x4001_0000;

impl Cpu {
    /// Reads the leaves.
    pub(in crate::tools::vmexit) fn of(leaves: &impl Leaves) -> Cpu {
        const HYPERVISOR: u32 = 1 << 31;
        let [_, b, c, d] = leaves.leaf(0);
        let vendor = Vendor::of(&text([b, d, c]));
        let mut cpu = Cpu { vendor, ..Cpu::default() };
        let mut bases = Vec::new();
        if leaves.leaf(1)[2] & HYPERVISOR != 0 {
            cpu.find_hypervisor(leaves, &mut bases);
        }
        for offer in OFFERS {
            let base = match offer.of {
                None => Some(0),
                Some(of) => bases.iter().find(|(hypervisor, _)| *hypervisor == of).map(|&(_, base)| base),
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

    fn find_hypervisor(&mut self, leaves: &impl Leaves, bases: &mut Vec<(Hypervisor, u32)>) {
        self.hypervisor = Hypervisor::Other;
        for base in (FIRST..END).step_by(STEP) {
            let [_, b, c, d] = leaves.leaf(base);
            let signature = text([b, c, d]);
            let signature = signature.trim_end_matches('\0').trim_end();
            let known = SIGNATURES.iter().find(|(known, ..)| *known == signature);
            if base != FIRST && known.is_none() {
                continue;
            }
            if !signature.is_empty() {
                self.signatures.push(signature.to_owned());
            }
            let Some(&(_, hypervisor, name)) = known else { continue };
            bases.push((hypervisor, base));
            // An interface further up is the hypervisor's own, below it stands one that it imitates.
            self.hypervisor = hypervisor;
            name.clone_into(&mut self.name);
        }
        if self.name.is_empty() {
            self.name =
                self.signatures.first().cloned().unwrap_or_else(|| "an unknown hypervisor".to_owned());
        }
    }

    /// Whether a hypervisor says that it is there.
    pub(in crate::tools::vmexit) fn is_virtual(&self) -> bool {
        self.hypervisor != Hypervisor::None
    }

    /// Whether there is anything to exit to: an emulated CPU has a hypervisor only by name.
    pub(in crate::tools::vmexit) fn can_exit(&self) -> bool {
        !matches!(self.hypervisor, Hypervisor::None | Hypervisor::Tcg)
    }

    /// Whether a feature of [`OFFERS`] is offered.
    pub(in crate::tools::vmexit) fn offers(&self, name: &str) -> bool {
        self.offered.contains(&name)
    }
}

fn text(words: [u32; 3]) -> String {
    words.into_iter().flat_map(u32::to_le_bytes).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::vmexit::guest::recorded;

    fn cpu(machine: &recorded::Machine) -> Cpu {
        Cpu::of(machine)
    }

    #[test]
    fn hypervisors_are_known_by_their_leaves() {
        let is = |machine, hypervisor, vendor, name: &str| {
            let cpu = cpu(machine);
            assert_eq!((cpu.hypervisor, cpu.vendor, cpu.name.as_str()), (hypervisor, vendor, name));
        };
        is(&recorded::KVM_AMD, Hypervisor::Kvm, Vendor::Amd, "KVM");
        is(&recorded::KVM_INTEL, Hypervisor::Kvm, Vendor::Intel, "KVM");
        is(&recorded::HYPER_V, Hypervisor::HyperV, Vendor::Intel, "Hyper-V");
        is(&recorded::XEN, Hypervisor::Xen, Vendor::Intel, "Xen");
        is(&recorded::VMWARE, Hypervisor::VMware, Vendor::Intel, "VMware");
        is(&recorded::TCG, Hypervisor::Tcg, Vendor::Amd, "QEMU TCG");
        is(&recorded::BHYVE, Hypervisor::Other, Vendor::Intel, "bhyve");
        is(&recorded::UNKNOWN, Hypervisor::Other, Vendor::Intel, "NoSuchThing!");
        is(&recorded::BARE, Hypervisor::None, Vendor::Intel, "");
        assert!(!cpu(&recorded::BARE).is_virtual() && cpu(&recorded::UNKNOWN).is_virtual());
        assert!(cpu(&recorded::TCG).is_virtual() && !cpu(&recorded::TCG).can_exit());
    }

    #[test]
    fn kvm_behind_an_imitation_is_kvm_and_has_the_features_of_both() {
        let cpu = cpu(&recorded::KVM_AS_HYPER_V);
        assert_eq!(cpu.hypervisor, Hypervisor::Kvm);
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
