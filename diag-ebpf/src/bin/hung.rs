//! `osdiag hung` on `tp_btf` hooks.
#![no_std]
#![no_main]

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use diag_ebpf::{common_programs, hung_programs, object_footer, side::Btf};

hung_programs!(btf_tracepoint, BtfTracePointContext, Btf);
common_programs!(btf_tracepoint, BtfTracePointContext, Btf);
object_footer!();
