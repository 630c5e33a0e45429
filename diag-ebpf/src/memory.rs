//! Memory operations that the compiler must not make others of.

use core::ptr;

/// `*target = value`, as one store. Left to itself, the compiler turns neighbouring stores into a call of `memset` or
/// `memcpy`, which on BPF are loops over bytes: 30 ns on the way of every operation, and thousands of states for the
/// verifier.
#[inline(always)]
pub fn store<T>(target: &mut T, value: T) {
    // SAFETY: a reference is valid for writes.
    unsafe { ptr::write_volatile(target, value) };
}

/// `*source`, as one load.
#[inline(always)]
pub fn load<T: Copy>(source: &T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { ptr::read_volatile(source) }
}

/// `index`, but at most `MAX`, in a register of its own: the verifier sees the bound where it is used, whatever the
/// compiler makes of the code around.
#[inline(always)]
pub fn at_most<const MAX: i32>(index: u64) -> usize {
    let mut bounded = index;
    // SAFETY: arithmetic alone.
    unsafe {
        core::arch::asm!(
            "if {bounded} <= {max} goto +1",
            "{bounded} = {max}",
            bounded = inout(reg) bounded,
            max = const MAX,
            options(nostack, nomem, pure),
        );
    }
    bounded as usize
}

/// `*target += value`, atomically. rustc gives the BPF target no atomics (`atomic_cas = false`), but every kernel's BPF
/// has this one.
///
/// # Safety
/// `target` is an aligned map value.
#[inline(always)]
pub unsafe fn add_u64(target: *mut u64, value: u64) {
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!("lock *(u64 *)({target} + 0) += {value}", target = in(reg) target, value = in(reg) value);
    }
}

/// `*target += value`
///
/// # Safety
/// As for [`add_u64`].
#[inline(always)]
pub unsafe fn add_u32(target: *mut u32, value: u32) {
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!("lock *(u32 *)({target} + 0) += {value}", target = in(reg) target, value = in(reg) value as u64);
    }
}
