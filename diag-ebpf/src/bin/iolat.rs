//! `osdiag iolat` on `tp_btf` hooks, with task storage.
#![no_std]
#![no_main]

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use diag_ebpf::{common_programs, iolat::state::TaskState, iolat_programs, object_footer, typed_object};

typed_object!(Iolat, TaskState);
iolat_programs!(btf_tracepoint, BtfTracePointContext, Iolat);
common_programs!(btf_tracepoint, BtfTracePointContext, Iolat);
object_footer!();
