//! What each program and each object has.

/// One program, named after its tracepoint, or after its function and which end of it.
#[macro_export]
macro_rules! program {
    ($kind:ident, $context:ty, $name:ident, $body:expr) => {
        #[$kind]
        pub fn $name(context: $context) -> i32 {
            let body: fn(&$context) = $body;
            $crate::exclusive::run(|| body(&context));
            0
        }
    };
}

/// The programs that every object has, whichever tool it is for.
#[macro_export]
macro_rules! common_programs {
    ($kind:ident, $context:ty, $side:ty) => {
        $crate::program!($kind, $context, cgroup_mkdir, |ctx| {
            $crate::cgroups::made::<$side>(ctx.arg(0), ctx.arg(1));
        });
    };
}

/// What makes a crate an object: a panic handler, which is never reached, and the licence that helpers ask for.
#[macro_export]
macro_rules! object_footer {
    () => {
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
