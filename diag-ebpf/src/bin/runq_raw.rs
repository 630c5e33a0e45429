//! `osdiag runq` on raw tracepoints, with a hash by thread.
#![no_std]
#![no_main]

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use diag_ebpf::{common_programs, object_footer, raw_object, runq::state::TaskState, runq_programs};

raw_object!(Runq, TaskState, 131072);
runq_programs!(raw_tracepoint, RawTracePointContext, Runq);
common_programs!(raw_tracepoint, RawTracePointContext, Runq);
object_footer!();
