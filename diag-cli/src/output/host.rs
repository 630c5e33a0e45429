//! The machine that a record comes from.

use std::fs;

use schemars::JsonSchema;
use serde::Serialize;

use super::text;

/// The machine that a record comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Host {
    /// The host name, as this process's UTS namespace has it.
    pub(crate) hostname: String,
    /// A random id that the kernel takes at each boot.
    pub(crate) boot_id: String,
    /// The kernel's release, as `uname -r` gives it.
    pub(crate) kernel: String,
    /// The architecture, as `uname -m` gives it.
    pub(crate) arch: &'static str,
    /// The hypervisor in the words of `systemd-detect-virt --vm` (`kvm`, `qemu`, `microsoft`, `xen`…); the
    /// vendor's own signature where that has no word for it; `none` outside a virtual machine.
    pub(crate) hypervisor: String,
    /// CPUs that are online.
    pub(crate) cpus: u32,
}

impl Host {
    /// This machine.
    pub(crate) fn read() -> Self {
        Self {
            hostname: line("/proc/sys/kernel/hostname"),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            kernel: line("/proc/sys/kernel/osrelease"),
            arch: std::env::consts::ARCH,
            hypervisor: hypervisor(),
            cpus: cpus_in(&line("/sys/devices/system/cpu/online")).max(1),
        }
    }
}

/// The one line of a file in `/proc` or `/sys`; empty where it cannot be read.
fn line(path: &str) -> String {
    fs::read(path).map(|bytes| text::escape(bytes.trim_ascii_end())).unwrap_or_default()
}

/// How many CPUs a list such as `0-3,8` names.
fn cpus_in(list: &str) -> u32 {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        (last + 1).checked_sub(first)
    };
    list.split(',').filter_map(range).sum()
}

/// The hypervisor; see [`Host::hypervisor`].
fn hypervisor() -> String {
    if let Some(signature) = cpuid_signature() {
        return word_for_signature(&signature).map_or(signature, str::to_owned);
    }
    // Xen's paravirtual guests may see the machine's own CPUID (Documentation/ABI/stable/sysfs-hypervisor-xen).
    let kind = line("/sys/hypervisor/type");
    if !kind.is_empty() {
        return kind;
    }
    word_for_vendor(&line("/sys/class/dmi/id/sys_vendor")).unwrap_or("none").to_owned()
}

/// The 12 bytes by which a hypervisor names itself in CPUID, where the CPU says that there is one.
#[cfg(target_arch = "x86_64")]
fn cpuid_signature() -> Option<String> {
    use std::arch::x86_64::__cpuid;

    // Leaf 1, ECX bit 31: a hypervisor is present; leaf 0x40000000: its signature (KVM's cpuid.rst).
    let present = __cpuid(1).ecx >> 31 == 1;
    let leaf = __cpuid(0x4000_0000);
    let bytes = [leaf.ebx, leaf.ecx, leaf.edx].into_iter().flat_map(u32::to_le_bytes);
    let signature: String = bytes.filter(|byte| (b' '..=b'~').contains(byte)).map(char::from).collect();
    present.then(|| signature.trim().to_owned()).filter(|signature| !signature.is_empty())
}

#[cfg(not(target_arch = "x86_64"))]
fn cpuid_signature() -> Option<String> {
    None
}

/// systemd's word for a CPUID signature (src/basic/virt.c, v257).
fn word_for_signature(signature: &str) -> Option<&'static str> {
    Some(match signature {
        "XenVMMXenVMM" => "xen",
        "KVMKVMKVM" | "Linux KVM Hv" => "kvm",
        "TCGTCGTCGTCG" => "qemu",
        "VMwareVMware" => "vmware",
        "Microsoft Hv" => "microsoft",
        "bhyve bhyve" => "bhyve",
        "QNXQVMBSQG" => "qnx",
        "ACRNACRNACRN" => "acrn",
        "SRESRESRESRE" => "sre",
        "Apple VZ" => "apple",
        "prl hyperv" | "lrpepyh  vr" => "parallels",
        _ => return None,
    })
}

/// systemd's word for a DMI vendor (src/basic/virt.c, v257).
fn word_for_vendor(vendor: &str) -> Option<&'static str> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_counted() {
        assert_eq!(cpus_in("0"), 1);
        assert_eq!(cpus_in("0-3,8"), 5);
        assert_eq!(cpus_in("0-1,4-5,7"), 5);
        assert_eq!(cpus_in(""), 0);
        assert_eq!(cpus_in("3-1"), 0);
    }

    #[test]
    fn this_machine_has_a_name_a_boot_and_a_cpu() {
        let host = Host::read();
        assert_eq!(host.boot_id.len(), 36, "{host:?}");
        assert!(host.cpus >= 1 && !host.hostname.is_empty() && !host.kernel.is_empty(), "{host:?}");
        assert!(!host.hypervisor.is_empty(), "{host:?}");
    }

    #[test]
    fn hypervisors_have_their_usual_names() {
        assert_eq!(word_for_signature("KVMKVMKVM"), Some("kvm"));
        assert_eq!(word_for_signature("something"), None);
        assert_eq!(word_for_vendor("QEMU"), Some("qemu"));
        assert_eq!(word_for_vendor("Dell Inc."), None);
    }
}
