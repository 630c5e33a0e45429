//! `osdiag lock` on raw tracepoints, with a hash by thread.
#![no_std]
#![no_main]

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use diag_common::lock::TaskState;
use diag_ebpf::{common_programs, lock_functions, lock_programs, object_footer, raw_object};

raw_object!(Lock, TaskState, 16384);
lock_programs!(raw_tracepoint, RawTracePointContext, Lock);
common_programs!(raw_tracepoint, RawTracePointContext, Lock);
lock_functions!(Lock);
object_footer!();
