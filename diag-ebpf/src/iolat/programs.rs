//! The tool's programs, once for each kind of hook.

/// Defines all programs for one [`crate::side::Side`]: `$kind` is aya-ebpf's attribute, `$context` its context type.
#[macro_export]
macro_rules! iolat_programs {
    ($kind:ident, $context:ty, $side:ty) => {
        use aya_ebpf::EbpfContext as _;
        use diag_ebpf::{
            fields::{ARG_PAUSE, ARG_PREV_STATE, ARG_REQUEST},
            iolat::{block, context, sched, state::context as bits, syscall},
            scope,
            side::{Ptr, argument},
        };

        #[$kind]
        pub fn sys_enter(ctx: $context) -> i32 {
            syscall::enter::<$side>(ctx.arg(0), ctx.arg(1));
            0
        }

        #[$kind]
        pub fn sys_exit(ctx: $context) -> i32 {
            syscall::exit::<$side>(ctx.arg(0), ctx.arg(1));
            0
        }

        #[$kind]
        pub fn sched_switch(ctx: $context) -> i32 {
            let context = ctx.as_ptr() as Ptr;
            // SAFETY: the position is that of the running kernel.
            let state = match ARG_PREV_STATE.load() {
                3 => unsafe { argument::<3>(context) as u32 },
                _ => 0,
            };
            let preempt: u64 = ctx.arg(0);
            sched::switch::<$side>(context, preempt & 1 != 0, ctx.arg(1), ctx.arg(2), state);
            0
        }

        #[$kind]
        pub fn sched_waking(ctx: $context) -> i32 {
            sched::waking::<$side>(ctx.as_ptr() as Ptr, ctx.arg(0));
            0
        }

        #[$kind]
        pub fn sched_process_fork(ctx: $context) -> i32 {
            scope::forked::<$side>(ctx.arg(0), ctx.arg(1));
            0
        }

        #[$kind]
        pub fn sched_process_exit(ctx: $context) -> i32 {
            scope::exited::<$side>(ctx.arg(0));
            <$side as diag_ebpf::iolat::state::Tasks>::forget(ctx.arg(0));
            0
        }

        #[$kind]
        pub fn block_rq_issue(ctx: $context) -> i32 {
            let context = ctx.as_ptr() as Ptr;
            // SAFETY: the position is that of the running kernel.
            let request = match ARG_REQUEST.load() {
                1 => unsafe { argument::<1>(context) },
                _ => unsafe { argument::<0>(context) },
            };
            block::issue(request);
            0
        }

        #[$kind]
        pub fn block_rq_complete(ctx: $context) -> i32 {
            block::complete::<$side>(ctx.arg(0));
            0
        }

        #[$kind]
        pub fn contention_begin(ctx: $context) -> i32 {
            context::contention_begin::<$side>(ctx.arg(0), ctx.arg(1));
            0
        }

        #[$kind]
        pub fn contention_end(_ctx: $context) -> i32 {
            context::contention_end::<$side>();
            0
        }

        #[$kind]
        pub fn mm_vmscan_direct_reclaim_begin(_ctx: $context) -> i32 {
            context::begin::<$side>(bits::RECLAIM);
            0
        }

        #[$kind]
        pub fn mm_vmscan_direct_reclaim_end(_ctx: $context) -> i32 {
            context::end::<$side>(bits::RECLAIM);
            0
        }

        #[$kind]
        pub fn mm_vmscan_node_reclaim_begin(_ctx: $context) -> i32 {
            context::begin::<$side>(bits::RECLAIM);
            0
        }

        #[$kind]
        pub fn mm_vmscan_node_reclaim_end(_ctx: $context) -> i32 {
            context::end::<$side>(bits::RECLAIM);
            0
        }

        #[$kind]
        pub fn mm_vmscan_memcg_reclaim_begin(_ctx: $context) -> i32 {
            context::begin::<$side>(bits::MEMCG_RECLAIM);
            0
        }

        #[$kind]
        pub fn mm_vmscan_memcg_reclaim_end(_ctx: $context) -> i32 {
            context::end::<$side>(bits::MEMCG_RECLAIM);
            0
        }

        #[$kind]
        pub fn mm_compaction_begin(_ctx: $context) -> i32 {
            context::begin::<$side>(bits::COMPACTION);
            0
        }

        #[$kind]
        pub fn mm_compaction_end(_ctx: $context) -> i32 {
            context::end::<$side>(bits::COMPACTION);
            0
        }

        #[$kind]
        pub fn balance_dirty_pages(ctx: $context) -> i32 {
            let context = ctx.as_ptr() as Ptr;
            // SAFETY: the position is that of the running kernel.
            let pause = match ARG_PAUSE.load() {
                6 => unsafe { argument::<6>(context) },
                10 => unsafe { argument::<10>(context) },
                _ => 0,
            };
            context::dirty_throttle::<$side>(pause as i64);
            0
        }

        #[cfg(target_arch = "bpf")]
        #[panic_handler]
        fn panic(_info: &core::panic::PanicInfo) -> ! {
            loop {}
        }

        #[unsafe(link_section = "license")]
        #[unsafe(no_mangle)]
        static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
    };
}
