//! `osdiag hung` on raw tracepoints. Its iterator needs the kernel's types all the same.
#![no_std]
#![no_main]

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use diag_ebpf::{common_programs, hung_programs, object_footer, side::Raw};

hung_programs!(raw_tracepoint, RawTracePointContext, Raw);
common_programs!(raw_tracepoint, RawTracePointContext, Raw);
object_footer!();
