//! Which hypervisor this machine runs on, as CPUID tells it: one table of names, for records and for people.

use crate::arch;

/// Four registers: EAX, EBX, ECX, EDX.
pub(crate) type Registers = [u32; 4];

/// Where CPUID comes from: the CPU, or a record of one.
pub(crate) trait Leaves {
    /// A leaf's registers; zeroes where there is no such leaf.
    fn leaf(&self, leaf: u32) -> Registers;
}

/// This CPU.
pub(crate) struct Cpuid;

impl Leaves for Cpuid {
    fn leaf(&self, leaf: u32) -> Registers {
        arch::cpuid(leaf)
    }
}

/// A hypervisor whose ways are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hypervisor {
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

/// One way in which a hypervisor names itself.
struct Known {
    /// Its signature in CPUID.
    signature: &'static str,
    hypervisor: Hypervisor,
    /// Its name, for people.
    name: &'static str,
    /// Its name in records: the word of `systemd-detect-virt --vm`.
    word: &'static str,
}

const fn known(
    signature: &'static str,
    hypervisor: Hypervisor,
    name: &'static str,
    word: &'static str,
) -> Known {
    Known { signature, hypervisor, name, word }
}

/// Signatures of leaf 0x40000000 and its followers, and words (systemd's src/basic/virt.c, v257).
const KNOWN: &[Known] = &[
    known("KVMKVMKVM", Hypervisor::Kvm, "KVM", "kvm"),
    known("Linux KVM Hv", Hypervisor::Kvm, "KVM", "kvm"),
    known("Microsoft Hv", Hypervisor::HyperV, "Hyper-V", "microsoft"),
    known("XenVMMXenVMM", Hypervisor::Xen, "Xen", "xen"),
    known("VMwareVMware", Hypervisor::VMware, "VMware", "vmware"),
    known("TCGTCGTCGTCG", Hypervisor::Tcg, "QEMU TCG", "qemu"),
    known("bhyve bhyve", Hypervisor::Other, "bhyve", "bhyve"),
    known("ACRNACRNACRN", Hypervisor::Other, "ACRN", "acrn"),
    known("QNXQVMBSQG", Hypervisor::Other, "QNX", "qnx"),
    known("SRESRESRESRE", Hypervisor::Other, "LMHS SRE", "sre"),
    known("Apple VZ", Hypervisor::Other, "Apple", "apple"),
    known("prl hyperv", Hypervisor::Other, "Parallels", "parallels"),
    known("lrpepyh  vr", Hypervisor::Other, "Parallels", "parallels"),
];

/// What CPUID says of the hypervisor.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Which it is. Of several interfaces, as of KVM with Hyper-V's, the one that is no imitation.
    pub(crate) hypervisor: Hypervisor,
    /// Its name, for people.
    pub(crate) name: String,
    /// Its name in records; the signature where there is no word for it; none where it has no signature.
    pub(crate) word: Option<String>,
    /// All signatures, in the order of their leaves.
    pub(crate) signatures: Vec<String>,
    /// The known interfaces, each with the first leaf of its block.
    pub(crate) interfaces: Vec<(Hypervisor, u32)>,
}

/// The first hypervisor leaf, and how far apart the blocks of several interfaces are (arch/x86/include/asm/cpuid, 6.18:
/// cpuid_base_hypervisor).
const FIRST: u32 = 0x4000_0000;
const STEP: usize = 0x100;
const END: u32 = 0x4001_0000;

/// The hypervisor; none where the CPU does not say that there is one.
pub(crate) fn find(leaves: &impl Leaves) -> Option<Found> {
    // Leaf 1, ECX bit 31 (Documentation/virt/kvm/x86/cpuid.rst, 6.18).
    const PRESENT: u32 = 1 << 31;
    if leaves.leaf(1)[2] & PRESENT == 0 {
        return None;
    }
    let mut signatures: Vec<String> = Vec::new();
    let (mut interfaces, mut own) = (Vec::new(), None);
    for base in (FIRST..END).step_by(STEP) {
        let [_, b, c, d] = leaves.leaf(base);
        let signature = text([b, c, d]);
        let known = KNOWN.iter().find(|known| known.signature == signature);
        if base != FIRST && known.is_none() {
            continue;
        }
        if let Some(known) = known {
            interfaces.push((known.hypervisor, base));
            // An interface further up is the hypervisor's own, below it stands one that it imitates.
            own = Some(known);
        }
        if !signature.is_empty() {
            signatures.push(signature);
        }
    }
    let unknown = || signatures.first().cloned();
    Some(Found {
        hypervisor: own.map_or(Hypervisor::Other, |own| own.hypervisor),
        name: own
            .map(|own| own.name.to_owned())
            .or_else(unknown)
            .unwrap_or_else(|| "an unknown hypervisor".to_owned()),
        word: own.map(|own| own.word.to_owned()).or_else(unknown),
        signatures,
        interfaces,
    })
}

/// The word for a DMI vendor (systemd's src/basic/virt.c, v257).
pub(crate) fn word_for_vendor(vendor: &str) -> Option<&'static str> {
    const VENDORS: [(&str, &str); 9] = [
        ("KVM", "kvm"),
        ("QEMU", "qemu"),
        ("VMware", "vmware"),
        ("VMW", "vmware"),
        ("innotek GmbH", "oracle"),
        ("Xen", "xen"),
        ("Parallels", "parallels"),
        ("BHYVE", "bhyve"),
        ("Apple Virtualization", "apple"),
    ];
    VENDORS.iter().find(|(prefix, _)| vendor.starts_with(prefix)).map(|&(_, word)| word)
}

/// The text in three registers, as far as it is printable, without what fills it up.
pub(crate) fn text(words: [u32; 3]) -> String {
    let bytes = words.into_iter().flat_map(u32::to_le_bytes).filter(|byte| (b' '..=b'~').contains(byte));
    bytes.map(char::from).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine(Vec<(u32, &'static [u8; 12])>);

    impl Leaves for Machine {
        fn leaf(&self, leaf: u32) -> Registers {
            if leaf == 1 {
                return [0, 0, if self.0.is_empty() { 0 } else { 1 << 31 }, 0];
            }
            let text = self.0.iter().find(|(number, _)| *number == leaf).map(|&(_, text)| text);
            let word = |at: usize| {
                text.map_or(0, |text| u32::from_le_bytes(std::array::from_fn(|byte| text[at + byte])))
            };
            [0, word(0), word(4), word(8)]
        }
    }

    fn word(leaves: Vec<(u32, &'static [u8; 12])>) -> Option<String> {
        find(&Machine(leaves)).and_then(|found| found.word)
    }

    #[test]
    fn hypervisors_have_their_usual_names() {
        assert_eq!(word(vec![(FIRST, b"KVMKVMKVM\0\0\0")]).unwrap(), "kvm");
        assert_eq!(word(vec![(FIRST, b"bhyve bhyve ")]).unwrap(), "bhyve");
        assert_eq!(word(vec![(FIRST, b"NoSuchThing!")]).unwrap(), "NoSuchThing!");
        assert_eq!(word(vec![(FIRST, b"\0\0\0\0\0\0\0\0\0\0\0\0")]), None);
        assert_eq!(word(vec![]), None);
        assert_eq!(word_for_vendor("QEMU"), Some("qemu"));
        assert_eq!(word_for_vendor("Dell Inc."), None);
    }

    #[test]
    fn an_imitation_is_not_the_hypervisor() {
        let both: Vec<(u32, &'static [u8; 12])> =
            vec![(FIRST, b"Microsoft Hv"), (0x4000_0100, b"KVMKVMKVM\0\0\0")];
        assert_eq!(word(both).unwrap(), "kvm");
    }

    #[test]
    fn no_signature_is_in_the_table_twice() {
        for (at, known) in KNOWN.iter().enumerate() {
            assert!(KNOWN[at + 1..].iter().all(|other| other.signature != known.signature));
            assert!(known.signature.len() <= 12 && known.signature.trim_end() == known.signature);
        }
    }
}
