//! Names of cgroups, while they are made.

use core::{mem::offset_of, ptr};

use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel_str, bpf_ringbuf_output},
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use diag_common::{
    cgroup::{Made, PATH_BYTES},
    loss::Loss,
};

use crate::{
    fields::{CGROUP_ROOT, ROOT_HIERARCHY},
    loss,
    memory::at_most,
    scope,
    side::{Ptr, Side},
};

#[map]
static CGROUPS_MADE: RingBuf = RingBuf::with_byte_size(256 << 10, 0);

/// `BPF_RB_NO_WAKEUP`: the user side looks by itself.
const NO_WAKEUP: u64 = 1;

/// The largest length of a path without its zero.
const LONGEST: i32 = PATH_BYTES as i32 - 1;

/// The one that is sent, which is too large for a stack.
#[map]
static CGROUP_MADE: PerCpuArray<Made> = PerCpuArray::with_max_entries(1, 0);

/// `cgroup_mkdir(struct cgroup *cgrp, const char *path)`: in process context, with `cgroup_mutex` held, so seldom.
#[inline(always)]
pub fn made<S: Side>(cgroup: Ptr, path: u64) {
    let Some(made) = CGROUP_MADE.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's element; typed pointers; a helper that writes no more than it is told.
    let sent = unsafe {
        let root: Ptr = S::read(cgroup, CGROUP_ROOT.load());
        if root.is_null() {
            return;
        }
        (*made).id = scope::id::<S>(cgroup);
        (*made).hierarchy = S::read(root, ROOT_HIERARCHY.load());
        let to = (&raw mut (*made).path).cast();
        let read = bpf_probe_read_kernel_str(to, PATH_BYTES as u32, path as *const _);
        if read <= 1 || read >= PATH_BYTES as i64 {
            loss::count(Loss::CgroupNames);
            return;
        }
        (*made).length = read as u32 - 1;
        let size = (offset_of!(Made, path) + at_most::<LONGEST>(read as u64)) as u64;
        bpf_ringbuf_output(ptr::from_ref(&CGROUPS_MADE) as *mut _, made.cast(), size, NO_WAKEUP)
    };
    if sent != 0 {
        loss::count(Loss::CgroupNames);
    }
}
