//! The slowest operations, through a ring buffer behind a threshold that rises.

use core::ptr;

use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel_str, bpf_ringbuf_output},
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use diag_common::{
    hist,
    iolat::{Event, Op, PATH_BYTES, PATH_CUT, PATH_DELETED},
    loss::Loss,
    threshold::Threshold,
};

use super::state::{TaskState, Tasks};
use crate::{
    arch,
    fields::{
        DENTRY_HASHED, DENTRY_INODE, DENTRY_NAME, DENTRY_PARENT, FILE_DENTRY, FILE_POS, TASK_COMM, TASK_PID,
        TASK_TGID, present,
    },
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

/// Sends an operation that has ended.
#[inline(always)]
pub fn send<S: Tasks>(state: &TaskState, task: Ptr) {
    let Some(draft) = DRAFT.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's element; loads from the task's registers; helpers that write what they are given.
    unsafe {
        let event = &mut (*draft).event;
        event.latency_ns = state.end.saturating_sub(state.start);
        event.ret = state.ret;
        event.offset = state.offset;
        event.cgroup = scope::cgroup_id::<S>(task);
        event.dev = state.dev;
        event.tgid = S::read(task, TASK_TGID.load());
        event.pid = S::read(task, TASK_PID.load());
        event.stack = state.longest_stack;
        event.magic = state.magic;
        let comm = event.comm.as_mut_ptr().cast::<u64>();
        comm.write_unaligned(S::read(task, TASK_COMM.load()));
        comm.add(1).write_unaligned(S::read(task, TASK_COMM.load() + 8));
        event.touched = state.touched;
        event.parity = state.parity as u16;
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
        let used = path(draft, state.entry as Ptr, state.inode);
        let event = &raw mut (*draft).event;
        let size = (core::mem::offset_of!(Event, path) + at_most::<LONGEST_PATH>(u64::from(used))) as u64;
        if bpf_ringbuf_output(ptr::from_ref(&EVENTS) as *mut _, event.cast(), size, NO_WAKEUP) != 0 {
            loss::count(Loss::Events);
        }
    }
}

/// Lets the threshold rise for an operation that is to be sent.
#[inline(always)]
pub fn raise(threshold: &mut Threshold, bucket: u32) {
    // SAFETY: a map value, whose words are added to atomically.
    unsafe {
        Threshold::raise(
            threshold,
            bucket,
            |word, value| memory::add_u32(word, value),
            |bucket| at_most::<{ hist::LAST }>(u64::from(bucket)),
        );
    }
}

/// Takes where the operation worked, while its call has the file open: it may be closed, and the descriptor another's, soon after.
#[inline(always)]
pub fn locate<S: Side>(state: &mut TaskState, regs: Ptr, ret: i64) {
    state.offset = place::<S>(state, regs, ret);
    // SAFETY: a plain address, read with fault handling.
    state.entry = unsafe { Raw::read(state.file as Ptr, FILE_DENTRY.load()) };
}

/// Where in the file the operation worked; `i64::MIN` where that has no meaning. The registers keep a call's arguments
/// until the next.
#[inline(always)]
fn place<S: Side>(state: &TaskState, regs: Ptr, ret: i64) -> i64 {
    let is = |other: Op| state.op == other as u8;
    if is(Op::Fsync) || is(Op::Fdatasync) {
        return i64::MIN;
    }
    // SAFETY: loads from the registers, and from the file by plain address.
    unsafe {
        if is(Op::SyncFileRange) {
            return arch::second_argument::<S>(regs);
        }
        if is(Op::Read) || is(Op::Write) || is(Op::Readv) || is(Op::Writev) {
            let position: i64 = Raw::read(state.file as Ptr, FILE_POS.load());
            return position - ret.max(0);
        }
        arch::fourth_argument::<S>(regs)
    }
}

/// Walks the directory entries from the file to its file system's root. The names are true at this moment.
#[inline(always)]
unsafe fn path(draft: *mut Draft, mut entry: Ptr, inode: u64) -> u32 {
    // SAFETY: plain addresses, read with fault handling; the offset into the buffer is masked.
    unsafe {
        let start = (&raw mut (*draft).event.path).cast::<u8>();
        let mut used = 0u32;
        let mut flags = PATH_CUT;
        // A file that was closed since lets its entry go once memory is short, and another take its place.
        let gone = Raw::read::<u64>(entry, DENTRY_INODE.load()) != inode;
        for component in 0..=MAX_COMPONENTS {
            if gone {
                flags = 0;
                break;
            }
            let parent: Ptr = Raw::read(entry, DENTRY_PARENT.load());
            if parent.is_null() || parent == entry {
                flags &= !PATH_CUT;
                break;
            }
            // d_unlinked (include/linux/dcache.h, 6.18): what has a parent is hashed as long as it has a name.
            if component == 0 && present(&DENTRY_HASHED) && Raw::read::<u64>(entry, DENTRY_HASHED.load()) == 0
            {
                flags |= PATH_DELETED;
            }
            if component == MAX_COMPONENTS {
                break;
            }
            if used >= PATH_BYTES as u32 - NAME_BYTES as u32 {
                break;
            }
            let name: Ptr = Raw::read(entry, DENTRY_NAME.load());
            let at = start.add(at_most::<LONGEST_PATH>(u64::from(used)));
            let bytes = bpf_probe_read_kernel_str(at.cast(), NAME_BYTES as u32, name.cast());
            if bytes <= 0 {
                break;
            }
            used += at_most::<{ NAME_BYTES as i32 }>(bytes as u64) as u32;
            entry = parent;
        }
        (*draft).event.path_bytes = used;
        (*draft).event.path_flags = flags;
        if flags & PATH_CUT != 0 {
            loss::count(Loss::Paths);
        }
        used
    }
}
