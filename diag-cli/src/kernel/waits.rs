//! What a kernel stack says a task waited for: a table, one line a pattern.
//!
//! The first rule that fits decides, so the special ones stand above the general ones. A rule's patterns must be met
//! in their order, from the innermost function outwards; a `*` stands for any beginning or end of a name. A `^` stands for
//! the lock itself: the stack of a sleeping task has none of the scheduler's functions, to which those of sleeping locks
//! belong (`in_sched_functions`, kernel/sched/core.c, 6.18), so there the lock's caller is the innermost function; a stack
//! that a task takes of itself shows them. A `%` stands for a per-CPU reader-writer semaphore, whose own function is always shown
//! (`percpu_rwsem_wait`, kernel/locking/percpu-rwsem.c, 6.18). What follows a `^` or a `%` must
//! be the lock's own caller, then that one's caller, and so on.

use diag_common::cause::Cause::{self, *};

use super::symbols::is_meant;

/// One line of the table.
pub(crate) struct Rule {
    /// Functions, innermost first.
    pub(crate) functions: &'static [&'static str],
    /// What a wait in them is.
    pub(crate) cause: Cause,
    /// Where the kernel has them: the file, and a version that was looked at.
    #[cfg_attr(not(test), expect(dead_code, reason = "for whoever maintains the table"))]
    pub(crate) source: &'static str,
}

macro_rules! rules {
    ($($cause:ident: $($function:literal)<+, $source:literal;)*) => {
        &[$(Rule { functions: &[$($function),+], cause: $cause, source: $source },)*]
    };
}

/// The table.
pub(crate) const RULES: &[Rule] = rules! {
    DirtyThrottle: "balance_dirty_pages*", "mm/page-writeback.c, 6.18";
    MemcgThrottle: "*mem_cgroup_handle_over_high", "mm/memcontrol.c, 6.18";
    MemcgReclaim: "try_to_free_mem_cgroup_pages", "mm/vmscan.c, 6.18";
    Compaction: "*alloc_pages_direct_compact", "mm/page_alloc.c, 6.18";
    Compaction: "compact_zone*", "mm/compaction.c, 6.18";
    Reclaim: "try_to_free_pages", "mm/vmscan.c, 6.18";
    Reclaim: "*alloc_pages_slowpath*", "mm/page_alloc.c, 6.18";
    SwapIn: "do_swap_page", "mm/memory.c, 6.18";
    SwapIn: "swap_read*", "mm/page_io.c, 6.18";
    SwapIn: "shmem_swapin*", "mm/shmem.c, 6.18";

    Freeze: "__sb_start_write", "fs/super.c, 5.10";
    Freeze: "%" < "sb_start_write", "include/linux/fs/super.h, 6.18, where it is not inlined";
    Freeze: "%" < "mnt_want_write*", "fs/namespace.c, 6.18: sb_start_write";
    Freeze: "%" < "vfs_write*", "fs/read_write.c, 6.18: file_start_write";
    Freeze: "%" < "do_iter_write", "fs/read_write.c, 6.1: the same";
    Freeze: "%" < "vfs_iter_write", "fs/read_write.c, 6.18: the same";
    Freeze: "%" < "vfs_iocb_iter_write", "fs/read_write.c, 6.18: kiocb_start_write";
    Freeze: "%" < "*kernel_write", "fs/read_write.c, 6.18: file_start_write";
    Freeze: "%" < "vfs_copy_file_range", "fs/read_write.c, 6.18: the same";
    Freeze: "%" < "do_sendfile", "fs/read_write.c, 6.18: the same";
    Freeze: "%" < "*splice_direct*", "fs/splice.c, 6.18: the same";
    Freeze: "%" < "do_splice", "fs/splice.c, 6.18: the same";
    Freeze: "%" < "*clone_file_range*", "fs/remap_range.c, 6.18: the same";
    Freeze: "%" < "vfs_fallocate", "fs/open.c, 6.18: the same";
    Freeze: "%" < "do_ftruncate", "fs/open.c, 6.18: sb_start_write";
    Freeze: "%" < "do_sys_ftruncate*", "fs/open.c, 6.1: the same";
    Freeze: "%" < "aio_write", "fs/aio.c, 6.18: kiocb_start_write";
    Freeze: "%" < "io_write", "io_uring/rw.c, 6.18: the same";
    Freeze: "%" < "io_kiocb_start_write", "io_uring/rw.c, 6.18: the same";
    Freeze: "%" < "lo_*", "drivers/block/loop.c, 6.18: the same, for what the device is over";
    Freeze: "%" < "*page_mkwrite", "fs/ext4/inode.c, mm/filemap.c, 6.18: sb_start_pagefault";
    Freeze: "%" < "*xfs_filemap_fault", "fs/xfs/xfs_file.c, 6.1: the same";
    Freeze: "%" < "xfs_write_fault*", "fs/xfs/xfs_file.c, 6.18: the same";
    Freeze: "%" < "*_huge_fault", "fs/ext4/file.c, 6.18: the same";
    Freeze: "%" < "*_evict_inode", "fs/ext4/inode.c, fs/f2fs/inode.c, 6.18: sb_start_intwrite";
    Freeze: "%" < "xfs_trans_alloc*", "fs/xfs/xfs_trans.c, 6.18: the same";
    Freeze: "%" < "start_transaction", "fs/btrfs/transaction.c, 6.18: the same";
    FsLock: "%" < "freeze_super", "fs/super.c, 6.18: whoever freezes waits for writers";
    FsLock: "%" < "ext4_*", "fs/ext4/inode.c, 6.18: s_writepages_rwsem";
    FsLock: "%" < "f2fs_*", "fs/f2fs, 6.18";
    FsLock: "%" < "xfs_*", "fs/xfs, 6.18";
    KernelLock: "%", "kernel/cgroup/cgroup.c, kernel/cpu.c, mm/memory_hotplug.c, 6.18: and others";

    Journal: "jbd2_log_wait_commit", "fs/jbd2/journal.c, 6.18";
    Journal: "wait_transaction_locked", "fs/jbd2/transaction.c, 6.18";
    Journal: "wait_transaction_switching", "fs/jbd2/transaction.c, 6.18";
    Journal: "add_transaction_credits", "fs/jbd2/transaction.c, 6.18";
    Journal: "start_this_handle", "fs/jbd2/transaction.c, 6.18";
    Journal: "do_get_write_access", "fs/jbd2/transaction.c, 6.18";
    Journal: "*jbd2_log_wait_for_space", "fs/jbd2/checkpoint.c, 6.18";
    Journal: "jbd2_fc_*", "fs/jbd2/journal.c, 6.18";
    Journal: "ext4_fc_commit", "fs/ext4/fast_commit.c, 6.18";
    Journal: "xlog_wait*", "fs/xfs/xfs_log.c, 6.18";
    Journal: "xlog_grant_head*", "fs/xfs/xfs_log.c, 6.18";
    Journal: "xlog_force_lsn", "fs/xfs/xfs_log.c, 6.18";
    Journal: "xlog_cil_force_seq", "fs/xfs/xfs_log_cil.c, 6.18";
    Journal: "xfs_log_force*", "fs/xfs/xfs_log.c, 6.18";
    Journal: "btrfs_wait_for_commit", "fs/btrfs/transaction.c, 6.18";
    Journal: "wait_for_commit", "fs/btrfs/transaction.c, 6.18";
    Journal: "wait_current_trans", "fs/btrfs/transaction.c, 6.18";
    Journal: "btrfs_commit_transaction", "fs/btrfs/transaction.c, 6.18";
    Journal: "btrfs_sync_log", "fs/btrfs/tree-log.c, 6.18";

    InodeLock: "^" < "*_buffered_write*", "fs/ext4/file.c, fs/xfs/xfs_file.c, fs/btrfs/file.c, 6.18";
    InodeLock: "^" < "ext4_dio_*", "fs/ext4/file.c, 6.18";
    InodeLock: "^" < "ext4_file_read_iter", "fs/ext4/file.c, 6.18";
    InodeLock: "^" < "ext4_file_write_iter", "fs/ext4/file.c, 6.18";
    InodeLock: "^" < "xfs_ilock*", "fs/xfs/xfs_inode.c, 6.18";
    InodeLock: "^" < "btrfs_inode_lock", "fs/btrfs/inode.c, 6.18";
    InodeLock: "^" < "generic_file_write_iter", "mm/filemap.c, 6.18";
    InodeLock: "^" < "ovl_write_iter", "fs/overlayfs/file.c, 6.18";
    InodeLock: "^" < "blkdev_read_iter", "block/fops.c, 6.18";
    InodeLock: "^" < "blkdev_write_iter", "block/fops.c, 6.18";

    BlockThrottle: "wbt_wait", "block/blk-wbt.c, 6.18";
    BlockThrottle: "ioc_rqos_throttle", "block/blk-iocost.c, 6.18";
    BlockThrottle: "blkcg_iolatency_throttle", "block/blk-iolatency.c, 6.18";
    BlockThrottle: "rq_qos_wait", "block/blk-rq-qos.c, 6.18";
    BlockThrottle: "*blkcg_maybe_throttle*", "block/blk-cgroup.c, 6.18";
    BlockThrottle: "__blk_throtl_bio", "block/blk-throttle.c, 6.18";
    Queue: "blk_mq_get_tag", "block/blk-mq-tag.c, 6.18";
    Queue: "blk_queue_enter*", "block/blk-core.c, 6.18";
    Queue: "*bio_queue_enter", "block/blk-core.c, 6.18";

    Server: "request_wait_answer", "fs/fuse/dev.c, 6.18";
    Server: "rpc_wait_bit_killable", "net/sunrpc/sched.c, 6.18";
    Child: "wait_for_vfork_done", "kernel/fork.c, 6.18";
    FsWait: "*inode_dio_wait*", "fs/inode.c, 6.18";
    FsWait: "*inode_wait_for_writeback", "fs/fs-writeback.c, 6.18";

    FsLock: "^" < "ext4_*", "fs/ext4, 6.18";
    FsLock: "^" < "jbd2_*", "fs/jbd2, 6.18";
    FsLock: "^" < "xfs_*", "fs/xfs, 6.18";
    FsLock: "^" < "xfs_buf_lock", "fs/xfs/xfs_buf.c, 6.18";
    FsLock: "^" < "btrfs_*", "fs/btrfs, 6.18";
    FsLock: "^" < "f2fs_*", "fs/f2fs, 6.18";
    FsLock: "^" < "fdget_pos", "fs/file.c, 6.18: the lock of the file position";
    FsLock: "^" < "__fdget_pos", "fs/file.c, 6.12";
    MmapLock: "^" < "lock_mm_and_find_vma", "mm/mmap_lock.c, 6.18";
    MmapLock: "^" < "do_user_addr_fault", "arch/x86/mm/fault.c, 5.10";
    MmapLock: "^" < "do_page_fault", "arch/arm64/mm/fault.c, 6.18";
    MmapLock: "^" < "vm_mmap_pgoff", "mm/util.c, 6.18";
    MmapLock: "^" < "*vm_munmap", "mm/vma.c, 6.18";
    MmapLock: "^" < "*do_sys_brk", "mm/mmap.c, 6.18";
    MmapLock: "^" < "do_mprotect_pkey*", "mm/mprotect.c, 6.18";
    MmapLock: "^" < "do_madvise*", "mm/madvise.c, 6.18";
    MmapLock: "^" < "madvise_lock*", "mm/madvise.c, 6.18";
    MmapLock: "^" < "*do_sys_mremap", "mm/mremap.c, 6.18";
    MmapLock: "^" < "do_mlock", "mm/mlock.c, 6.18";
    MmapLock: "^" < "dup_mmap", "mm/mmap.c, 6.18";
    MmapLock: "^" < "exit_mmap", "mm/mmap.c, 6.18";
    KernelLock: "^", "kernel/locking, 6.18";

    Worker: "fuse_dev_*", "fs/fuse/dev.c, 6.18: a server's own thread, which waits for requests";
    Server: "fuse_*", "fs/fuse, 6.18";
    Server: "virtio_fs_*", "fs/fuse/virtio_fs.c, 6.18";
    Server: "rpc_wait_*", "net/sunrpc, 6.18";
    Server: "nfs_*", "fs/nfs, 6.18";
    Server: "nfs3_*", "fs/nfs, 6.18";
    Server: "nfs4_*", "fs/nfs, 6.18";
    Server: "cifs_*", "fs/smb/client, 6.18";
    Server: "smb2_*", "fs/smb/client, 6.18";
    Server: "SMB2_*", "fs/smb/client, 6.18";
    Server: "ceph_*", "fs/ceph, 6.18";
    Server: "p9_*", "net/9p, 6.18";
    Server: "v9fs_*", "fs/9p, 6.18";
    Server: "afs_*", "fs/afs, 6.18";
    Server: "netfs_*", "fs/netfs, 6.18";

    Pipe: "*pipe_read", "fs/pipe.c, 6.18";
    Pipe: "*pipe_write", "fs/pipe.c, 6.18";
    Pipe: "pipe_wait*", "fs/pipe.c, 5.10";
    Pipe: "wait_for_partner", "fs/pipe.c, 6.18: a FIFO is opened";
    Timer: "*nanosleep*", "kernel/time/hrtimer.c, 6.18";
    Timer: "timerfd_read*", "fs/timerfd.c, 6.18";
    UserLock: "futex_*", "kernel/futex/waitwake.c, 6.18";
    UserLock: "*lock_inode_wait", "fs/locks.c, 6.18: flock";
    UserLock: "fcntl_setlk", "fs/locks.c, 6.18";
    Child: "do_wait", "kernel/exit.c, 6.18";
    Signal: "*sigtimedwait*", "kernel/signal.c, 6.18";
    Signal: "sigsuspend", "kernel/signal.c, 6.18";
    Signal: "*_pause", "kernel/signal.c, 6.18";
    Signal: "signalfd_*", "fs/signalfd.c, 6.18";
    Poll: "ep_poll", "fs/eventpoll.c, 6.18";
    Poll: "do_poll*", "fs/select.c, 6.18";
    Poll: "do_sys_poll", "fs/select.c, 6.18";
    Poll: "do_select", "fs/select.c, 6.18";
    Poll: "io_cqring_wait", "io_uring/io_uring.c, 6.18";
    Poll: "read_events", "fs/aio.c, 6.18";
    Worker: "io_wq_worker", "io_uring/io-wq.c, 6.18";
    Worker: "io_sq_thread", "io_uring/sqpoll.c, 6.18";
    OtherIpc: "eventfd_read", "fs/eventfd.c, 6.18";
    OtherIpc: "*notify_read", "fs/notify, 6.18";
    OtherIpc: "n_tty_*", "drivers/tty/n_tty.c, 6.18";
    OtherIpc: "tty_*", "drivers/tty, 6.18";
    OtherIpc: "seccomp_do_user_notification*", "kernel/seccomp.c, 6.18: another process decides on the call";
    OtherIpc: "__seccomp_filter", "kernel/seccomp.c, 6.18: the same";
    OtherIpc: "handle_userfault", "fs/userfaultfd.c, 6.18: another thread fills the page";
    OtherIpc: "do_msgrcv", "ipc/msg.c, 6.18";
    OtherIpc: "do_msgsnd", "ipc/msg.c, 6.18";
    OtherIpc: "*semtimedop", "ipc/sem.c, 6.18";
    OtherIpc: "wq_sleep", "ipc/mqueue.c, 6.18";
    OtherIpc: "do_syslog", "kernel/printk/printk.c, 6.18";
    OtherIpc: "devkmsg_read", "kernel/printk/printk.c, 6.18";
    Socket: "*wait_for_more_packets", "net/core/datagram.c, 6.18";
    Socket: "sk_wait_*", "net/core/sock.c, 6.18";
    Socket: "sk_stream_wait_*", "net/core/stream.c, 6.18";
    Socket: "*_wait_for_connect", "net/ipv4/inet_connection_sock.c, 6.18";
    Socket: "unix_*", "net/unix/af_unix.c, 6.18";
    Socket: "vsock_*", "net/vmw_vsock/af_vsock.c, 6.18";
    Socket: "tcp_*", "net/ipv4/tcp.c, 6.18";
    Socket: "inet_*", "net/ipv4, 6.18";
    Socket: "sock_*", "net/socket.c, 6.18";

    BlockWait: "submit_bio_wait", "block/bio.c, 6.18";
    BlockWait: "bio_await*", "block/bio.c, 7.3";
    BlockWait: "*iomap_dio_rw", "fs/iomap/direct-io.c, 6.18";
    BlockWait: "*blkdev_direct_IO*", "block/fops.c, 6.18";
    BlockWait: "folio_wait_*", "mm/filemap.c, 6.18";
    BlockWait: "wait_on_page_*", "mm/filemap.c, 5.10";
    BlockWait: "*filemap_get_pages", "mm/filemap.c, 6.18";
    BlockWait: "generic_file_buffered_read", "mm/filemap.c, 5.10";
    BlockWait: "*wait_on_buffer", "fs/buffer.c, 6.18";
    BlockWait: "io_schedule*", "kernel/sched/core.c, 6.18";

    FsWait: "ext4_*", "fs/ext4, 6.18";
    FsWait: "jbd2_*", "fs/jbd2, 6.18";
    FsWait: "xfs_*", "fs/xfs, 6.18";
    FsWait: "xlog_*", "fs/xfs, 6.18";
    FsWait: "btrfs_*", "fs/btrfs, 6.18";
    FsWait: "f2fs_*", "fs/f2fs, 6.18";
    FsWait: "ovl_*", "fs/overlayfs, 6.18";
};

/// Functions of sleeping locks (kernel/locking, 6.18).
const LOCKING: &[&str] = &["rwsem_down_*", "down", "down_*", "__down*", "*mutex_lock*", "rt_mutex_*"];

/// Functions of per-CPU reader-writer semaphores (kernel/locking/percpu-rwsem.c, 6.18).
const PER_CPU: &[&str] = &["percpu_rwsem_wait", "*percpu_down_*"];

/// Functions in which only a lock can be waited for, where the lock's own are not shown.
const LOCKERS: &[&str] = &[
    "ext4_buffered_write_iter",
    "ext4_file_read_iter",
    "ext4_file_write_iter",
    "fdget_pos",
    "__fdget_pos",
    "xfs_ilock*",
];

/// The cause of a wait of which a stack tells `of_stack`. What stalls for memory (`in_memstall`) and is no swap-in reads back a page
/// that was evicted too soon.
pub(crate) fn by_stack(of_stack: Option<Cause>, stalled: bool) -> Cause {
    match of_stack {
        Some(BlockWait | FsWait | OtherWait) | None if stalled => Refault,
        Some(cause) => cause,
        None => OtherWait,
    }
}

/// What is known of a wait beside its stack.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    /// The kernel says that it is for a sleeping lock.
    pub(crate) contended: bool,
    /// It is a sleep in `in_iowait`.
    pub(crate) for_io: bool,
    /// It is one in `in_memstall`.
    pub(crate) stalled: bool,
    /// It goes on. Then no request has ended it yet, so that what `in_iowait` says is all that there is to say of it.
    pub(crate) open: bool,
}

/// The cause of a wait of which its stack tells, innermost function first: what `said` knows stands where that tells nothing, or no
/// more than which file system it is in.
pub(crate) fn cause<S: AsRef<str>>(stack: &[S], said: Said) -> Cause {
    let of_stack = classify(stack, said.contended);
    let for_io = said.for_io && !said.contended;
    match of_stack {
        None if for_io => BlockWait,
        Some(FsWait | OtherWait) if for_io && said.open => BlockWait,
        _ => by_stack(of_stack, said.stalled),
    }
}

/// The cause of a wait at `stack`, innermost function first; none where no rule fits. `contended` where the kernel said
/// that the wait is for a sleeping lock.
pub(crate) fn classify<S: AsRef<str>>(stack: &[S], contended: bool) -> Option<Cause> {
    RULES.iter().find(|rule| fits(rule.functions, stack, contended)).map(|rule| rule.cause)
}

fn fits<S: AsRef<str>>(patterns: &[&str], stack: &[S], contended: bool) -> bool {
    let met = |pattern: &&str, frame: &S| is_meant(pattern, frame.as_ref());
    let is = |frame: &S, table: &[&str]| table.iter().any(|pattern| met(pattern, frame));
    let after = |table: &[&str]| stack.iter().rposition(|frame| is(frame, table)).map(|at| &stack[at + 1..]);
    let callers = match patterns[0] {
        "%" => after(PER_CPU),
        "^" => after(LOCKING).or_else(|| {
            let only_a_lock = contended || stack.first().is_some_and(|frame| is(frame, LOCKERS));
            only_a_lock.then_some(stack)
        }),
        _ => {
            let mut frames = stack.iter();
            return patterns.iter().all(|pattern| frames.any(|frame| met(pattern, frame)));
        }
    };
    let Some(callers) = callers else { return false };
    patterns.len() - 1 <= callers.len()
        && patterns[1..].iter().zip(callers).all(|(pattern, frame)| met(pattern, frame))
}

#[cfg(test)]
#[path = "waits_tests.rs"]
mod tests;
