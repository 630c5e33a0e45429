//! `osdiag lock` on `tp_btf` hooks, with task storage.
#![no_std]
#![no_main]

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use diag_common::lock::TaskState;
use diag_ebpf::{common_programs, lock_programs, object_footer, typed_object};

typed_object!(Lock, TaskState);
lock_programs!(btf_tracepoint, BtfTracePointContext, Lock);
common_programs!(btf_tracepoint, BtfTracePointContext, Lock);
object_footer!();
