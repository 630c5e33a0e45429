//! The tool's programs, once for each kind of hook.

/// Defines all programs for one [`crate::side::Side`]: `$kind` is aya-ebpf's attribute, `$context` its context type.
#[macro_export]
macro_rules! lock_programs {
    ($kind:ident, $context:ty, $side:ty) => {
        use aya_ebpf::EbpfContext as _;
        use diag_ebpf::{
            lock::{sleeping, state},
            program, scope,
            side::Ptr,
            storage::Tasks as _,
            task as tasks,
        };

        program!($kind, $context, contention_begin, |ctx| state::begin::<$side>(ctx.arg(0), ctx.arg(1)));
        program!($kind, $context, contention_end, |ctx| {
            state::end::<$side>(ctx.as_ptr() as Ptr, ctx.arg(0))
        });
        program!($kind, $context, sched_switch, |ctx| {
            // SAFETY: the program's own context.
            let told = unsafe { tasks::state_told(ctx.as_ptr() as Ptr) };
            sleeping::switch::<$side>(tasks::state_left::<$side>(ctx.arg(1), told));
        });
        program!($kind, $context, sched_process_fork, |ctx| scope::forked::<$side>(ctx.arg(0), ctx.arg(1)));
        program!($kind, $context, sched_process_exit, |ctx| { scope::exited::<$side>(ctx.arg(0)) });
        // A task can wait for locks until the very end.
        program!($kind, $context, sched_process_free, |ctx| <$side>::forget(ctx.arg(0)));
    };
}
