//! What a stuck task waits for, from its stack and what the kernel says beside it.

use diag_common::cause::{Cause, Layer};

use crate::kernel::waits::{self, Said};

/// Who serves a file system that is not on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// A process, through FUSE.
    Fuse,
    /// The host, through virtiofs.
    Host,
    /// A server on the network.
    Network,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) cause: Cause,
    /// Whose answer it waits for, where it waits for a server.
    pub(super) served: Option<Served>,
}

/// File systems that others serve, by the beginning of their type.
const SERVED_TYPES: &[(&str, Served)] = &[
    ("fuse", Served::Fuse),
    ("virtiofs", Served::Host),
    ("nfs", Served::Network),
    ("cifs", Served::Network),
    ("smb3", Served::Network),
    ("ceph", Served::Network),
    ("9p", Served::Network),
    ("afs", Served::Network),
];

/// Functions of waits for a server that is a process of this machine (fs/fuse, 6.18).
const OF_FUSE: &[&str] = &["request_wait_answer", "fuse_"];

/// Who serves a file system of this type.
pub(super) fn served_by_type(filesystem: &str) -> Option<Served> {
    SERVED_TYPES.iter().find(|(name, _)| filesystem.starts_with(name)).map(|&(_, served)| served)
}

/// The cause of a wait at `stack`, innermost function first, on a file of `filesystem` if it is known to be on one.
/// `contended` where the kernel says that it is for a lock, `for_io` where it says that it is for I/O.
///
/// Of a stall for memory (`in_memstall`) nothing is asked: of a page that does not come it is to be told who does not answer, not
/// why the page was evicted.
pub(super) fn told(stack: &[String], contended: bool, for_io: bool, filesystem: Option<&str>) -> Told {
    let cause = waits::cause(stack, Said { contended, for_io, stalled: false, open: true });
    // A page of a file that a server has is waited for as one of a disk is.
    let by_type = filesystem.and_then(served_by_type);
    match (cause, cause.layer()) {
        (Cause::Server, _) => {
            let of_fuse = |frame: &String| OF_FUSE.iter().any(|prefix| frame.starts_with(prefix));
            let by_stack = if stack.iter().any(of_fuse) { Served::Fuse } else { Served::Network };
            // virtiofs waits in functions of FUSE.
            Told { cause, served: by_type.filter(|&served| served == Served::Host).or(Some(by_stack)) }
        }
        (_, Layer::Block) if by_type.is_some() => Told { cause: Cause::Server, served: by_type },
        _ => Told { cause, served: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(stack: &str) -> Vec<String> {
        stack.split(' ').map(str::to_owned).collect()
    }

    /// Stacks as kernels show them, innermost function first; and the file system that the file was on.
    const SEEN: &[(&str, Option<&str>, Cause, Option<Served>)] = &[
        (
            "percpu_rwsem_wait __percpu_down_read vfs_write __x64_sys_pwrite64",
            Some("ext4"),
            Cause::Freeze,
            None,
        ),
        ("percpu_rwsem_wait __percpu_down_read cgroup_can_fork copy_process", None, Cause::KernelLock, None),
        ("jbd2_log_wait_commit ext4_sync_file __x64_sys_fsync", Some("ext4"), Cause::Journal, None),
        (
            "request_wait_answer __fuse_simple_request fuse_direct_io fuse_file_read_iter",
            None,
            Cause::Server,
            Some(Served::Fuse),
        ),
        (
            "folio_wait_bit_common filemap_get_pages filemap_read vfs_read",
            Some("fuse.sshfs"),
            Cause::Server,
            Some(Served::Fuse),
        ),
        (
            "request_wait_answer __fuse_simple_request fuse_do_open fuse_file_open",
            Some("virtiofs"),
            Cause::Server,
            Some(Served::Host),
        ),
        (
            "folio_wait_bit_common filemap_get_pages filemap_read vfs_read",
            Some("nfs4"),
            Cause::Server,
            Some(Served::Network),
        ),
        (
            "folio_wait_bit_common filemap_get_pages filemap_read vfs_read",
            Some("ext4"),
            Cause::BlockWait,
            None,
        ),
        (
            "rpc_wait_bit_killable __rpc_execute nfs4_call_sync_sequence",
            None,
            Cause::Server,
            Some(Served::Network),
        ),
        ("wait_for_vfork_done kernel_clone __do_sys_vfork", None, Cause::Child, None),
    ];

    #[test]
    fn stacks_that_kernels_show_have_their_causes() {
        for &(stack, filesystem, cause, served) in SEEN {
            assert_eq!(told(&frames(stack), false, false, filesystem), Told { cause, served }, "{stack}");
        }
    }

    #[test]
    fn a_wait_for_io_is_for_a_device_unless_the_stack_knows_better() {
        let cause = |stack: &str, for_io| told(&frames(stack), false, for_io, None).cause;
        // 6.18: what waits for a buffer is left out of stacks, as the scheduler is.
        let commit = "jbd2_journal_commit_transaction kjournald2 kthread";
        assert_eq!(cause(commit, false), Cause::FsWait);
        assert_eq!(cause(commit, true), Cause::BlockWait);
        assert_eq!(cause("jbd2_log_wait_commit ext4_sync_file", true), Cause::Journal);
    }

    #[test]
    fn what_the_kernel_calls_a_lock_is_one_wherever_it_is() {
        let stack = frames("fuse_file_write_iter vfs_write");
        assert_eq!(told(&stack, true, false, Some("fuse")).cause, Cause::KernelLock);
        assert_eq!(told(&stack, false, true, Some("fuse")).cause, Cause::Server);
    }
}
