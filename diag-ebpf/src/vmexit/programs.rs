//! The tool's programs, once for each kind of hook.

/// Defines all programs for one [`crate::side::Side`]: `$kind` is aya-ebpf's attribute, `$context` its context type.
#[macro_export]
macro_rules! vmexit_programs {
    ($kind:ident, $context:ty, $side:ty) => {
        use diag_common::vmexit::Kind;
        use diag_ebpf::{
            program, scope,
            vmexit::{idle, ipi, msr, timer},
        };

        program!($kind, $context, write_msr, |ctx| msr::write::<$side>(ctx.arg(0), ctx.arg(1)));
        program!($kind, $context, read_msr, |ctx| {
            let msr: u64 = ctx.arg(0);
            msr::count::<$side>(Kind::MsrRead, msr as u32);
        });
        program!($kind, $context, rdpmc, |ctx| {
            let counter: u64 = ctx.arg(0);
            msr::count::<$side>(Kind::PmcRead, counter as u32);
        });
        program!($kind, $context, csd_queue_cpu, |ctx| ipi::queued::<$side>(ctx.arg(3)));
        program!($kind, $context, tlb_flush, |ctx| ipi::flush::<$side>(ctx.arg(0)));
        program!($kind, $context, ipi_send_cpu, |ctx| ipi::announced::<$side>(ctx.arg(2)));
        program!($kind, $context, ipi_send_cpumask, |ctx| ipi::announced::<$side>(ctx.arg(2)));
        program!($kind, $context, local_timer_entry, |_| timer::interrupt::<$side>());
        program!($kind, $context, hrtimer_start, |ctx| timer::started::<$side>(ctx.arg(0)));
        program!($kind, $context, hrtimer_expire_entry, |ctx| timer::expired::<$side>(ctx.arg(0)));
        program!($kind, $context, cpu_idle, |ctx| idle::idle(ctx.arg(0)));
        program!($kind, $context, sched_process_fork, |ctx| scope::forked::<$side>(ctx.arg(0), ctx.arg(1)));
        program!($kind, $context, sched_process_exit, |ctx| scope::exited::<$side>(ctx.arg(0)));
    };
}
