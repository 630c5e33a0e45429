//! arm64.

use syscalls::{aarch64, arm};

use super::ALL;
use crate::{
    ebpf::object::Value,
    kernel::fields::{Field, Source, at, optional, required},
};

/// Fields that this architecture's kernels have; the others are in [`crate::ebpf::layout`].
pub(crate) const FIELDS: &[Field] = &[
    required("REGS_X0", Source::Offset(&[at("pt_regs", "regs", ALL)])),
    required("REGS_ORIG_X0", Source::Offset(&[at("pt_regs", "orig_x0", ALL)])),
    required("REGS_SYSCALLNO", Source::Offset(&[at("pt_regs", "syscallno", ALL)])),
    required("REGS_SIZE", Source::Size(&[at("pt_regs", "", ALL)])),
    optional(
        "PREEMPT_COUNT",
        Source::Offset(&[at("task_struct", "thread_info.preempt.count", "4.20, 396244692232")]),
    ),
];

/// Variables that each CPU has one of, beside the run queue: none of interest.
pub(crate) const PER_CPU_VARIABLES: &[&str] = &[];

/// Globals of the kernel side that are no fields: stacks of the kernel are 16 KiB, and at least a page (`THREAD_SHIFT`,
/// arch/arm64/include/asm/memory.h, 5.10 to 6.18).
pub(crate) fn globals() -> [(&'static str, Value); 1] {
    [("STACK_SIZE", Value::U32(16384.max(rustix::param::page_size() as u32)))]
}

/// The name of a system call.
pub(crate) fn call(number: u32) -> Option<&'static str> {
    aarch64::Sysno::new(number as usize).map(|call| call.name())
}

/// The name of a 32-bit system call.
pub(crate) fn compat_call(number: u32) -> Option<&'static str> {
    arm::Sysno::new(number as usize).map(|call| call.name())
}

/// System calls whose first argument is a descriptor, and which not all architectures have: none.
pub(crate) const OLD_CALLS_OF_A_FILE: &[libc::c_long] = &[];

/// Functions in which a fault from user mode enters the kernel (arch/arm64/kernel/entry-common.c, arch/arm64/mm/fault.c, 6.18).
pub(crate) const FAULT_ENTRY: &[&str] = &["el0_da", "el0_ia", "do_mem_abort", "do_page_fault"];

/// Where every other stack begins (arch/arm64/kernel/entry-common.c, arch/arm64/kernel/syscall.c, 5.10 to 6.18).
pub(crate) const ENTRY: &[&str] = &[
    "invoke_syscall",
    "el0_svc_common",
    "do_el0_svc",
    "el0_svc",
    "el0t_64_sync_handler",
    "el0t_64_sync",
    "ret_from_fork",
];

/// From where on the kernel's own image and its modules lie, with addresses of 48 or 52 bits (Documentation/arch/arm64/memory.rst,
/// 6.18).
pub(crate) const IMAGE: u64 = 0xffff_8000_0000_0000;

/// Why `osdiag vmexit` cannot work on this architecture.
pub(crate) const NO_VMEXIT: Option<&str> = Some(
    "it counts x86 registers, interrupts and halts, which arm64 has not; no tracepoint tells what makes an arm64 guest exit",
);

/// A leaf of CPUID: there is none.
pub(crate) fn cpuid(_leaf: u32) -> [u32; 4] {
    [0; 4]
}

/// An instruction that exits to the hypervisor: none is known here.
pub(crate) fn exit() {}

/// The CPU's clock, cycles.
pub(crate) fn cycles() -> u64 {
    0
}

/// Cycles of what stands between two reads of the clock: not measured.
pub(crate) fn cycles_of(between: impl FnOnce()) -> u64 {
    between();
    0
}
