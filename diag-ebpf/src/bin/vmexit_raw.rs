//! `osdiag vmexit` on raw tracepoints.
#![no_std]
#![no_main]

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use diag_ebpf::{common_programs, object_footer, side::Raw, vmexit_programs};

vmexit_programs!(raw_tracepoint, RawTracePointContext, Raw);
common_programs!(raw_tracepoint, RawTracePointContext, Raw);
object_footer!();
