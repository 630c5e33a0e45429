//! The slowest operations, through a ring buffer behind a threshold that rises.

use core::ptr;

use aya_ebpf::{
    helpers::generated::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_probe_read_kernel_str, bpf_ringbuf_output,
    },
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use diag_common::{
    hist,
    iolat::{Control, Event, Loss, Op, PATH_BYTES},
};

use super::{
    finish::LAST_BUCKET,
    state::{TaskState, Tasks},
};
use crate::{
    fields::{DENTRY_NAME, DENTRY_PARENT, FILE_DENTRY, FILE_POS, REGS_DX, REGS_R10, REGS_SI},
    loss,
    memory::{self, at_most, store},
    scope,
    side::{Ptr, Raw, Side},
};

/// `BPF_RB_NO_WAKEUP`: the user side looks by itself.
const NO_WAKEUP: u64 = 1;
/// The longest name of a directory entry, with its end.
const NAME_BYTES: usize = 256;
const MAX_COMPONENTS: u32 = 32;
/// How far a path may reach into its buffer: the last name may spill over by its own length.
const LONGEST_PATH: i32 = PATH_BYTES as i32 - 1;

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// An event being built, with room for the last name to be cut only by its own length.
#[repr(C)]
struct Draft {
    event: Event,
    spill: [u8; NAME_BYTES],
}

#[map]
static DRAFT: PerCpuArray<Draft> = PerCpuArray::with_max_entries(1, 0);

/// Sends an operation whose bucket reached the threshold, and lets the threshold rise: at least as many operations as
/// are wanted have been sent at or above it, so none of the slowest is missed.
#[expect(clippy::too_many_arguments, reason = "the operation's facts, each known to the one caller")]
#[inline(always)]
pub fn send<S: Tasks>(
    state: &TaskState,
    control: &mut Control,
    task: Ptr,
    regs: Ptr,
    ret: i64,
    latency: u64,
    bucket: u32,
    now: u64,
    slot: u16,
) {
    raise(control, bucket);
    let Some(draft) = DRAFT.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's element; loads from the task's registers; helpers that write what they are given.
    unsafe {
        let event = &mut (*draft).event;
        let ids = bpf_get_current_pid_tgid();
        event.end_ns = now;
        event.latency_ns = latency;
        event.ret = ret;
        event.cgroup = scope::cgroup_id::<S>(task);
        event.dev = state.dev;
        event.tgid = (ids >> 32) as u32;
        event.pid = ids as u32;
        event.stack = state.longest_stack;
        event.magic = state.magic;
        bpf_get_current_comm(event.comm.as_mut_ptr().cast(), 16);
        event.touched = state.touched;
        event.slot = slot;
        event.op = state.op;
        event.waits_used = state.stack_waits as u8;
        for i in 0..32 {
            *event.ns.get_unchecked_mut(i) = *state.ns.get_unchecked(i);
            *event.via.get_unchecked_mut(i) = *state.via.get_unchecked(i);
            *event.stacks.get_unchecked_mut(i) = *state.stacks.get_unchecked(i);
        }
        for i in 0..event.waits.len() {
            let (to, from) = (event.waits.get_unchecked_mut(i), state.waits.get_unchecked(i));
            store(&mut to.ns, from.ns);
            store(&mut to.stack, from.stack);
            store(&mut to.flags, from.flags);
        }
        place::<S>(event, state, regs, ret);
        let used = path(draft, state.file as Ptr);
        let event = &raw mut (*draft).event;
        let size = (core::mem::offset_of!(Event, path) + at_most::<LONGEST_PATH>(u64::from(used))) as u64;
        if bpf_ringbuf_output(ptr::from_ref(&EVENTS) as *mut _, event.cast(), size, NO_WAKEUP) != 0 {
            loss::count(Loss::Events);
        }
    }
}

#[inline(always)]
fn raise(control: &mut Control, bucket: u32) {
    // SAFETY: the buckets are in range. Two CPUs at once can let the threshold rise late, never early by more than a bucket.
    unsafe {
        let sent = control.sent.as_mut_ptr().add(at_most::<LAST_BUCKET>(u64::from(bucket)));
        memory::add_u32(sent, 1);
        memory::add_u32(&raw mut control.above, 1);
        for _ in 0..16 {
            let threshold = control.threshold;
            if threshold >= hist::BUCKETS {
                return;
            }
            let at = *control.sent.as_ptr().add(at_most::<LAST_BUCKET>(u64::from(threshold)));
            if control.above < at + control.wanted {
                return;
            }
            control.above -= at;
            control.threshold = threshold + 1;
        }
    }
}

/// Where in the file the operation worked, and how much it asked for.
#[inline(always)]
unsafe fn place<S: Side>(event: &mut Event, state: &TaskState, regs: Ptr, ret: i64) {
    let op = state.op;
    let is = |other: Op| op == other as u8;
    // SAFETY: loads from the registers, which keep a call's arguments, and from the file.
    unsafe {
        event.offset = i64::MIN;
        event.requested = 0;
        if is(Op::Fsync) || is(Op::Fdatasync) {
            return;
        }
        if is(Op::SyncFileRange) {
            event.offset = S::read(regs, REGS_SI.load());
            event.requested = S::read(regs, REGS_DX.load());
            return;
        }
        if is(Op::Read) || is(Op::Write) || is(Op::Pread) || is(Op::Pwrite) {
            event.requested = S::read(regs, REGS_DX.load());
        }
        if is(Op::Read) || is(Op::Write) || is(Op::Readv) || is(Op::Writev) {
            let position: i64 = Raw::read(state.file as Ptr, FILE_POS.load());
            event.offset = position - ret.max(0);
        } else {
            event.offset = S::read(regs, REGS_R10.load());
        }
    }
}

/// Walks the directory entries from the file to its file system's root. The names are true at this moment.
#[inline(always)]
unsafe fn path(draft: *mut Draft, file: Ptr) -> u32 {
    // SAFETY: plain addresses, read with fault handling; the offset into the buffer is masked.
    unsafe {
        let start = (&raw mut (*draft).event.path).cast::<u8>();
        let mut entry: Ptr = Raw::read(file, FILE_DENTRY.load());
        let mut used = 0u32;
        let mut components = 0;
        for _ in 0..MAX_COMPONENTS {
            let parent: Ptr = Raw::read(entry, DENTRY_PARENT.load());
            if parent.is_null() || parent == entry {
                break;
            }
            if used >= PATH_BYTES as u32 - NAME_BYTES as u32 {
                loss::count(Loss::Paths);
                break;
            }
            let name: Ptr = Raw::read(entry, DENTRY_NAME.load());
            let at = start.add(at_most::<LONGEST_PATH>(u64::from(used)));
            let bytes = bpf_probe_read_kernel_str(at.cast(), NAME_BYTES as u32, name.cast());
            if bytes <= 0 {
                break;
            }
            used += at_most::<{ NAME_BYTES as i32 }>(bytes as u64) as u32;
            components += 1;
            entry = parent;
        }
        (*draft).event.path_bytes = used;
        (*draft).event.components = components;
        used
    }
}
