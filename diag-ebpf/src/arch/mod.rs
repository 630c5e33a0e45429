//! What differs between architectures: saved registers, system-call numbers, flags of threads, where the preempt count is,
//! interrupt commands. `diag-cli/src/arch` has what the user side knows of it.
//!
//! An object is for the kernels of one architecture, which aya-build passes on as `bpf_target_arch`: that of the user side.

#[cfg(bpf_target_arch = "aarch64")]
mod aarch64;
#[cfg(not(bpf_target_arch = "aarch64"))]
mod x86_64;

#[cfg(bpf_target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(not(bpf_target_arch = "aarch64"))]
pub use x86_64::*;

/// What the write of a register does that another CPU, or this one, is interrupted by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It commands an interrupt; see [`interrupt`].
    Command,
    /// It interrupts the CPU that writes it.
    ToSelf,
    /// Neither.
    Plain,
}

/// What an inter-processor interrupt asks of the other CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// To call what is queued for it.
    Call,
    /// To look at its run queue.
    Reschedule,
}
