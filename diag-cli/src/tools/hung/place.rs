//! Where a task is stuck: its file, device and file system, as its system call or its name tells.

use diag_common::hung::Sleeper;

use super::servers;
use crate::{
    kernel::{
        files::{Files, Mount, OpenFile},
        mounts::{device_named, device_numbered},
        procfs::{Call, Reader, is_in_exec},
    },
    output::record::parties::Device,
};

/// System calls whose first argument is a file descriptor (arch/x86/entry/syscalls/syscall_64.tbl, 6.18).
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
    libc::SYS_getdents,
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
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_statx,
];

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
    let (pid, tid) = (sleeper.tgid, sleeper.pid);
    let call = reader.call(pid.cast_signed(), tid.cast_signed());
    match call.and_then(|call| descriptor(&call)).and_then(|fd| files.open(pid, tid, fd, reader)) {
        Some(open) => of_file(open),
        None => Place::default(),
    }
}

fn of_file(open: OpenFile) -> Place {
    // A block device's node is on the device file system, which is not what is waited for.
    let node = open.path.strip_prefix(b"/dev/").and_then(|name| str::from_utf8(name).ok());
    match node.and_then(device_named) {
        Some(device) => Place { device: Some(device), file: Some(open.path), mount: None },
        None => Place {
            device: open.mount.as_ref().and_then(|mount| mount.device.clone()),
            file: Some(open.path),
            mount: open.mount,
        },
    }
}

/// The descriptor that a task called with.
fn descriptor(call: &Call) -> Option<u64> {
    OF_A_FILE.contains(&call.number).then(|| call.first())
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

/// The device that a kernel thread writes to, from its name: `jbd2/vda1-8`, `kworker/u4:1-flush-254:0`.
fn device_of_thread(comm: &str) -> Option<Told<'_>> {
    if let Some(journal) = comm.strip_prefix("jbd2/") {
        return journal.rsplit_once('-').map(|(device, _)| Told::Name(device));
    }
    work_of(comm)?.strip_prefix("flush-").map(Told::Number)
}

/// The loop device that a worker serves, from its name: `kworker/u4:2+loop0`.
fn loop_of_worker(comm: &str) -> Option<&str> {
    work_of(comm).filter(|work| work.starts_with("loop"))
}

fn work_of(comm: &str) -> Option<&str> {
    Some(comm.strip_prefix("kworker/")?.split_once(['+', '-'])?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_threads_name_their_devices() {
        assert_eq!(device_of_thread("jbd2/dm-0-8"), Some(Told::Name("dm-0")));
        assert_eq!(device_of_thread("jbd2/loop0-8"), Some(Told::Name("loop0")));
        assert_eq!(device_of_thread("kworker/u4:1-flush-254:0"), Some(Told::Number("254:0")));
        assert_eq!(loop_of_worker("kworker/u4:2+loop7"), Some("loop7"));
        assert_eq!(loop_of_worker("jbd2/loop0-8"), None);
        assert_eq!(device_of_thread("kworker/0:1-events"), None);
        assert_eq!(device_of_thread("dd"), None);
    }

    #[test]
    fn only_calls_on_descriptors_have_one() {
        let call = |number| Call { number, words: [31, 0, 0, 0, 0, 0, 0, 0] };
        assert_eq!(descriptor(&call(libc::SYS_write)), Some(31));
        assert_eq!(descriptor(&call(libc::SYS_vfork)), None);
    }
}
