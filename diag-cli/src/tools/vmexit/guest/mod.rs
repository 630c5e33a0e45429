//! What this guest is: its hypervisor, what that offers, and what the kernel makes of it.

pub(super) mod cpuid;
pub(super) mod kernel;
pub(super) mod offers;
#[cfg(test)]
pub(super) mod recorded;

use cpuid::{Cpu, Cpuid};
use kernel::Kernel;

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
}
