//! Waits where the kernel has no contention tracepoints (before 5.19): from the call of a sleeping lock's slow path to its
//! return.
//!
//! Spinning locks stay out. Before 5.12 nothing keeps such a program from being run within itself
//! (`__bpf_prog_enter`, kernel/bpf/trampoline.c), and a program's own maps have spinlocks.

use core::ptr;

use diag_common::{
    contention::{Kind, owner},
    loss::Loss,
};

use super::{
    sleeping,
    state::{Tasks, cpu},
};
use crate::{
    loss,
    memory::{add_u32, load},
    scope,
    side::{Ptr, Raw, Side as _},
};

/// The function's first argument, the lock, as a number: to the verifier it is a pointer, and those have no arithmetic.
#[inline(always)]
fn lock(program: Ptr) -> u64 {
    // SAFETY: any address will do.
    unsafe { Raw::read(program, 0) }
}

/// A slow path is called.
#[inline(always)]
pub fn begin<S: Tasks>(program: Ptr, flags: u32) {
    enter::<S>(lock(program), flags);
}

/// It returns, with the lock or without.
#[inline(always)]
pub fn end<S: Tasks>(program: Ptr) {
    leave::<S>(program, lock(program));
}

#[inline(never)]
fn enter<S: Tasks>(lock: u64, flags: u32) {
    let task = S::current();
    if !scope::contains::<S>(task) {
        return;
    }
    let kind = Kind::of(flags);
    // A reader calls the slow path with itself in the count (`rwsem_read_trylock`, kernel/locking/rwsem.c, 5.10 to 5.18).
    let own = if matches!(kind, Kind::RwsemRead) { owner::ONE_READER } else { 0 };
    if !alone(|| sleeping::begin::<S>(task, lock, flags, kind, own)) {
        loss::count(Loss::LockWaits);
    }
}

#[inline(never)]
fn leave<S: Tasks>(program: Ptr, lock: u64) {
    if !alone(|| sleeping::end::<S>(program, S::current(), lock)) {
        sleeping::abandon::<S>(lock);
    }
}

/// Runs `body`, unless it could meet another program's half-written cells: from 5.11 to 5.18 a task can be preempted
/// within a program, and then stays on its CPU, but others run there.
#[inline(always)]
fn alone(body: impl FnOnce()) -> bool {
    let Some(cpu) = cpu() else { return false };
    let busy = ptr::addr_of_mut!(cpu.busy);
    // SAFETY: a map value.
    unsafe { add_u32(busy, 1) };
    let alone = load(&cpu.busy) == 1;
    if alone {
        body();
    }
    // SAFETY: as above; this takes one off.
    unsafe { add_u32(busy, u32::MAX) };
    alone
}

/// Defines two programs for each function that takes the lock as its first argument: for its call, and for its return.
/// The flags are those of `contention_begin`; with `SPIN`, each call of a mutex's slow path is a wait of its own.
#[macro_export]
macro_rules! lock_functions {
    ($side:ty) => {
        $crate::lock_functions!($side:
            // kernel/locking/mutex.c, 5.10
            __mutex_lock_slowpath_begin, __mutex_lock_slowpath_end: MUTEX | SPIN;
            __mutex_lock_interruptible_slowpath_begin, __mutex_lock_interruptible_slowpath_end: MUTEX | SPIN;
            __mutex_lock_killable_slowpath_begin, __mutex_lock_killable_slowpath_end: MUTEX | SPIN;
            __ww_mutex_lock_slowpath_begin, __ww_mutex_lock_slowpath_end: MUTEX | SPIN;
            __ww_mutex_lock_interruptible_slowpath_begin, __ww_mutex_lock_interruptible_slowpath_end: MUTEX | SPIN;
            // kernel/locking/rwsem.c, 5.10
            rwsem_down_read_slowpath_begin, rwsem_down_read_slowpath_end: READ;
            rwsem_down_write_slowpath_begin, rwsem_down_write_slowpath_end: WRITE;
            // kernel/locking/percpu-rwsem.c, 5.10
            percpu_down_write_begin, percpu_down_write_end: PERCPU | WRITE;
            // kernel/locking/rtmutex.c, 5.10
            rt_mutex_slowlock_begin, rt_mutex_slowlock_end: RT;
            // kernel/locking/semaphore.c, 5.10
            __down_begin, __down_end: 0;
            __down_interruptible_begin, __down_interruptible_end: 0;
            __down_killable_begin, __down_killable_end: 0;
            __down_timeout_begin, __down_timeout_end: 0;
        );

        // `percpu_rwsem_wait(sem, reader)` (kernel/locking/percpu-rwsem.c, 5.10): a writer's is part of its
        // percpu_down_write().
        diag_ebpf::program!(fentry, FEntryContext, percpu_rwsem_wait_begin, |ctx| {
            if ctx.arg::<u32>(1) & 0xff != 0 {
                functions::begin::<$side>(ctx.as_ptr() as Ptr, PERCPU | READ);
            }
        });
        diag_ebpf::program!(fexit, FExitContext, percpu_rwsem_wait_end, |ctx| {
            if ctx.arg::<u32>(1) & 0xff != 0 {
                functions::end::<$side>(ctx.as_ptr() as Ptr);
            }
        });
    };
    ($side:ty: $($begin:ident, $end:ident: $flags:expr;)*) => {
        use aya_ebpf::{
            macros::{fentry, fexit},
            programs::{FEntryContext, FExitContext},
        };
        use diag_common::contention::flags::{MUTEX, PERCPU, READ, RT, SPIN, WRITE};
        use diag_ebpf::lock::functions;

        $(
            diag_ebpf::program!(fentry, FEntryContext, $begin, |ctx| {
                functions::begin::<$side>(ctx.as_ptr() as Ptr, $flags)
            });
            diag_ebpf::program!(fexit, FExitContext, $end, |ctx| functions::end::<$side>(ctx.as_ptr() as Ptr));
        )*
    };
}
