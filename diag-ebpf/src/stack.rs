//! Kernel stacks, each kept once.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use diag_common::{
    loss::Loss,
    stack::{STACK_FRAMES, Stack},
};

use crate::{
    loss,
    side::{Ptr, Side},
};

#[map]
static STACKS: HashMap<u32, Stack> = HashMap::with_max_entries(2048, 0);

#[map]
static STACK_BUFFER: PerCpuArray<Stack> = PerCpuArray::with_max_entries(2, 0);

/// Takes a stack (see [`Side::stack`]) and returns its number, which is a hash of its frames. 0 where there is none to
/// be had: the kernel unwinds no task that is still on another CPU, be it on its way out (arch/x86/kernel/unwind_orc.c,
/// 6.18). Where that is the last word, the caller counts it.
///
/// # Safety
/// As for [`Side::stack`].
#[inline(always)]
pub unsafe fn take<S: Side>(context: Ptr, task: Ptr) -> u32 {
    // SAFETY: the buffer is this CPU's, and `task` the caller's promise.
    unsafe {
        let Some(buffer) = STACK_BUFFER.get_ptr_mut(0) else { return 0 };
        let bytes = S::stack(context, task, buffer);
        keep(buffer, bytes)
    }
}

/// The same of another thread, by its id (see [`Side::stack_of_thread`]).
#[inline(always)]
pub fn take_of_thread<S: Side>(pid: u32) -> u32 {
    // SAFETY: the buffer is this CPU's, and another one than that of a program which this one may have interrupted.
    unsafe {
        let Some(buffer) = STACK_BUFFER.get_ptr_mut(1) else { return 0 };
        let bytes = S::stack_of_thread(pid, buffer);
        keep(buffer, bytes)
    }
}

/// Keeps a stack of so many bytes, and returns its number.
///
/// # Safety
/// `buffer` is a map value that nobody else writes.
#[inline(always)]
unsafe fn keep(buffer: *mut Stack, bytes: i64) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        if bytes <= 0 {
            return 0;
        }
        let used = bytes as u64 / 8;
        let mut hash = 0x9e37_79b9_7f4a_7c15u64;
        for frame in 0..STACK_FRAMES {
            let slot = buffer.cast::<u64>().add(frame);
            if frame as u64 >= used {
                *slot = 0;
            }
            hash = (hash ^ *slot).wrapping_mul(0x0000_0100_0000_01b3);
            hash ^= hash >> 29;
        }
        let frames = &*buffer;
        let number = (hash ^ (hash >> 32)) as u32 | 1;
        if STACKS.get_ptr(number).is_none() {
            // A lost race means that another CPU stored frames under this number.
            // No word of it in the log: that takes 300 bytes of the 512 that all functions have which call each other.
            if STACKS.insert(number, frames, BPF_NOEXIST as u64).is_ok() {
                return number;
            }
        }
        match STACKS.get_ptr(number) {
            Some(known) if same(known, buffer) => number,
            // There is no room, or the number is another stack's.
            _ => {
                loss::count(Loss::Stacks);
                0
            }
        }
    }
}

/// Frame by frame: left to itself, the compiler compares bytes.
///
/// # Safety
/// Both are map values.
#[inline(always)]
unsafe fn same(one: *const Stack, other: *const Stack) -> bool {
    for frame in 0..STACK_FRAMES {
        // SAFETY: the caller's.
        let (this, that) = unsafe {
            (one.cast::<u64>().add(frame).read_volatile(), other.cast::<u64>().add(frame).read_volatile())
        };
        // Each at once: differences that are collected lie on the program's own stack, all of them.
        if this != that {
            return false;
        }
    }
    true
}
