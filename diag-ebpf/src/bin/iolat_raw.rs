//! `osdiag iolat` on raw tracepoints, with a hash by thread.
#![no_std]
#![no_main]

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use diag_ebpf::{common_programs, iolat::state::TaskState, iolat_programs, object_footer, raw_object};

raw_object!(Iolat, TaskState, 16384);
iolat_programs!(raw_tracepoint, RawTracePointContext, Iolat);
common_programs!(raw_tracepoint, RawTracePointContext, Iolat);
object_footer!();
