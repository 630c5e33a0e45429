//! The tool's programs, once for each kind of hook. The iterators are the same in both objects.

/// Defines all programs for one [`crate::side::Side`]: `$kind` is aya-ebpf's attribute, `$context` its context type.
#[macro_export]
macro_rules! delays_programs {
    ($kind:ident, $context:ty, $side:ty) => {
        use aya_ebpf::EbpfContext as _;
        use diag_ebpf::{
            context as bits,
            delays::{context, culprits, disks, explain, iterators, pieces},
            fields::{ARG_PAUSE, ARG_REQUEST},
            program, scope,
            side::{Ptr, argument},
            task,
        };

        /// aya-ebpf has no attribute for iterators.
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "iter/task")]
        pub fn threads(context: Ptr) -> i32 {
            iterators::begin::<$side>(context);
            0
        }

        #[unsafe(no_mangle)]
        #[unsafe(link_section = "iter/task")]
        pub fn open_waits(context: Ptr) -> i32 {
            iterators::open::<$side>(context);
            0
        }

        program!($kind, $context, sched_switch, |ctx| {
            let context = ctx.as_ptr() as Ptr;
            // SAFETY: the program's own context.
            let state = unsafe { task::state_told(context) };
            let preempt: u64 = ctx.arg(0);
            pieces::switch::<$side>(context, preempt & 1 != 0, ctx.arg(1), ctx.arg(2), state);
        });
        program!($kind, $context, sched_waking, |ctx| {
            explain::waking::<$side>(ctx.as_ptr() as Ptr, ctx.arg(0))
        });
        program!($kind, $context, sched_wakeup_new, |ctx| pieces::born::<$side>(ctx.arg(0)));
        program!($kind, $context, sched_migrate_task, |ctx| culprits::migrated::<$side>(ctx.arg(0)));
        program!($kind, $context, sched_process_fork, |ctx| scope::forked::<$side>(ctx.arg(0), ctx.arg(1)));
        program!($kind, $context, sched_process_exit, |ctx| scope::exited::<$side>(ctx.arg(0)));
        program!($kind, $context, sched_process_exec, |ctx| pieces::renamed::<$side>(ctx.arg(0)));
        program!($kind, $context, block_rq_issue, |ctx| {
            let context = ctx.as_ptr() as Ptr;
            // SAFETY: the position is that of the running kernel.
            let address = match ARG_REQUEST.load() {
                1 => unsafe { argument::<1>(context) },
                _ => unsafe { argument::<0>(context) },
            };
            disks::issue::<$side>(address as Ptr);
        });
        program!($kind, $context, block_rq_complete, |ctx| disks::complete::<$side>(ctx.arg(0)));
        program!($kind, $context, contention_begin, |ctx| {
            context::contention_begin::<$side>(ctx.arg(0), ctx.arg(1))
        });
        program!($kind, $context, contention_end, |ctx| context::contention_end::<$side>(ctx.arg(0)));
        program!($kind, $context, mm_vmscan_direct_reclaim_begin, |_| {
            context::begin::<$side>(bits::RECLAIM)
        });
        program!($kind, $context, mm_vmscan_direct_reclaim_end, |_| context::end::<$side>(bits::RECLAIM));
        program!($kind, $context, mm_vmscan_node_reclaim_begin, |_| {
            context::begin::<$side>(bits::RECLAIM)
        });
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
