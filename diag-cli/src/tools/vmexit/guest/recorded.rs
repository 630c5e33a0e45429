//! Recorded CPUID leaves of machines, for tests. A leaf that is not here is zero.

use super::{Guest, cpuid::Cpu, kernel::Kernel};
use crate::kernel::hypervisor::{Leaves, Registers};

/// A machine's leaves.
pub(in crate::tools::vmexit) struct Machine(pub(in crate::tools::vmexit) &'static [(u32, Registers)]);

impl Leaves for Machine {
    fn leaf(&self, leaf: u32) -> Registers {
        self.0.iter().find(|(number, _)| *number == leaf).map_or([0; 4], |&(_, registers)| registers)
    }
}

/// A guest with these leaves, and a kernel that makes the usual of them.
pub(in crate::tools::vmexit) fn guest(machine: &Machine) -> Guest {
    Guest { cpu: Cpu::of(machine), kernel: Kernel::default() }
}

const INTEL: (u32, Registers) =
    (0, [0x16, u32::from_le_bytes(*b"Genu"), u32::from_le_bytes(*b"ntel"), u32::from_le_bytes(*b"ineI")]);
const AMD: (u32, Registers) = (0, [0x1c, 0x6874_7541, 0x444d_4163, 0x6974_6e65]);

const fn signature(leaf: u32, last: u32, text: [u8; 12]) -> (u32, Registers) {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = text;
    (
        leaf,
        [
            last,
            u32::from_le_bytes([a, b, c, d]),
            u32::from_le_bytes([e, f, g, h]),
            u32::from_le_bytes([i, j, k, l]),
        ],
    )
}

/// Firecracker on an EPYC of family 26, itself in a virtual machine: as read from it.
pub(in crate::tools::vmexit) const KVM_AMD: Machine = Machine(&[
    AMD,
    (1, [0x00b0_0f21, 0x0102_0800, 0xfffa_3203, 0x178b_fbff]),
    (0x4000_0000, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x0000_004d]),
    (0x4000_0001, [0x0100_7efb, 0, 0, 0]),
    (0x8000_0001, [0x00b0_0f21, 0x4000_0000, 0x0040_03f3, 0x2fd3_fbff]),
]);

/// QEMU's Skylake-Server with the features that KVM of Linux 5.10 offers by default (target/i386/cpu.c, QEMU 7.2).
pub(in crate::tools::vmexit) const KVM_INTEL: Machine = Machine(&[
    INTEL,
    (1, [0x0005_0654, 0x0001_0800, 0xfffa_3203, 0x0f8b_fbff]),
    signature(0x4000_0000, 0x4000_0001, *b"KVMKVMKVM\0\0\0"),
    (0x4000_0001, [0x0100_7afb, 0, 0, 0]),
]);

/// The same with `-overcommit cpu-pm=on` and `kvm-hint-dedicated=on`.
pub(in crate::tools::vmexit) const KVM_DEDICATED: Machine = Machine(&[
    INTEL,
    (1, [0x0005_0654, 0x0001_0800, 0xfffa_320b, 0x0f8b_fbff]),
    signature(0x4000_0000, 0x4000_0001, *b"KVMKVMKVM\0\0\0"),
    (0x4000_0001, [0x0100_7afb, 0, 0, 1]),
]);

/// QEMU with `hv-passthrough`-like flags: Hyper-V's interface first, KVM's own 0x100 further up.
pub(in crate::tools::vmexit) const KVM_AS_HYPER_V: Machine = Machine(&[
    INTEL,
    (1, [0x0005_0654, 0x0001_0800, 0xfffa_3203, 0x0f8b_fbff]),
    signature(0x4000_0000, 0x4000_0005, *b"Microsoft Hv"),
    (0x4000_0001, [0x3123_7648, 0, 0, 0]),
    (0x4000_0003, [0x0000_0260, 0, 0, 0]),
    (0x4000_0004, [0x0000_0020, 0, 0, 0]),
    signature(0x4000_0100, 0x4000_0101, *b"KVMKVMKVM\0\0\0"),
    (0x4000_0101, [0x0100_7afb, 0, 0, 0]),
]);

/// A second-generation machine of Azure, from what its kernel logs: "privilege flags low 0xae7f, high 0x3b8030, hints
/// 0x9e4e24".
pub(in crate::tools::vmexit) const HYPER_V: Machine = Machine(&[
    INTEL,
    (1, [0x0005_0654, 0x0002_0800, 0xfeda_3203, 0x1f8b_fbff]),
    signature(0x4000_0000, 0x4000_000c, *b"Microsoft Hv"),
    (0x4000_0001, [0x3123_7648, 0, 0, 0]),
    (0x4000_0003, [0x0000_ae7f, 0x003b_8030, 2, 0xe0be_d7b2]),
    (0x4000_0004, [0x009e_4e24, 0xfff, 0x2e, 0]),
]);

/// A Xen 4.11 HVM guest: x2APIC registers are virtualised, accesses through memory are not.
pub(in crate::tools::vmexit) const XEN: Machine = Machine(&[
    INTEL,
    (1, [0x0004_06f1, 0x0002_0800, 0xfffa_3203, 0x178b_fbff]),
    signature(0x4000_0000, 0x4000_0005, *b"XenVMMXenVMM"),
    (0x4000_0001, [0x0004_000b, 0, 0, 0]),
    (0x4000_0004, [0x0000_000a, 0, 0, 0]),
]);

/// VMware ESXi: no feature bits, the rest is asked through a port.
pub(in crate::tools::vmexit) const VMWARE: Machine = Machine(&[
    INTEL,
    (1, [0x0005_0654, 0x0001_0800, 0xfffa_3203, 0x0f8b_fbff]),
    signature(0x4000_0000, 0x4000_0010, *b"VMwareVMware"),
]);

/// `qemu-system-x86_64 -accel tcg -cpu max`, QEMU 7.2.
pub(in crate::tools::vmexit) const TCG: Machine = Machine(&[
    AMD,
    (1, [0x0000_0663, 0x0000_0800, 0xf6f8_3203, 0x0781_abfd]),
    signature(0x4000_0000, 0x4000_0001, *b"TCGTCGTCGTCG"),
]);

/// bhyve.
pub(in crate::tools::vmexit) const BHYVE: Machine = Machine(&[
    INTEL,
    (1, [0x0005_0654, 0x0001_0800, 0x9698_2203, 0x0f8b_bbff]),
    signature(0x4000_0000, 0x4000_0001, *b"bhyve bhyve "),
]);

/// One that is made up.
pub(in crate::tools::vmexit) const UNKNOWN: Machine = Machine(&[
    INTEL,
    (1, [0x0005_0654, 0x0001_0800, 0x9698_2203, 0x0f8b_bbff]),
    signature(0x4000_0000, 0x4000_0000, *b"NoSuchThing!"),
]);

/// A server without a hypervisor. Leaves above the last basic one answer with that one's registers (Intel SDM vol. 2).
pub(in crate::tools::vmexit) const BARE: Machine = Machine(&[
    INTEL,
    (1, [0x0005_0654, 0x0010_0800, 0x7ffe_fbff, 0xbfeb_fbff]),
    (0x4000_0000, [0x0000_0a8c, 0x0000_0e10, 0x0000_0064, 0]),
    (0x4000_0001, [0x0000_0a8c, 0x0000_0e10, 0x0000_0064, 0]),
]);
