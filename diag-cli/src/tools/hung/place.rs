//! Where a task is stuck: its file, device and file system, as its system call or its name tells.

use diag_common::hung::Sleeper;

use super::servers;
use crate::{
    arch::{FAULT_ENTRY, OLD_CALLS_OF_A_FILE},
    kernel::{
        files::{Files, Mount, OpenFile},
        mounts::{device_named, device_numbered},
        procfs::{Call, Reader, is_in_exec},
    },
    output::record::parties::Device,
};

/// System calls that work on the file descriptor which is their first argument (include/uapi/asm-generic/unistd.h, 6.18), beside
/// [`OLD_CALLS_OF_A_FILE`]. Not those that take a directory and a path, such as openat: the path may lead anywhere.
const OF_A_FILE: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_getdents64,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fsetxattr,
    libc::SYS_fgetxattr,
];

/// Functions of page faults, beside [`FAULT_ENTRY`] (mm/memory.c, mm/gup.c, mm/filemap.c, 6.18): what is waited for is a page of
/// some mapping, which can be of any file.
const IN_FAULT: &[&str] =
    &["handle_mm_fault", "faultin_page", "__get_user_pages", "filemap_fault", "do_page_mkwrite"];

/// Functions of work that a task does within a call, on anything else than the call's descriptor: it frees memory
/// (mm/vmscan.c), closes another file (kernel/task_work.c), writes its core (fs/coredump.c), or exits (kernel/exit.c; 6.18).
const BESIDE: &[&str] = &[
    "try_to_free_pages",
    "try_to_free_mem_cgroup_pages",
    "shrink_node",
    "task_work_run",
    "do_coredump",
    "do_exit",
];

/// Whether a task waits for a page of one of its mappings.
pub(super) fn is_in_fault(stack: &[String]) -> bool {
    is_in(stack, IN_FAULT) || is_in(stack, FAULT_ENTRY)
}

fn is_in(stack: &[String], functions: &[&str]) -> bool {
    // A compiler's variants are the same functions.
    let name = |function: &'_ String| function.split('.').next().unwrap_or_default().to_owned();
    stack.iter().any(|function| functions.contains(&name(function).as_str()))
}

/// The parent of all kernel threads, whose names nobody else has chosen (init/main.c, 6.18).
pub(super) const KTHREADD: u32 = 2;

/// Where a task is stuck, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// What the descriptor stands for.
    pub(super) file: Option<Vec<u8>>,
    /// The block device.
    pub(super) device: Option<Device>,
    /// The mounted file system.
    pub(super) mount: Option<Mount>,
    /// Where this process sees the same file system, which may be another place than the task's.
    pub(super) own_point: Option<Vec<u8>>,
}

impl Place {
    /// The name of the block device.
    pub(super) fn device_name(&self) -> Option<&str> {
        self.device.as_ref()?.name.as_deref()
    }
}

/// The place of a task that sleeps in `functions`.
pub(super) fn of(
    sleeper: &Sleeper,
    comm: &str,
    functions: &[String],
    files: &mut Files,
    reader: &mut Reader,
) -> Place {
    if sleeper.parent == KTHREADD {
        // The worker of a loop device waits for what the device is over.
        if let Some(below) = loop_of_worker(comm).and_then(|device| servers::below_loop(device, files)) {
            return below;
        }
        if let Some(device) = device_of_thread(comm) {
            return Place { device: device.find(), ..Place::default() };
        }
    }
    if is_in_exec(functions) {
        return Place::default();
    }
    let call = reader.call(sleeper.tgid.cast_signed(), sleeper.pid.cast_signed());
    call.map(|call| of_call(sleeper, &call, functions, files, reader)).unwrap_or_default()
}

/// The place of the descriptor that a task called with, unless it waits for something else within the call.
fn of_call(
    sleeper: &Sleeper,
    call: &Call,
    functions: &[String],
    files: &mut Files,
    reader: &mut Reader,
) -> Place {
    if is_in_fault(functions) || is_in(functions, BESIDE) {
        return Place::default();
    }
    match descriptor(call).and_then(|fd| files.open(sleeper.tgid, sleeper.pid, fd, reader)) {
        Some(open) => of_file(open, files),
        None => Place::default(),
    }
}

fn of_file(open: OpenFile, files: &mut Files) -> Place {
    // A block device's node is on the device file system, which is not what is waited for.
    let node = open.path.strip_prefix(b"/dev/").and_then(|name| str::from_utf8(name).ok());
    match node.and_then(device_named) {
        Some(device) => Place { device: Some(device), file: Some(open.path), ..Place::default() },
        None => Place {
            device: open.mount.as_ref().and_then(|mount| mount.device.clone()),
            own_point: open.mount.as_ref().and_then(|mount| files.own_point(mount)),
            file: Some(open.path),
            mount: open.mount,
        },
    }
}

/// The descriptor that a task called with.
fn descriptor(call: &Call) -> Option<u64> {
    [OF_A_FILE, OLD_CALLS_OF_A_FILE].concat().contains(&call.number).then(|| call.first())
}

/// A device as a thread's name has it.
#[derive(Debug, PartialEq, Eq)]
enum Told<'a> {
    Name(&'a str),
    Number(&'a str),
}

impl Told<'_> {
    fn find(&self) -> Option<Device> {
        match self {
            Told::Name(name) => device_named(name),
            Told::Number(number) => device_numbered(number),
        }
    }
}

/// The device that a kernel thread writes to, from its name: `jbd2/vda1-8`, `kworker/u4:1-flush-254:0`,
/// `kworker/u4:1+xfs-cil/vda1`.
fn device_of_thread(comm: &str) -> Option<Told<'_>> {
    if let Some(journal) = comm.strip_prefix("jbd2/") {
        return journal.rsplit_once('-').map(|(device, _)| Told::Name(device));
    }
    let work = work_of(comm)?;
    if let Some((log, device)) = work.split_once('/')
        && XFS_LOG.contains(&log)
    {
        return Some(Told::Name(device));
    }
    work.strip_prefix("flush-").map(Told::Number)
}

/// Queues of work for the log of an xfs, each followed by a slash and its device (fs/xfs/xfs_super.c, xfs_log_cil.c, 6.18).
pub(super) const XFS_LOG: &[&str] = &["xfs-cil", "xfs-log", "xfs-sync"];

/// The loop device that a worker serves, from its name: `kworker/u4:2+loop0`.
fn loop_of_worker(comm: &str) -> Option<&str> {
    work_of(comm).filter(|work| work.starts_with("loop"))
}

fn work_of(comm: &str) -> Option<&str> {
    Some(comm.strip_prefix("kworker/")?.split_once(['+', '-'])?.1)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn kernel_threads_name_their_devices() {
        assert_eq!(device_of_thread("jbd2/dm-0-8"), Some(Told::Name("dm-0")));
        assert_eq!(device_of_thread("jbd2/loop0-8"), Some(Told::Name("loop0")));
        assert_eq!(device_of_thread("kworker/u4:1-flush-254:0"), Some(Told::Number("254:0")));
        assert_eq!(device_of_thread("kworker/u4:1+xfs-cil/loop2"), Some(Told::Name("loop2")));
        assert_eq!(device_of_thread("kworker/u4:1+xfs-conv/loop2"), None);
        assert_eq!(loop_of_worker("kworker/u4:2+loop7"), Some("loop7"));
        assert_eq!(loop_of_worker("jbd2/loop0-8"), None);
        assert_eq!(device_of_thread("kworker/0:1-events"), None);
        assert_eq!(device_of_thread("dd"), None);
    }

    #[test]
    fn only_calls_on_descriptors_have_one() {
        let descriptor = |number| descriptor(&call(number, 31));
        assert_eq!(descriptor(libc::SYS_write), Some(31));
        assert_eq!(descriptor(libc::SYS_vfork), None);
        // A path from the root has nothing to do with the directory that stands before it.
        assert_eq!(descriptor(libc::SYS_openat), None);
    }

    fn call(number: libc::c_long, first: u64) -> Call {
        Call { number, words: [first, 0, 0, 0, 0, 0, 0, 0] }
    }

    #[test]
    fn a_page_fault_inside_a_call_is_not_at_the_calls_descriptor() {
        let file = std::fs::File::open("/proc/version").unwrap();
        let me = std::process::id();
        // SAFETY: all of its fields are integers.
        let zero: Sleeper = unsafe { std::mem::zeroed() };
        let sleeper = Sleeper { pid: me, tgid: me, ..zero };
        let place = |stack: &str| {
            let call = call(libc::SYS_read, file.as_raw_fd() as u64);
            let stack: Vec<String> = stack.split(' ').map(str::to_owned).collect();
            of_call(&sleeper, &call, &stack, &mut Files::default(), &mut Reader::default()).file
        };
        assert_eq!(
            place("folio_wait_bit_common filemap_read vfs_read").as_deref(),
            Some(&b"/proc/version"[..])
        );
        // 6.18: a read into a page of a mapping; a write from one.
        assert_eq!(
            place("percpu_rwsem_wait ext4_page_mkwrite do_page_mkwrite do_shared_fault __handle_mm_fault"),
            None
        );
        assert_eq!(place("folio_wait_bit_common filemap_fault __do_fault do_fault asm_exc_page_fault"), None);
        assert_eq!(place("jbd2_log_wait_commit ext4_evict_inode __fput task_work_run"), None);
        assert_eq!(place("rpc_wait_bit_killable nfs_wb_all shrink_node.isra.0 try_to_free_pages"), None);
    }
}
