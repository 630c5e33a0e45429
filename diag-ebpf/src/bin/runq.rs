//! `osdiag runq` on `tp_btf` hooks, with task storage.
#![no_std]
#![no_main]

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use diag_ebpf::{common_programs, object_footer, runq::state::TaskState, runq_programs, typed_object};

typed_object!(Runq, TaskState);
runq_programs!(btf_tracepoint, BtfTracePointContext, Runq);
common_programs!(btf_tracepoint, BtfTracePointContext, Runq);
object_footer!();
