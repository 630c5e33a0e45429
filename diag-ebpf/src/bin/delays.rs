//! `osdiag delays` on `tp_btf` hooks, with task storage.
#![no_std]
#![no_main]

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use diag_common::delays::Thread;
use diag_ebpf::{common_programs, delays_programs, object_footer, typed_object};

typed_object!(Delays, Thread);
delays_programs!(btf_tracepoint, BtfTracePointContext, Delays);
common_programs!(btf_tracepoint, BtfTracePointContext, Delays);
object_footer!();
