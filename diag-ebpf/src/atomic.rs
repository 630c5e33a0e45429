//! Atomic additions. rustc gives the BPF target none (`atomic_cas = false`), but every kernel's BPF has them.

/// `*target += value`
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
