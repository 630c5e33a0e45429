//! How a program reads kernel memory: the one thing in which the two kinds of hooks differ.

use core::ptr;

use aya_ebpf::{
    Global,
    helpers::{
        bpf_get_current_task,
        generated::{
            bpf_get_current_task_btf, bpf_get_stack, bpf_get_task_stack, bpf_probe_read_kernel,
            bpf_task_pt_regs,
        },
    },
};
use diag_common::{
    calls::{RDONLY_CAST_CALL, TASK_FROM_PID_CALL, TASK_RELEASE_CALL},
    stack::{STACK_FRAMES, Stack},
};

use crate::{arch, fields::TASK_STACK};

/// A kernel pointer, as the programs handle it.
pub type Ptr = *const u8;

/// The kind of hook that a program hangs on.
pub trait Side {
    /// Whether the stack of a sleeping task can be taken when it is woken; else it is taken when it goes to sleep.
    const STACK_OF_SLEEPER: bool;

    /// Reads `T` at `base + offset`; zero where that is no readable memory.
    ///
    /// # Safety
    /// On [`Btf`], `base` is a pointer that the verifier knows by its type.
    unsafe fn read<T: Copy>(base: Ptr, offset: u32) -> T;

    /// `address` as a pointer to the type `id`, to be read through [`Side::read`].
    fn cast(address: Ptr, id: u32) -> Ptr;

    /// The current `task_struct`.
    fn current() -> Ptr;

    /// The user registers that `task` saved when it entered the kernel; null where it has none.
    fn registers(task: Ptr) -> Ptr;

    /// Takes the kernel stack of `task`, which is the current one where [`Side::STACK_OF_SLEEPER`] is not set.
    ///
    /// # Safety
    /// `task` is a `task_struct`, and `context` the program's own.
    unsafe fn stack(context: Ptr, task: Ptr, frames: *mut Stack) -> i64;

    /// Takes the kernel stack of the thread `pid`, where the kernel lets a program look at another task; 0 where it does
    /// not, or the thread is gone or on a CPU.
    ///
    /// # Safety
    /// `frames` is a map value.
    unsafe fn stack_of_thread(pid: u32, frames: *mut Stack) -> i64;
}

/// Argument `N` of a program's context, for positions that only the loader knows: in assembly, lest several of them be
/// merged into one load at a computed offset, which the verifier refuses on a context.
///
/// # Safety
/// `context` is the program's own, and has that many arguments.
#[inline(always)]
pub unsafe fn argument<const N: usize>(context: Ptr) -> u64 {
    let value: u64;
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!(
            "{value} = *(u64 *)({context} + {offset})",
            value = out(reg) value,
            context = in(reg) context,
            offset = const 8 * N,
            options(nostack, readonly),
        );
    }
    value
}

/// An object's own type, on which its tool hangs its maps; it reads as its kind of hook does.
pub trait Object {
    /// The kind of hook.
    type Kind: Side;
}

impl<O: Object> Side for O {
    const STACK_OF_SLEEPER: bool = O::Kind::STACK_OF_SLEEPER;

    #[inline(always)]
    unsafe fn read<T: Copy>(base: Ptr, offset: u32) -> T {
        // SAFETY: the caller's.
        unsafe { O::Kind::read(base, offset) }
    }

    #[inline(always)]
    fn cast(address: Ptr, id: u32) -> Ptr {
        O::Kind::cast(address, id)
    }

    #[inline(always)]
    fn current() -> Ptr {
        O::Kind::current()
    }

    #[inline(always)]
    fn registers(task: Ptr) -> Ptr {
        O::Kind::registers(task)
    }

    #[inline(always)]
    unsafe fn stack(context: Ptr, task: Ptr, frames: *mut Stack) -> i64 {
        // SAFETY: the caller's.
        unsafe { O::Kind::stack(context, task, frames) }
    }

    #[inline(always)]
    unsafe fn stack_of_thread(pid: u32, frames: *mut Stack) -> i64 {
        // SAFETY: the caller's.
        unsafe { O::Kind::stack_of_thread(pid, frames) }
    }
}

/// Reads through a plain address. For what is behind a pointer that the verifier has no type for.
///
/// # Safety
/// Any address will do: a fault reads as zero.
#[inline(always)]
pub unsafe fn probe<T: Copy>(base: Ptr, offset: u32) -> T {
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the helper writes at most `size_of::<T>()` bytes, and handles faults.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            base.wrapping_add(offset as usize).cast(),
        );
        value.assume_init()
    }
}

/// `tp_btf`: typed pointers, read by direct loads.
pub struct Btf;

impl Side for Btf {
    const STACK_OF_SLEEPER: bool = true;

    #[inline(always)]
    unsafe fn read<T: Copy>(base: Ptr, offset: u32) -> T {
        // SAFETY: the verifier turns this into a load that yields zero on a fault.
        unsafe { ptr::read_volatile(base.add(offset as usize).cast()) }
    }

    #[inline(always)]
    fn cast(address: Ptr, id: u32) -> Ptr {
        let typed: Ptr;
        // SAFETY: `bpf_rdonly_cast(address, id)`, which is no call in the end but a move (kernel/bpf/verifier.c, 6.2).
        unsafe {
            core::arch::asm!(
                "call {function}",
                function = const RDONLY_CAST_CALL,
                inlateout("r1") address => _,
                inlateout("r2") id as u64 => _,
                lateout("r0") typed,
                lateout("r3") _,
                lateout("r4") _,
                lateout("r5") _,
                options(nostack),
            );
        }
        typed
    }

    #[inline(always)]
    fn current() -> Ptr {
        // SAFETY: the helper has no preconditions.
        unsafe { bpf_get_current_task_btf() as Ptr }
    }

    #[inline(always)]
    fn registers(task: Ptr) -> Ptr {
        // SAFETY: the verifier knows the task by its type.
        unsafe { bpf_task_pt_regs(task as *mut _) as Ptr }
    }

    #[inline(always)]
    unsafe fn stack(_context: Ptr, task: Ptr, frames: *mut Stack) -> i64 {
        // SAFETY: the caller's.
        unsafe { bpf_get_task_stack(task as *mut _, frames.cast(), (8 * STACK_FRAMES) as u32, 0) }
    }

    #[inline(always)]
    unsafe fn stack_of_thread(pid: u32, frames: *mut Stack) -> i64 {
        if THREADS_BY_ID.load() == 0 {
            return 0;
        }
        // SAFETY: `struct task_struct *bpf_task_from_pid(s32 pid)` gives a reference or null, and `bpf_task_release` takes
        // it back.
        unsafe {
            let task = call::<TASK_FROM_PID_CALL>(pid as u64) as Ptr;
            if task.is_null() {
                return 0;
            }
            let bytes = bpf_get_task_stack(task as *mut _, frames.cast(), (8 * STACK_FRAMES) as u32, 0);
            call::<TASK_RELEASE_CALL>(task as u64);
            bytes
        }
    }
}

/// Whether this kernel has `bpf_task_from_pid` (6.2); the loader knows.
#[unsafe(no_mangle)]
pub static THREADS_BY_ID: Global<u32> = Global::new(0);

/// Calls a kernel function of one argument.
///
/// # Safety
/// The function's own.
#[inline(always)]
unsafe fn call<const FUNCTION: i32>(argument: u64) -> u64 {
    let result: u64;
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!(
            "call {function}",
            function = const FUNCTION,
            inlateout("r1") argument => _,
            lateout("r0") result,
            lateout("r2") _,
            lateout("r3") _,
            lateout("r4") _,
            lateout("r5") _,
            options(nostack),
        );
    }
    result
}

/// Raw tracepoints: plain addresses, read by a helper.
pub struct Raw;

impl Side for Raw {
    const STACK_OF_SLEEPER: bool = false;

    #[inline(always)]
    unsafe fn read<T: Copy>(base: Ptr, offset: u32) -> T {
        // SAFETY: any address will do.
        unsafe { probe(base, offset) }
    }

    #[inline(always)]
    fn cast(address: Ptr, _id: u32) -> Ptr {
        address
    }

    #[inline(always)]
    fn current() -> Ptr {
        // SAFETY: the helper has no preconditions.
        unsafe { bpf_get_current_task() as Ptr }
    }

    #[inline(always)]
    fn registers(task: Ptr) -> Ptr {
        // SAFETY: any address will do.
        let stack: u64 = unsafe { probe(task, TASK_STACK.load()) };
        if stack == 0 { ptr::null() } else { arch::registers_on(stack) }
    }

    #[inline(always)]
    unsafe fn stack(context: Ptr, _task: Ptr, frames: *mut Stack) -> i64 {
        // SAFETY: the caller's.
        unsafe { bpf_get_stack(context as *mut _, frames.cast(), (8 * STACK_FRAMES) as u32, 0) }
    }

    #[inline(always)]
    unsafe fn stack_of_thread(_pid: u32, _frames: *mut Stack) -> i64 {
        0
    }
}
