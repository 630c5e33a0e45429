//! What a stuck task waits for, from its stack: the contract's few causes, by what stands behind them.

use diag_common::cause::{Cause as Finer, Layer};
use schemars::JsonSchema;
use serde::Serialize;

use crate::kernel::waits;

/// What a stuck task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    /// A lock of the kernel.
    Lock,
    /// A block device, or the block layer.
    Block,
    /// The journal or log of a file system.
    Journal,
    /// A file system that is frozen.
    Freeze,
    /// The server of a network file system.
    NetworkFs,
    /// The server of a FUSE file system.
    Fuse,
    /// None of these.
    Other,
}

impl Cause {
    /// What the wait is for, to follow "waits for".
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Cause::Lock => "a lock",
            Cause::Block => "a block device",
            Cause::Journal => "the journal",
            Cause::Freeze => "a frozen file system",
            Cause::NetworkFs => "a file server on the network",
            Cause::Fuse => "a FUSE server",
            Cause::Other => "something else",
        }
    }
}

/// A cause, and the finer one that operations of `osdiag iolat` have, where the stack tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) cause: Cause,
    pub(super) finer: Option<Finer>,
}

/// Functions of file systems whose server is somebody else (fs/, net/sunrpc, net/9p, 6.18), whichever way they wait.
const SERVED: &[(&str, Cause)] = &[
    ("request_wait_answer", Cause::Fuse),
    ("fuse_", Cause::Fuse),
    ("virtio_fs_", Cause::Fuse),
    ("rpc_wait_", Cause::NetworkFs),
    ("nfs_", Cause::NetworkFs),
    ("nfs3_", Cause::NetworkFs),
    ("nfs4_", Cause::NetworkFs),
    ("cifs_", Cause::NetworkFs),
    ("smb2_", Cause::NetworkFs),
    ("SMB2_", Cause::NetworkFs),
    ("ceph_", Cause::NetworkFs),
    ("p9_", Cause::NetworkFs),
    ("v9fs_", Cause::NetworkFs),
    ("afs_", Cause::NetworkFs),
    ("netfs_", Cause::NetworkFs),
];

/// File systems by their type, for waits whose stack shows nothing of them.
const SERVED_TYPES: &[(&str, Cause)] = &[
    ("fuse", Cause::Fuse),
    ("virtiofs", Cause::Fuse),
    ("nfs", Cause::NetworkFs),
    ("cifs", Cause::NetworkFs),
    ("smb3", Cause::NetworkFs),
    ("ceph", Cause::NetworkFs),
    ("9p", Cause::NetworkFs),
    ("afs", Cause::NetworkFs),
];

/// The cause of waits for a file system of this type that others serve.
pub(super) fn served_by_type(filesystem: &str) -> Option<Cause> {
    SERVED_TYPES.iter().find(|(name, _)| filesystem.starts_with(name)).map(|&(_, cause)| cause)
}

/// The cause of a wait at `stack`, innermost function first, on a file of `filesystem` if it is known to be on one.
/// `for_lock` where the kernel says that it is for a lock, `for_io` where it says that it is for I/O.
pub(super) fn told(stack: &[String], for_lock: bool, for_io: bool, filesystem: Option<&str>) -> Told {
    let finer = match waits::classify(stack, for_lock) {
        None | Some(Finer::FsWait | Finer::OtherWait) if for_io => Some(Finer::BlockWait),
        finer => finer,
    };
    let by_name = || {
        // Of a server's own thread, which waits for requests.
        let serves = |frame: &&String| frame.starts_with("fuse_dev_");
        let named = |frame: &String| SERVED.iter().find(|(prefix, _)| frame.starts_with(prefix));
        stack.iter().filter(|frame| !serves(frame)).find_map(named).map(|&(_, cause)| cause)
    };
    let cause = match finer {
        _ if for_lock => Cause::Lock,
        Some(Finer::Freeze) => Cause::Freeze,
        Some(Finer::Journal) => Cause::Journal,
        Some(Finer::InodeLock | Finer::FsLock | Finer::KernelLock) => Cause::Lock,
        _ => match (by_name(), finer.map(Finer::layer)) {
            (Some(served), _) => served,
            (None, Some(Layer::Block)) => filesystem.and_then(served_by_type).unwrap_or(Cause::Block),
            (None, _) => Cause::Other,
        },
    };
    Told { cause, finer }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stacks as kernels show them, innermost function first; and the file system that the file was on.
    const SEEN: &[(&str, Option<&str>, Cause)] = &[
        ("percpu_rwsem_wait __percpu_down_read vfs_write __x64_sys_pwrite64", Some("ext4"), Cause::Freeze),
        ("percpu_rwsem_wait __percpu_down_read cgroup_can_fork copy_process", None, Cause::Lock),
        ("jbd2_log_wait_commit ext4_sync_file __x64_sys_fsync", Some("ext4"), Cause::Journal),
        ("request_wait_answer __fuse_simple_request fuse_direct_io fuse_file_read_iter", None, Cause::Fuse),
        ("folio_wait_bit_common filemap_get_pages filemap_read vfs_read", Some("fuse.sshfs"), Cause::Fuse),
        ("folio_wait_bit_common filemap_get_pages filemap_read vfs_read", Some("nfs4"), Cause::NetworkFs),
        ("folio_wait_bit_common filemap_get_pages filemap_read vfs_read", Some("ext4"), Cause::Block),
        ("rpc_wait_bit_killable __rpc_execute nfs4_call_sync_sequence", None, Cause::NetworkFs),
        ("wait_for_vfork_done kernel_clone __do_sys_vfork", None, Cause::Other),
    ];

    #[test]
    fn stacks_that_kernels_show_have_their_causes() {
        for &(stack, filesystem, cause) in SEEN {
            let stack: Vec<String> = stack.split(' ').map(str::to_owned).collect();
            assert_eq!(told(&stack, false, false, filesystem).cause, cause, "{stack:?}");
        }
    }

    #[test]
    fn a_wait_for_io_is_for_a_device_unless_the_stack_knows_better() {
        let cause = |stack: &str, for_io| {
            let stack: Vec<String> = stack.split(' ').map(str::to_owned).collect();
            told(&stack, false, for_io, None)
        };
        // 6.18: what waits for a buffer is left out of stacks, as the scheduler is.
        let commit = "jbd2_journal_commit_transaction kjournald2 kthread";
        assert_eq!(cause(commit, false).cause, Cause::Other);
        assert_eq!(cause(commit, true), Told { cause: Cause::Block, finer: Some(Finer::BlockWait) });
        assert_eq!(cause("jbd2_log_wait_commit ext4_sync_file", true).cause, Cause::Journal);
    }

    #[test]
    fn what_the_kernel_calls_a_lock_is_one_wherever_it_is() {
        let stack = ["fuse_file_write_iter".to_owned(), "vfs_write".to_owned()];
        assert_eq!(told(&stack, true, false, Some("fuse")).cause, Cause::Lock);
        assert_eq!(told(&stack, false, true, Some("fuse")).cause, Cause::Fuse);
    }
}
