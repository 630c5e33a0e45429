//! Whether the kernel disables preemption around the programs on its tracepoints, read where they run.

use aya_ebpf::{macros::map, maps::Array};
use diag_common::preemption::{DEPTH, KINDS, SEEN};

use crate::{
    arch,
    memory::store,
    side::{Raw, Side as _},
};

/// What was read, by the kind of tracepoint.
#[map]
static PREEMPTION: Array<u32> = Array::with_max_entries(KINDS, 0);

/// Notes how deep preemption is disabled in a program on a tracepoint of this kind. The tracepoint is one that is met in a
/// task where nothing else disables preemption.
#[inline(always)]
pub fn note(kind: u32) {
    let Some(count) = arch::preempt_count::<Raw>(Raw::current()) else { return };
    let Some(noted) = PREEMPTION.get_ptr_mut(kind) else { return };
    // SAFETY: a map value; whichever task writes it last writes the same.
    store(unsafe { &mut *noted }, SEEN | count & DEPTH);
}
