//! x86-64.

use std::arch::x86_64 as cpu;

use syscalls::{x86, x86_64};

use super::ALL;
use crate::{
    ebpf::object::Value,
    kernel::fields::{Field, Source, at, optional, required},
};

/// Fields that this architecture's kernels have; the others are in [`crate::ebpf::layout`].
pub(crate) const FIELDS: &[Field] = &[
    required("REGS_DI", Source::Offset(&[at("pt_regs", "di", ALL)])),
    required("REGS_SI", Source::Offset(&[at("pt_regs", "si", ALL)])),
    required("REGS_R10", Source::Offset(&[at("pt_regs", "r10", ALL)])),
    required("REGS_ORIG_AX", Source::Offset(&[at("pt_regs", "orig_ax", ALL)])),
    required("REGS_AX", Source::Offset(&[at("pt_regs", "ax", ALL)])),
    required("REGS_SIZE", Source::Size(&[at("pt_regs", "", ALL)])),
    required("TASK_TI_STATUS", Source::Offset(&[at("task_struct", "thread_info.status", ALL)])),
    optional(
        "PREEMPT_COUNT",
        Source::PerCpu {
            from: "runqueues",
            candidates: &[
                at("__preempt_count", "", "before 6.2, and from 6.15"),
                at("pcpu_hot", "preempt_count", "6.2 to 6.14, 64701838bf05"),
            ],
            // include/linux/preempt.h: four bits for hard interrupts and as many for NMIs, at most. 7.3 put eight bits
            // in front of them and made the variable a 64-bit one (9634d860ac15).
            mask: "INTERRUPT_BITS",
            by_size: &[(4, 0x00ff_0000), (8, 0x1f00_0000)],
        },
    ),
];

/// Variables that each CPU has one of, beside the run queue (arch/x86/kernel/cpu/common.c, 5.10 to 7.3).
pub(crate) const PER_CPU_VARIABLES: &[&str] = &["__preempt_count", "pcpu_hot"];

/// Globals of the kernel side that are no fields.
pub(crate) fn globals() -> [(&'static str, Value); 0] {
    []
}

/// The name of a system call.
pub(crate) fn call(number: u32) -> Option<&'static str> {
    x86_64::Sysno::new(number as usize).map(|call| call.name())
}

/// The name of a 32-bit system call.
pub(crate) fn compat_call(number: u32) -> Option<&'static str> {
    x86::Sysno::new(number as usize).map(|call| call.name())
}

/// System calls whose first argument is a descriptor, and which other architectures never had.
pub(crate) const OLD_CALLS_OF_A_FILE: &[libc::c_long] = &[libc::SYS_getdents];

/// Functions in which a fault from user mode enters the kernel (arch/x86/mm/fault.c, 5.10 to 7.3).
pub(crate) const FAULT_ENTRY: &[&str] = &["exc_page_fault", "asm_exc_page_fault", "do_user_addr_fault"];

/// Where every other stack begins (arch/x86/entry, 5.10 to 7.3).
pub(crate) const ENTRY: &[&str] =
    &["do_syscall_64", "x64_sys_call", "entry_SYSCALL_64_after_hwframe", "ret_from_fork"];

/// From where on the kernel's own image and its modules lie (Documentation/arch/x86/x86_64/mm.rst, 6.18).
pub(crate) const IMAGE: u64 = 0xffff_ffff_8000_0000;

/// Why `osdiag vmexit` cannot work on this architecture.
pub(crate) const NO_VMEXIT: Option<&str> = None;

/// A leaf of CPUID: EAX, EBX, ECX, EDX.
pub(crate) fn cpuid(leaf: u32) -> [u32; 4] {
    let registers = cpu::__cpuid_count(leaf, 0);
    [registers.eax, registers.ebx, registers.ecx, registers.edx]
}

/// An instruction that exits to the hypervisor, where there is one.
pub(crate) fn exit() {
    std::hint::black_box(cpu::__cpuid(0));
}

/// The CPU's clock, cycles.
pub(crate) fn cycles() -> u64 {
    // SAFETY: every x86-64 CPU has a TSC.
    unsafe { cpu::_rdtsc() }
}

/// Cycles of what stands between two reads of the clock, both of which wait for what is before them.
pub(crate) fn cycles_of(between: impl FnOnce()) -> u64 {
    let mut number = 0;
    // SAFETY: RDTSCP is in every CPU that virtualises (2006 and on); the pointer is valid for a write.
    unsafe {
        cpu::_mm_lfence();
        let start = cpu::_rdtsc();
        cpu::_mm_lfence();
        between();
        cpu::__rdtscp(&raw mut number).wrapping_sub(start)
    }
}
