//! The tool's programs, once for each kind of hook. The iterator is the same in both objects.

/// Defines all programs: `$kind` is aya-ebpf's attribute, `$context` its context type, `$side` the kind of hook.
#[macro_export]
macro_rules! hung_programs {
    ($kind:ident, $context:ty, $side:ty) => {
        use aya_ebpf::EbpfContext as _;
        use diag_ebpf::{
            hung::{lock, sleeper, watchdog},
            program, scope,
            side::Ptr,
        };

        /// aya-ebpf has no attribute for iterators.
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "iter/task")]
        pub fn sleepers(context: Ptr) -> i32 {
            sleeper::tell(context);
            0
        }

        program!($kind, $context, sched_process_fork, |ctx| scope::forked::<$side>(ctx.arg(0), ctx.arg(1)));
        program!($kind, $context, sched_process_exit, |ctx| { scope::exited::<$side>(ctx.arg(0)) });
        program!($kind, $context, sched_process_hang, |ctx| watchdog::hang::<$side>(ctx.arg(0)));
        program!($kind, $context, contention_begin, |ctx| lock::begin(ctx.arg(0), ctx.arg(1)));
        program!($kind, $context, contention_end, |ctx| lock::end(ctx.arg(0)));
    };
}
