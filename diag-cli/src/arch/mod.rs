//! What differs between architectures, for the user side: where saved registers are, names and numbers of system calls, CPUID,
//! model-specific registers, functions by which the kernel is entered. `diag-ebpf/src/arch` has what the kernel side knows of it.

#[cfg(target_arch = "aarch64")]
mod aarch64;
pub(crate) mod msr;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::*;
use diag_common::iolat::Op;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

/// What a field's note says where no kernel differs.
const ALL: &str = "all kernels from 5.10";

/// The operation of a system call of this architecture.
pub(crate) fn operation(number: i64) -> Option<Op> {
    let name = call(u32::try_from(number).ok()?)?;
    Op::ALL.iter().copied().find(|op| op.name() == name)
}

#[cfg(test)]
mod tests {
    use diag_common::iolat::numbers;
    use syscalls::{aarch64, arm, x86, x86_64};

    use super::*;

    /// The kernel side's numbers against another table of them.
    #[test]
    fn operations_have_their_numbers_on_each_architecture() {
        for number in 0..1024_u64 {
            let at = number as usize;
            let of = |name: Option<&'static str>| Op::ALL.iter().copied().find(|op| Some(op.name()) == name);
            assert_eq!(
                numbers::x86_64(number),
                of(x86_64::Sysno::new(at).map(|call| call.name())),
                "{number}"
            );
            assert_eq!(
                numbers::aarch64(number),
                of(aarch64::Sysno::new(at).map(|call| call.name())),
                "{number}"
            );
            let i386 = of(x86::Sysno::new(at).map(|call| call.name()));
            assert_eq!(numbers::is_i386(number), i386.is_some(), "{number}");
            // sync_file_range has another order of arguments there, and another name.
            let arm = arm::Sysno::new(at).map(|call| call.name().trim_start_matches("arm_"));
            assert_eq!(numbers::is_arm(number), of(arm).is_some(), "{number}");
        }
        assert_eq!(operation(libc::SYS_pread64), Some(Op::Pread));
        assert_eq!((operation(-1), operation(libc::SYS_openat)), (None, None));
    }
}
