//! `osdiag vmexit` on `tp_btf` hooks.
#![no_std]
#![no_main]

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use diag_ebpf::{common_programs, object_footer, side::Btf, vmexit_programs};

vmexit_programs!(btf_tracepoint, BtfTracePointContext, Btf);
common_programs!(btf_tracepoint, BtfTracePointContext, Btf);
object_footer!();
