//! `osdiag delays` on raw tracepoints, with a hash by thread.
#![no_std]
#![no_main]

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use diag_common::delays::Thread;
use diag_ebpf::{common_programs, delays_programs, object_footer, raw_object};

raw_object!(Delays, Thread, 16384);
delays_programs!(raw_tracepoint, RawTracePointContext, Delays);
common_programs!(raw_tracepoint, RawTracePointContext, Delays);
object_footer!();
