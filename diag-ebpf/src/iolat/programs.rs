//! The tool's programs, once for each kind of hook.

/// Defines all programs for one [`crate::side::Side`]: `$kind` is aya-ebpf's attribute, `$context` its context type.
#[macro_export]
macro_rules! iolat_programs {
    ($kind:ident, $context:ty, $side:ty) => {
        use aya_ebpf::EbpfContext as _;
        use diag_ebpf::{
            context as bits,
            fields::{ARG_PAUSE, ARG_REQUEST},
            iolat::{context, sched, syscall},
            program, request, scope,
            side::{Ptr, argument},
            task,
        };

        program!($kind, $context, sys_enter, |ctx| syscall::enter::<$side>(ctx.as_ptr() as Ptr));
        program!($kind, $context, sys_exit, |ctx| syscall::exit::<$side>(ctx.arg(0), ctx.arg(1)));
        program!($kind, $context, sched_switch, |ctx| {
            let context = ctx.as_ptr() as Ptr;
            // SAFETY: the program's own context.
            let state = unsafe { task::state_told(context) };
            let preempt: u64 = ctx.arg(0);
            sched::switch::<$side>(context, preempt & 1 != 0, ctx.arg(1), ctx.arg(2), state);
        });
        program!($kind, $context, sched_waking, |ctx| {
            sched::waking::<$side>(ctx.as_ptr() as Ptr, ctx.arg(0))
        });
        program!($kind, $context, sched_process_fork, |ctx| scope::forked::<$side>(ctx.arg(0), ctx.arg(1)));
        program!($kind, $context, sched_process_exit, |ctx| {
            syscall::exited::<$side>();
            scope::exited::<$side>(ctx.arg(0));
        });
        program!($kind, $context, block_rq_issue, |ctx| {
            let context = ctx.as_ptr() as Ptr;
            // SAFETY: the position is that of the running kernel.
            let address = match ARG_REQUEST.load() {
                1 => unsafe { argument::<1>(context) },
                _ => unsafe { argument::<0>(context) },
            };
            request::issue(address, 0);
        });
        program!($kind, $context, block_rq_complete, |ctx| {
            request::complete::<$side>(ctx.arg(0));
        });
        program!($kind, $context, contention_begin, |ctx| {
            context::contention_begin::<$side>(ctx.arg(0), ctx.arg(1))
        });
        program!($kind, $context, contention_end, |ctx| context::contention_end::<$side>(ctx.arg(0)));
        program!($kind, $context, mm_vmscan_direct_reclaim_begin, |_| context::begin::<$side>(bits::RECLAIM));
        program!($kind, $context, mm_vmscan_direct_reclaim_end, |_| context::end::<$side>(bits::RECLAIM));
        program!($kind, $context, mm_vmscan_node_reclaim_begin, |_| context::begin::<$side>(bits::RECLAIM));
        program!($kind, $context, mm_vmscan_node_reclaim_end, |_| context::end::<$side>(bits::RECLAIM));
        program!($kind, $context, mm_vmscan_memcg_reclaim_begin, |_| {
            context::begin::<$side>(bits::MEMCG_RECLAIM)
        });
        program!($kind, $context, mm_vmscan_memcg_reclaim_end, |_| {
            context::end::<$side>(bits::MEMCG_RECLAIM)
        });
        program!($kind, $context, mm_compaction_begin, |_| context::begin::<$side>(bits::COMPACTION));
        program!($kind, $context, mm_compaction_end, |_| context::end::<$side>(bits::COMPACTION));
        program!($kind, $context, balance_dirty_pages, |ctx| {
            let context = ctx.as_ptr() as Ptr;
            // SAFETY: the position is that of the running kernel.
            let pause = match ARG_PAUSE.load() {
                6 => unsafe { argument::<6>(context) },
                10 => unsafe { argument::<10>(context) },
                _ => 0,
            };
            context::dirty_throttle::<$side>(pause as i64);
        });
    };
}
