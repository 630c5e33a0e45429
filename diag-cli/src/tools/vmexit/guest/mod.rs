//! What this guest is: its hypervisor, what that offers, and what the kernel makes of it.

pub(super) mod cpuid;
pub(super) mod kernel;
pub(super) mod offers;
#[cfg(test)]
pub(super) mod recorded;

use cpuid::Cpu;
use kernel::Kernel;

use crate::kernel::hypervisor::Cpuid;

/// The guest, as far as it can know itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Guest {
    /// What CPUID says.
    pub(super) cpu: Cpu,
    /// What `/sys` says.
    pub(super) kernel: Kernel,
}

impl Guest {
    /// This machine.
    pub(super) fn read() -> Guest {
        Guest { cpu: Cpu::of(&Cpuid), kernel: Kernel::read() }
    }

    /// Whether the hypervisor says that it keeps a steal clock, and the kernel listens (arch/x86/kernel/kvm.c, 6.18).
    pub(super) fn serves_steal(&self) -> bool {
        self.cpu.offers("STEAL_TIME") && !self.kernel.shuns_paravirt
    }
}
