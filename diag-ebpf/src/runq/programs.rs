//! The tool's programs, once for each kind of hook.

/// Defines all programs for one [`crate::side::Side`]: `$kind` is aya-ebpf's attribute, `$context` its context type.
#[macro_export]
macro_rules! runq_programs {
    ($kind:ident, $context:ty, $side:ty) => {
        use aya_ebpf::EbpfContext as _;
        use diag_ebpf::{
            program,
            runq::{irq, sched},
            scope,
            side::Ptr,
            task,
        };

        program!($kind, $context, sched_switch, |ctx| {
            let context = ctx.as_ptr() as Ptr;
            // SAFETY: the program's own context.
            let state = unsafe { task::state_told(context) };
            let preempt: u64 = ctx.arg(0);
            sched::switch::<$side>(preempt & 1 != 0, ctx.arg(1), ctx.arg(2), state);
        });
        program!($kind, $context, sched_waking, |ctx| sched::waking::<$side>(ctx.arg(0)));
        program!($kind, $context, sched_wakeup, |ctx| sched::woken::<$side>(ctx.arg(0)));
        program!($kind, $context, sched_wakeup_new, |ctx| sched::woken::<$side>(ctx.arg(0)));
        program!($kind, $context, sched_migrate_task, |ctx| sched::migrated::<$side>(ctx.arg(0)));
        program!($kind, $context, sched_process_fork, |ctx| scope::forked::<$side>(ctx.arg(0), ctx.arg(1)));
        program!($kind, $context, sched_process_exit, |ctx| scope::exited::<$side>(ctx.arg(0)));
        program!($kind, $context, irq_handler_entry, |_| irq::begin(irq::Level::Hard));
        program!($kind, $context, irq_handler_exit, |_| irq::end(irq::Level::Hard));
        program!($kind, $context, softirq_entry, |_| irq::begin(irq::Level::Soft));
        program!($kind, $context, softirq_exit, |_| irq::end(irq::Level::Soft));
    };
}
