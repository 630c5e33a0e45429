//! The machine that a record comes from.

use std::fs;

use schemars::JsonSchema;
use serde::Serialize;

use super::text;
use crate::kernel::hypervisor;

/// The machine that a record comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Host {
    /// The host name, as this process's UTS namespace has it.
    pub(crate) hostname: Option<String>,
    /// The id of the installed system, from `/etc/machine-id`.
    pub(crate) machine_id: Option<String>,
    /// A random id that the kernel takes at each boot.
    pub(crate) boot_id: Option<String>,
    /// The kernel's release, as `uname -r` gives it.
    pub(crate) kernel: Option<String>,
    /// The architecture, as `uname -m` gives it.
    pub(crate) arch: &'static str,
    /// The distribution.
    pub(crate) os: Os,
    /// The hypervisor in the words of `systemd-detect-virt --vm` (`kvm`, `qemu`, `microsoft`, `xen`…); the
    /// vendor's own signature where that has no word for it; null outside a virtual machine.
    pub(crate) hypervisor: Option<String>,
    /// Who made the machine, as its firmware says (DMI `sys_vendor`).
    pub(crate) vendor: Option<String>,
    /// What the maker calls it (DMI `product_name`).
    pub(crate) product: Option<String>,
    /// The cloud's id of this instance, from cloud-init or the firmware's asset tag.
    pub(crate) instance: Option<String>,
    /// CPUs that are online.
    pub(crate) cpus: Option<u32>,
    /// CPUs that could be: the kernel side has its maps once for each of them.
    pub(crate) possible_cpus: Option<u32>,
    /// Memory that the kernel has to give, bytes.
    pub(crate) memory_bytes: Option<u64>,
}

/// The distribution, from `/etc/os-release`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Os {
    /// Its identifier, such as `debian`.
    pub(crate) id: Option<String>,
    /// Its version, such as `12`.
    pub(crate) version: Option<String>,
}

impl Host {
    /// This machine.
    pub(crate) fn read() -> Self {
        Self {
            hostname: line("/proc/sys/kernel/hostname"),
            machine_id: line("/etc/machine-id"),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            kernel: line("/proc/sys/kernel/osrelease"),
            arch: std::env::consts::ARCH,
            os: os(),
            hypervisor: hypervisor_word(),
            vendor: line("/sys/class/dmi/id/sys_vendor"),
            product: line("/sys/class/dmi/id/product_name"),
            instance: line("/var/lib/cloud/data/instance-id").or_else(asset_tag),
            cpus: online_cpus(),
            possible_cpus: cpus("possible"),
            memory_bytes: memory(),
        }
    }
}

/// EC2 has the instance's id as the board's asset tag; elsewhere that is a serial number, or a word for none.
fn asset_tag() -> Option<String> {
    line("/sys/class/dmi/id/board_asset_tag").filter(|tag| tag.starts_with("i-"))
}

/// CPUs that are online, whatever this process may use of them; none where `/sys` does not tell.
pub(crate) fn online_cpus() -> Option<u32> {
    cpus("online")
}

fn cpus(which: &str) -> Option<u32> {
    cpus_in(&line(&format!("/sys/devices/system/cpu/{which}"))?).filter(|&cpus| cpus > 0)
}

fn memory() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn os() -> Os {
    let release =
        fs::read("/etc/os-release").or_else(|_| fs::read("/usr/lib/os-release")).unwrap_or_default();
    let value = |key: &str| {
        let lines = release.split(|&byte| byte == b'\n');
        let value = lines.filter_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b"=")).next()?;
        let quoted = |byte: &u8| matches!(byte, b'"' | b'\'');
        let value = value.split(quoted).find(|part| !part.is_empty()).unwrap_or_default();
        Some(text::escape(value)).filter(|value| !value.is_empty())
    };
    Os { id: value("ID"), version: value("VERSION_ID") }
}

/// The one line of a file; none where it cannot be read, or is empty.
fn line(path: &str) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(text::escape(bytes.trim_ascii())).filter(|line| !line.is_empty())
}

/// How many CPUs a list such as `0-3,8` names; none where it is no such list.
fn cpus_in(list: &str) -> Option<u32> {
    let mut cpus: u32 = 0;
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        cpus = last.checked_sub(first)?.checked_add(1)?.checked_add(cpus)?;
    }
    Some(cpus)
}

/// The hypervisor; see [`Host::hypervisor`].
fn hypervisor_word() -> Option<String> {
    // Xen's paravirtual guests may see the machine's own CPUID (Documentation/ABI/stable/sysfs-hypervisor-xen).
    hypervisor::find(&hypervisor::Cpuid)
        .and_then(|found| found.word)
        .or_else(|| line("/sys/hypervisor/type"))
        .or_else(|| hypervisor::word_for_vendor(&line("/sys/class/dmi/id/sys_vendor")?).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_counted() {
        assert_eq!(cpus_in("0"), Some(1));
        assert_eq!(cpus_in("0-3,8"), Some(5));
        assert_eq!(cpus_in("0-1,4-5,7"), Some(5));
        for wrong in ["", "3-1", "0-4294967295", "x"] {
            assert_eq!(cpus_in(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn this_machine_has_a_name_a_boot_and_a_cpu() {
        let host = Host::read();
        assert_eq!(host.boot_id.as_ref().unwrap().len(), 36, "{host:?}");
        assert!(host.hostname.is_some() && host.kernel.is_some(), "{host:?}");
        assert!(host.cpus.unwrap() >= 1 && host.possible_cpus >= host.cpus, "{host:?}");
        assert!(host.memory_bytes.unwrap() > 64 << 20 && host.os.id.is_some(), "{host:?}");
    }
}
