//! What a lock is called: a table from callers to names, one line a rule.
//!
//! Most locks lie within something that was allocated, so no symbol names them; but who takes a lock says which it is. Of
//! a waiter's stack the innermost function that a rule knows decides, among the first few. A `*` stands for any beginning
//! or end of a name.

use diag_common::contention::Kind::{self, *};

use crate::kernel::symbols::is_meant;

/// One line of the table.
pub(crate) struct Rule {
    /// What the lock is called.
    pub(crate) name: &'static str,
    /// Which kinds of locks it can be.
    pub(crate) kinds: &'static [Kind],
    /// Functions that take it, any of them.
    pub(crate) functions: &'static [&'static str],
    /// Where the kernel has them: the file, and a version that was looked at.
    #[cfg_attr(not(test), expect(dead_code, reason = "for whoever maintains the table"))]
    pub(crate) source: &'static str,
}

const SPIN: &[Kind] = &[Spinlock];
const RWLOCK: &[Kind] = &[RwlockRead, RwlockWrite];
const MUTEX: &[Kind] = &[Mutex];
const RWSEM: &[Kind] = &[RwsemRead, RwsemWrite];
const PERCPU: &[Kind] = &[PercpuRwsem];
const SEMAPHORE: &[Kind] = &[Semaphore];
const ANY_SPIN: &[Kind] = &[Spinlock, RwlockRead, RwlockWrite];
const ANY_SLEEP: &[Kind] = &[Mutex, RwsemRead, RwsemWrite];

macro_rules! rules {
    ($($kinds:ident $name:literal: $($function:literal)|+, $source:literal;)*) => {
        &[$(Rule { name: $name, kinds: $kinds, functions: &[$($function),+], source: $source },)*]
    };
}

/// The table. The first rule that knows a function decides.
pub(crate) const RULES: &[Rule] = rules! {
    MUTEX "pipe mutex": "pipe_read" | "pipe_write" | "anon_pipe_*" | "fifo_pipe_*" | "pipe_*" | "fifo_open" | "splice_*" | "do_splice*", "fs/pipe.c, fs/splice.c, 6.18";
    MUTEX "file f_pos_lock": "fdget_pos" | "__fdget_pos", "fs/file.c, 6.18";
    MUTEX "seq_file lock": "seq_read*" | "seq_lseek" | "traverse", "fs/seq_file.c, 6.18";
    MUTEX "epoll mtx": "ep_*" | "do_epoll_*" | "eventpoll_*" | "__ep_*", "fs/eventpoll.c, 6.18";
    MUTEX "tty mutex": "tty_*" | "n_tty_*" | "pty_*" | "file_tty_write*" | "ptmx_open" | "iterate_tty_*", "drivers/tty, 6.18";
    MUTEX "rtnl_mutex": "rtnl_*" | "rtnetlink_*" | "netdev_*" | "register_netdev*", "net/core/rtnetlink.c, 6.18";
    MUTEX "cgroup_mutex": "cgroup_*" | "cgroup1_*" | "proc_cgroup*" | "cgroupstats_*" | "cpuset_*", "kernel/cgroup/cgroup.c, 6.18";
    MUTEX "unix socket iolock": "unix_stream_*" | "__unix_dgram_*" | "unix_dgram_*" | "unix_*", "net/unix/af_unix.c, 6.18";
    MUTEX "perf event mutex": "perf_*" | "_perf_*" | "__perf_*" | "sys_perf_event_open", "kernel/events/core.c, 6.18";
    MUTEX "tracepoints_mutex": "tracepoint_*" | "bpf_probe_*" | "__bpf_probe_*", "kernel/tracepoint.c, 6.18";
    MUTEX "trace event mutex": "trace_*" | "tracing_*" | "ftrace_*" | "event_*", "kernel/trace, 6.18";
    MUTEX "text_mutex": "text_poke*" | "smp_text_poke*" | "arch_jump_label*" | "jump_label*" | "__static_key*" | "static_key*", "kernel/jump_label.c, 6.18";
    MUTEX "membarrier_ipi_mutex": "membarrier_*" | "sync_runqueues_*", "kernel/sched/membarrier.c, 6.18";
    MUTEX "oom_lock": "out_of_memory" | "mem_cgroup_out_of_memory" | "__alloc_pages_may_oom" | "pagefault_out_of_memory", "mm/oom_kill.c, 6.18";
    MUTEX "pcpu_alloc_mutex": "pcpu_*", "mm/percpu.c, 6.18";
    MUTEX "jbd2 j_checkpoint_mutex": "*jbd2_log_wait_for_space" | "jbd2_log_do_checkpoint" | "jbd2_journal_flush" | "jbd2_mark_journal_empty", "fs/jbd2/checkpoint.c, 6.18";
    MUTEX "jbd2 j_barrier": "jbd2_journal_lock_updates", "fs/jbd2/transaction.c, 6.18";
    MUTEX "ext4 orphan lock": "ext4_orphan_*", "fs/ext4/orphan.c, 6.18";
    MUTEX "ext4 mutex": "ext4_*", "fs/ext4, 6.18";
    MUTEX "xfs mutex": "xfs_*" | "xlog_*", "fs/xfs, 6.18";
    MUTEX "btrfs mutex": "btrfs_*" | "wait_current_trans", "fs/btrfs, 6.18";
    MUTEX "block device open_mutex": "bdev_open*" | "bdev_release" | "blkdev_*" | "bdev_*", "block/bdev.c, 6.18";
    MUTEX "loop device mutex": "lo_*" | "loop_*", "drivers/block/loop.c, 6.18";
    MUTEX "queue sysfs lock": "elv_*" | "elevator_*" | "blk_mq_update_*" | "queue_attr_*", "block, 6.18";
    MUTEX "fsnotify mutex": "fsnotify_*" | "inotify_*" | "fanotify_*", "fs/notify, 6.18";
    MUTEX "cred_guard_mutex": "prepare_bprm_creds" | "bprm_execve" | "ptrace_attach" | "mm_access", "fs/exec.c, 6.18";
    MUTEX "kernfs open file": "kernfs_*", "fs/kernfs/file.c, 6.18";
    MUTEX "module_mutex": "load_module" | "init_module*" | "*delete_module", "kernel/module/main.c, 6.18";

    RWSEM "mmap_lock": "lock_mm_and_find_vma" | "do_user_addr_fault" | "exc_page_fault" | "asm_exc_page_fault" | "vm_mmap_pgoff" | "ksys_mmap_pgoff" | "__vm_munmap" | "*sys_munmap" | "*sys_brk" | "do_madvise*" | "madvise_*" | "do_mprotect_pkey*" | "*mprotect_*" | "*sys_mremap" | "do_mremap" | "dup_mm*" | "exit_mm*" | "__mm_populate" | "mm_populate*" | "__get_user_pages*" | "get_user_pages*" | "gup_*" | "*gup_longterm*" | "faultin_*" | "access_remote_vm*" | "__access_remote_vm" | "process_vm_*" | "mmap_read_lock*" | "mmap_write_lock*" | "*mlock*" | "do_msync" | "*sys_msync" | "userfaultfd_*" | "uffd_*" | "task_mem" | "*smap*" | "pagemap_*" | "proc_map*" | "m_start" | "khugepaged*" | "collapse_*" | "ksm_*" | "do_exit" | "begin_new_exec" | "exec_mmap" | "setup_arg_pages" | "get_arg_page" | "mpol_*" | "do_mbind" | "task_numa_work" | "do_pages_*" | "acct_collect" | "futex_fault*" | "fixup_user_fault", "mm, arch/x86/mm/fault.c, 6.18";
    RWSEM "vma lock": "lock_vma_under_rcu" | "*vma_start_write" | "vma_lock_*", "mm/memory.c, 6.12";
    RWSEM "anon_vma rwsem": "anon_vma_*" | "unlink_anon_vmas" | "__anon_vma_prepare" | "rmap_walk_anon*" | "folio_lock_anon_vma_read" | "__put_anon_vma", "mm/rmap.c, 6.18";
    RWSEM "i_mmap_rwsem": "vma_prepare" | "vma_link*" | "unlink_file_vma*" | "rmap_walk_file*" | "unmap_mapping_*" | "i_mmap_*" | "free_pgtables" | "init_multi_vma_prep" | "dup_mmap", "mm/vma.c, mm/rmap.c, 6.18";
    RWSEM "inode invalidate_lock": "filemap_fault" | "*filemap_invalidate_lock*" | "page_cache_ra_*" | "force_page_cache_ra" | "filemap_create_folio" | "filemap_invalidate_*", "mm/filemap.c, 6.18";
    RWSEM "ext4 i_data_sem": "ext4_map_*" | "ext4_da_map*" | "ext4_da_get_*" | "ext4_da_*" | "ext4_ext_*" | "ext4_truncate" | "ext4_swap_extents" | "ext4_get_block*" | "ext4_punch_hole" | "ext4_insert_range" | "ext4_collapse_range", "fs/ext4/inode.c, 6.18";
    RWSEM "ext4 xattr_sem": "ext4_xattr_*" | "ext4_write_lock_xattr" | "ext4_try_to_expand*" | "ext4_*inline*", "fs/ext4/xattr.c, 6.18";
    RWSEM "ext4 alloc_sem": "ext4_mb_*", "fs/ext4/mballoc.c, 6.18";
    RWSEM "inode i_rwsem": "ext4_file_*" | "ext4_buffered_write_iter" | "ext4_dio_*" | "ext4_sync_file" | "ext4_fallocate" | "ext4_llseek" | "ext4_readdir" | "*_file_write_iter" | "*_file_read_iter" | "*_buffered_write*" | "iterate_dir" | "wrap_directory_iterator" | "path_openat" | "open_last_lookups" | "lookup_open*" | "lookup_slow" | "__lookup_slow" | "walk_component" | "lookup_one*" | "lookup_*" | "filename_create" | "start_dirop" | "__start_dirop" | "start_creating*" | "start_removing*" | "simple_start_creating" | "do_unlinkat" | "do_rmdir" | "do_renameat2" | "lock_rename*" | "lock_two_*" | "vfs_unlink" | "vfs_rmdir" | "vfs_rename" | "vfs_link" | "vfs_setxattr" | "vfs_removexattr" | "vfs_utimes" | "chown_common" | "chmod_common" | "do_truncate" | "notify_change" | "generic_file_llseek*" | "generic_file_fsync" | "__generic_file_fsync" | "dcache_dir_*" | "dcache_readdir" | "simple_*" | "inode_lock*" | "btrfs_inode_lock" | "btrfs_*" | "xfs_ilock*" | "f2fs_*" | "ovl_*" | "fuse_*" | "nfs_*" | "blkdev_read_iter" | "blkdev_write_iter" | "shmem_*" | "debugfs_*" | "do_dentry_open" | "ksys_getdents*" | "*_fallocate" | "__do_sys_fchdir", "fs, mm/filemap.c, 6.18";
    RWSEM "s_umount": "super_lock*" | "grab_super*" | "iterate_supers*" | "__iterate_supers" | "ksys_sync" | "*sys_syncfs" | "deactivate_super" | "cleanup_mnt" | "*writeback_inodes_sb*" | "freeze_super" | "thaw_super*" | "super_cache_*" | "quotactl_*" | "reconfigure_super" | "wb_writeback", "fs/super.c, 6.18";
    RWSEM "namespace_sem": "namespace_*" | "lock_mount*" | "do_lock_mount" | "path_mount" | "path_umount" | "do_mount*" | "mnt_*" | "do_move_mount*" | "copy_mnt_ns" | "open_detached_copy" | "attach_*", "fs/namespace.c, 6.18";
    RWSEM "kernfs_rwsem": "kernfs_*", "fs/kernfs/dir.c, 6.18";
    RWSEM "shrinker rwsem": "shrink_slab*" | "*register_shrinker*" | "shrinker_*", "mm/shrinker.c, 6.6";
    RWSEM "net_rwsem": "down_net_rwsem" | "setup_net" | "copy_net_ns" | "cleanup_net" | "ops_init", "net/core/net_namespace.c, 6.18";
    RWSEM "bpf trampoline": "bpf_trampoline_*" | "bpf_event_*", "kernel/bpf/trampoline.c, 6.18";
    RWSEM "key semaphore": "key_*" | "keyctl_*" | "keyring_*", "security/keys, 6.18";
    RWSEM "unix bind": "unix_bind*", "net/unix/af_unix.c, 6.18";
    RWSEM "exec_update_lock": "exec_*" | "ptrace_*" | "proc_pid_*" | "lock_trace" | "mm_access", "fs/exec.c, 6.18";

    PERCPU "cgroup_threadgroup_rwsem": "cgroup_*" | "copy_process" | "exit_signals" | "de_thread" | "begin_new_exec" | "threadgroup_*", "kernel/cgroup/cgroup.c, 6.18";
    PERCPU "cpu_hotplug_lock": "cpus_*" | "_cpu_*" | "cpuhp_*" | "static_key_*" | "*stop_machine*" | "*jump_label*", "kernel/cpu.c, 6.18";
    PERCPU "ext4 s_writepages_rwsem": "ext4_writepages*" | "ext4_do_writepages" | "ext4_dax_writepages" | "ext4_change_*" | "ext4_ext_migrate", "fs/ext4/inode.c, 6.18";
    PERCPU "dup_mmap_sem": "dup_mm*" | "uprobe_*" | "register_for_each_vma", "kernel/events/uprobes.c, 6.18";
    PERCPU "file locks": "locks_*" | "*_lock_inode" | "generic_setlease*" | "fcntl_setlk*" | "flock_*" | "posix_lock_*", "fs/locks.c, 6.18";
    PERCPU "super block freeze": "*sb_start_*" | "sb_*" | "mnt_want_write*" | "mnt_get_write_access" | "freeze_super" | "vfs_*" | "do_*" | "ext4_*" | "xfs_*" | "btrfs_*" | "file_*" | "path_openat" | "open_last_lookups" | "filename_create" | "wp_page*" | "iomap_*", "fs/super.c, 6.18";

    SEMAPHORE "xfs buffer": "xfs_buf*", "fs/xfs/xfs_buf.c, 6.18";
    SEMAPHORE "console_sem": "console_*" | "vprintk*" | "do_con_write*" | "con_*", "kernel/printk/printk.c, 6.18";

    RWLOCK "tasklist_lock": "do_wait" | "__do_wait" | "do_wait_pid" | "kernel_wait*" | "wait_task_*" | "wait_consider_task*" | "release_task" | "copy_process" | "exit_notify*" | "do_exit" | "ksys_setsid" | "*setpgid" | "*getpriority" | "*setpriority" | "kill_*" | "ptrace_*" | "*sys_setsid" | "*sys_kill" | "session_*" | "disassociate_ctty*" | "*ioprio*" | "forget_original_parent" | "reparent_*" | "*sys_ptrace" | "send_sig*" | "tty_open_proc_set_tty" | "*tiocspgrp*" | "job_control*" | "exit_ptrace" | "sys_wait*" | "*sys_wait4" | "*waitid" | "do_prlimit" | "*sys_prlimit64", "kernel/exit.c, kernel/sys.c, 6.18";
    RWLOCK "jbd2 j_state_lock": "start_this_handle" | "jbd2_*" | "__jbd2_*" | "add_transaction_credits" | "wait_transaction_*", "fs/jbd2, 6.18";
    RWLOCK "ext4 extent status": "ext4_es_*" | "__es_*" | "es_*", "fs/ext4/extents_status.c, 6.18";
    RWLOCK "epoll lock": "ep_*" | "do_epoll_*", "fs/eventpoll.c, 6.12";
    RWLOCK "binfmt_lock": "search_binary_handler" | "bprm_execve*", "fs/exec.c, 6.18";
    RWLOCK "file f_owner": "f_*" | "*fasync*" | "kill_fasync", "fs/fcntl.c, 6.18";
    RWLOCK "neighbour table": "neigh_*" | "__neigh_*", "net/core/neighbour.c, 6.18";

    SPIN "futex hash bucket": "futex_*" | "__futex_*" | "do_futex", "kernel/futex, 6.18";
    SPIN "run queue": "raw_spin_rq_lock*" | "__schedule" | "ttwu_*" | "sched_ttwu_*" | "*sched_balance*" | "load_balance" | "newidle_balance" | "__task_rq_lock" | "sched_tick" | "scheduler_tick" | "_nohz_idle_balance" | "update_blocked*" | "__balance_push*" | "double_rq_lock" | "migration_cpu_stop" | "update_rq_clock*" | "resched_cpu" | "tg_*" | "distribute_cfs_*" | "sched_cfs_*", "kernel/sched/core.c, 6.18";
    SPIN "wait queue": "__wake_up*" | "prepare_to_wait*" | "finish_wait" | "add_wait_queue*" | "remove_wait_queue" | "folio_wake*" | "folio_wait_*" | "wake_up_*" | "complete*" | "wait_for_completion*" | "swake_up*" | "autoremove_wake_function", "kernel/sched/wait.c, 6.18";
    SPIN "zone lock": "rmqueue*" | "*free_pcppages_bulk" | "free_one_page*" | "__rmqueue*" | "free_unref_*" | "free_frozen_*" | "__free_pages*" | "get_page_from_freelist" | "unreserve_highatomic*" | "isolate_freepages*" | "set_pfnblock_*" | "steal_suitable*" | "show_free_areas" | "zoneinfo_*" | "frag_show*", "mm/page_alloc.c, 6.18";
    SPIN "lru_lock": "folio_lruvec_*" | "lruvec_*" | "folio_batch_move_lru" | "*shrink_inactive_list" | "shrink_active_list" | "isolate_lru_folios" | "lru_*" | "folios_put_refs" | "__page_cache_release*" | "folio_activate*" | "evict_folios" | "isolate_migratepages*" | "move_folios_to_lru" | "release_pages" | "lock_page_lruvec*", "mm/swap.c, mm/vmscan.c, 6.18";
    SPIN "page table lock": "handle_mm_fault*" | "__handle_mm_fault" | "handle_pte_fault*" | "*pte_offset_map*" | "do_anonymous_page" | "do_wp_page" | "wp_page_*" | "do_fault*" | "finish_fault" | "filemap_map_pages" | "set_pte_range" | "zap_*" | "copy_pte_range" | "copy_page_range" | "unmap_page_range" | "*huge_pmd*" | "*_huge_*" | "__pmd_*" | "__pte_*" | "__pud_*" | "page_vma_mapped_walk" | "change_*" | "follow_page*" | "madvise_*pte_range" | "insert_page*" | "do_swap_page" | "move_page_tables" | "move_pt*" | "free_pgd_range" | "mincore_pte_range" | "smaps_pte*", "mm/memory.c, 6.18";
    SPIN "page cache i_pages": "filemap_add_folio" | "__filemap_*" | "*remove_mapping" | "delete_from_page_cache*" | "filemap_remove_folio" | "*folio_mark_dirty" | "filemap_dirty_folio" | "*folio_start_writeback" | "*folio_end_writeback*" | "page_cache_delete*" | "truncate_*" | "invalidate_*" | "folio_clear_dirty*" | "tag_pages_*" | "folio_unmap_invalidate" | "add_to_swap_cache" | "__delete_from_swap_cache" | "clear_shadow_entries", "mm/filemap.c, 6.18";
    SPIN "slab node list": "___slab_alloc" | "__slab_alloc*" | "get_partial*" | "get_from_partial*" | "get_any_partial" | "__slab_free" | "*unfreeze_partials" | "__put_partials" | "*refill_objects*" | "__pcs_*" | "barn_*" | "*deactivate_slab" | "kmem_cache_*" | "do_slab_free" | "alloc_from_*", "mm/slub.c, 6.18";
    SPIN "dentry d_lock": "lockref_*" | "d_*" | "dput*" | "__d_*" | "dget*" | "fast_dput" | "path_put" | "shrink_dentry*" | "dentry_*" | "__dentry_kill" | "take_dentry*" | "prepend_*" | "proc_flush*" | "retain_dentry" | "legitimize_*" | "try_to_unlazy*", "fs/dcache.c, 6.18";
    SPIN "inode i_lock": "iput*" | "igrab" | "ilookup*" | "iget*" | "*mark_inode_dirty" | "inode_*" | "evict*" | "__inode_*" | "writeback_*inode*" | "find_inode*" | "generic_update_time" | "file_update_time*" | "i_size_*" | "__destroy_inode" | "insert_inode_*" | "locked_inode_*" | "*requeue_inode", "fs/inode.c, 6.18";
    SPIN "writeback list": "wb_*" | "__writeback_*" | "queue_io" | "move_expired_inodes" | "__wb_*" | "cgwb_*", "fs/fs-writeback.c, 6.18";
    SPIN "super block inode list": "new_inode*" | "inode_sb_list_*" | "evict_inodes" | "wait_sb_inodes" | "drop_pagecache_sb", "fs/inode.c, 6.18";
    SPIN "list_lru lock": "list_lru_*" | "__list_lru_*" | "lock_list_lru*" | "workingset_*" | "shadow_lru_*", "mm/list_lru.c, 6.18";
    SPIN "jbd2 list lock": "jbd2_*" | "__jbd2_*" | "do_get_write_access" | "start_this_handle" | "stop_this_handle" | "journal_*", "fs/jbd2, 6.18";
    SPIN "ext4 group lock": "ext4_mb_*" | "ext4_free_*" | "ext4_claim_*" | "__ext4_new_inode" | "ext4_*", "fs/ext4, 6.18";
    SPIN "xfs lock": "xfs_*" | "xlog_*", "fs/xfs, 6.18";
    SPIN "btrfs lock": "btrfs_*" | "__btrfs_*", "fs/btrfs, 6.18";
    SPIN "buffer head lock": "__find_get_block*" | "*try_to_free_buffers" | "mark_buffer_*" | "end_buffer_*" | "create_empty_buffers" | "block_dirty_folio" | "folio_create_*" | "end_bio_bh*", "fs/buffer.c, 6.18";
    SPIN "swap lock": "swap_*" | "get_swap_*" | "folio_alloc_swap*" | "*swap_free*" | "cluster_*" | "scan_swap_*" | "free_swap_*" | "__swap_*" | "put_swap_*" | "swapcache_*" | "alloc_swap_*", "mm/swapfile.c, 6.18";
    SPIN "memory cgroup stats": "*rstat*" | "mem_cgroup_flush*" | "memcg_*" | "*obj_cgroup*" | "refill_*stock" | "drain_stock*" | "refill_obj*" | "mem_cgroup_*" | "page_counter_*", "kernel/cgroup/rstat.c, mm/memcontrol.c, 6.18";
    SPIN "css_set_lock": "cgroup_*" | "css_*" | "put_css_set*" | "find_css_set*", "kernel/cgroup/cgroup.c, 6.18";
    SPIN "epoll lock": "ep_*" | "do_epoll_*" | "__ep_*", "fs/eventpoll.c, 6.18";
    SPIN "eventfd lock": "eventfd_*", "fs/eventfd.c, 6.18";
    SPIN "socket lock": "lock_sock*" | "release_sock" | "tcp_v4_rcv" | "tcp_v6_rcv" | "sk_*" | "__lock_sock*" | "udp_*" | "__sk_*" | "tcp_*" | "inet_csk_*" | "mptcp_*", "net/core/sock.c, 6.18";
    SPIN "socket queue": "skb_queue_*" | "skb_dequeue*" | "__skb_*" | "unix_*" | "sock_*" | "netlink_*" | "packet_*" | "tpacket_*" | "__netif_receive*" | "enqueue_to_backlog" | "process_backlog" | "unix_stream_*", "net/core/skbuff.c, 6.18";
    SPIN "connection hash": "inet_*" | "__inet_*" | "tcp_hash*" | "nf_*" | "__nf_*", "net/ipv4/inet_hashtables.c, 6.18";
    SPIN "network queue": "__dev_queue_xmit" | "__dev_xmit_skb" | "sch_direct_xmit" | "net_tx_action" | "__qdisc_run" | "qdisc_*" | "dev_*" | "*start_xmit*" | "virtnet_*" | "netif_*" | "__netif_*" | "*fq_codel*" | "htb_*" | "virtqueue_*" | "vring_*", "net/core/dev.c, net/sched, 6.18";
    SPIN "siglock": "*send_sig*" | "*lock_task_sighand" | "get_signal" | "do_sigaction" | "*sigprocmask*" | "*set_current_blocked" | "do_notify_parent*" | "exit_signals" | "*sys_rt_sig*" | "group_send_*" | "do_sigtimedwait" | "dequeue_signal*" | "posix_timer_*" | "posix_cpu_*" | "thread_group_*" | "do_getitimer" | "do_setitimer" | "recalc_sigpending*" | "calculate_sigpending" | "flush_*signal*" | "signalfd_*" | "signal_*" | "do_signal_*" | "sigsuspend" | "send_signal*" | "__exit_signal" | "release_task" | "sigqueue_*" | "retarget_*" | "zap_*threads" | "zap_process*", "kernel/signal.c, 6.18";
    SPIN "task pi_lock": "try_to_wake_up" | "wake_up_new_task" | "task_rq_lock" | "task_*" | "set_cpus_allowed*" | "__set_cpus_*" | "sched_setscheduler*" | "__sched_set*" | "rt_mutex_*" | "pick_task_*" | "select_task_*" | "__sched_setaffinity" | "sched_getaffinity" | "exit_robust_list", "kernel/sched/core.c, 6.18";
    SPIN "pidmap_lock": "alloc_pid" | "free_pid*" | "put_pid*" | "attach_pid" | "detach_pid", "kernel/pid.c, 6.18";
    SPIN "file_lock": "alloc_fd*" | "close_fd*" | "fd_install" | "dup_fd" | "do_dup2" | "put_unused_fd" | "file_close_*" | "*close_range*" | "receive_fd*" | "ksys_dup3" | "expand_f*" | "iterate_fd" | "get_unused_fd*", "fs/file.c, 6.18";
    SPIN "timer base": "lock_timer_base" | "*mod_timer*" | "*timer_delete*" | "add_timer*" | "run_timer_*" | "__run_timers*" | "get_next_timer_*" | "timer_*" | "try_to_del_timer*" | "del_timer*" | "timers_*" | "tmigr_*" | "schedule_timeout*", "kernel/time/timer.c, 6.18";
    SPIN "hrtimer base": "hrtimer_*" | "__hrtimer_*" | "hrtimers_*" | "tick_*" | "ktime_*" | "do_nanosleep" | "lock_hrtimer_base*" | "timekeeping_*" | "clockevents_*", "kernel/time/hrtimer.c, 6.18";
    SPIN "RCU node": "rcu_*" | "note_gp_changes" | "__note_gp_*" | "force_qs_*" | "call_rcu*" | "__call_rcu*" | "srcu_*" | "__srcu_*" | "synchronize_rcu*" | "kvfree_*" | "kfree_rcu*" | "sync_rcu_*", "kernel/rcu/tree.c, 6.18";
    SPIN "work queue pool": "__queue_work" | "queue_*work*" | "worker_*" | "process_*work*" | "flush_*" | "__flush_*" | "try_to_grab_pending" | "mod_delayed_work*" | "pwq_*" | "kick_pool" | "wq_*" | "kthread_*", "kernel/workqueue.c, 6.18";
    SPIN "block queue": "dd_*" | "bfq_*" | "blk_*" | "__blk_*" | "kyber_*" | "sbitmap_*" | "ioc_*" | "wbt_*" | "rq_qos_*" | "virtio_queue_rq*" | "virtblk_*" | "nvme_*" | "scsi_*" | "throtl_*" | "tg_*" | "blkcg_*" | "blkg_*" | "bio_*" | "loop_*" | "lo_*", "block, drivers/block, 6.18";
    SPIN "vmap": "alloc_vmap_*" | "free_vmap_*" | "find_vmap_*" | "*purge_vmap*" | "find_unlink_vmap*" | "vm_*" | "__get_vm_*" | "remove_vm_*" | "find_vm_*" | "alloc_vmap_area", "mm/vmalloc.c, 6.18";
    SPIN "per-CPU memory": "pcpu_*" | "percpu_counter_*" | "__percpu_counter_*", "mm/percpu.c, 6.18";
    SPIN "bpf map": "htab_*" | "__htab_*" | "bpf_*" | "__bpf_*" | "array_map_*" | "ringbuf_*" | "queue_stack_map*" | "trie_*" | "prealloc_*" | "pcpu_freelist*" | "__pcpu_freelist*", "kernel/bpf, 6.18";
    SPIN "mount lock": "mnt_*" | "mntput*" | "lock_mount_hash" | "attach_recursive*" | "*mntget", "fs/namespace.c, 6.18";
    SPIN "file flags": "setfl" | "do_fcntl" | "*fasync*" | "ioctl_*" | "do_vfs_ioctl" | "file_f_owner*" | "f_*", "fs/fcntl.c, 6.18";
    SPIN "fs_struct lock": "set_fs_*" | "get_fs_*" | "path_init" | "nd_jump_*" | "copy_fs_struct" | "unshare_fs*" | "set_root" | "chroot_*" | "getcwd*" | "*sys_getcwd" | "exit_fs", "fs/fs_struct.c, 6.18";
    SPIN "kernfs": "kernfs_*", "fs/kernfs, 6.18";
    SPIN "tty lock": "tty_*" | "n_tty_*" | "uart_*" | "serial8250_*" | "pty_*" | "*console*", "drivers/tty, 6.18";
    SPIN "task alloc_lock": "*set_task_comm" | "__set_task_comm" | "*get_task_*" | "get_task_*" | "mmput*" | "exec_mmap" | "exit_*" | "do_prlimit" | "copy_process" | "begin_new_exec" | "proc_*" | "do_task_stat" | "comm_*", "kernel, fs/proc, 6.18";
    SPIN "fuse lock": "fuse_*", "fs/fuse, 6.18";
    SPIN "random pool": "crng_*" | "*_random*" | "mix_pool*" | "extract_*", "drivers/char/random.c, 6.18";
    SPIN "irq descriptor": "handle_*irq*" | "*irq_*" | "__setup_irq" | "*free_irq" | "enable_irq" | "disable_irq*", "kernel/irq, 6.18";
    ANY_SPIN "io_uring": "io_*" | "__io_*", "io_uring, 6.18";
    ANY_SLEEP "io_uring": "io_*" | "__io_*", "io_uring, 6.18";
};

/// Functions of locks themselves, which are no callers (kernel/locking, include/linux, 6.18).
const LOCKING: &[&str] = &[
    "*mutex_lock*",
    "*mutex_slowlock*",
    "rwsem_down_*",
    "down",
    "down_*",
    "__down*",
    "percpu_down_*",
    "__percpu_down_*",
    "percpu_rwsem_*",
    "rt_mutex_*",
    "rwbase_*",
    "*raw_spin_lock*",
    "*raw_read_lock*",
    "*raw_write_lock*",
    "*queued_*lock_slowpath*",
    "*_spin_lock*",
    "trace_contention_*",
    "do_raw_spin_lock*",
    "rtlock_*",
    "rt_spin_lock*",
    "rt_read_lock*",
    "rt_write_lock*",
];

/// How deep a rule may find its function: beyond that, it is not the one that takes the lock.
const NEAR: usize = 4;

/// The callers in a waiter's stack, innermost first: without the functions of the lock.
pub(crate) fn callers(stack: &[String]) -> &[String] {
    let end = stack.iter().take_while(|frame| LOCKING.iter().any(|pattern| is_meant(pattern, frame))).count();
    &stack[end..]
}

/// What a lock can be that a kernel calls so: a real-time one makes of most locks something else (include/linux/rwlock_rt.h,
/// spinlock_rt.h, mutex.h, rwsem.h, 6.18).
fn lookalikes(kind: Kind) -> &'static [Kind] {
    match kind {
        RtRead => &[RwsemRead, RwlockRead],
        RtWrite => &[RwsemWrite, RwlockWrite],
        Rtmutex => &[Rtmutex, Mutex, Spinlock],
        Spinlock => SPIN,
        RwlockRead => &[RwlockRead],
        RwlockWrite => &[RwlockWrite],
        Mutex => MUTEX,
        RwsemRead => &[RwsemRead],
        RwsemWrite => &[RwsemWrite],
        PercpuRwsem => PERCPU,
        Semaphore => SEMAPHORE,
    }
}

/// The name that a lock's callers tell; none where no rule knows them.
pub(crate) fn by_callers<S: AsRef<str>>(kind: Kind, callers: &[S]) -> Option<&'static str> {
    let kinds = lookalikes(kind);
    let rule = |frame: &S| {
        RULES.iter().find(|rule| {
            rule.kinds.iter().any(|of| kinds.contains(of))
                && rule.functions.iter().any(|pattern| is_meant(pattern, frame.as_ref()))
        })
    };
    callers.iter().take(NEAR).find_map(rule).map(|rule| rule.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Callers as kernels show them, innermost function first.
    const SEEN: &[(&str, Kind, &str, &str)] = &[
        ("6.18", Mutex, "pipe mutex", "anon_pipe_write vfs_write ksys_write"),
        ("6.18", RwsemWrite, "inode i_rwsem", "ext4_file_write_iter vfs_write ksys_write"),
        ("6.18", RwsemRead, "mmap_lock", "lock_mm_and_find_vma do_user_addr_fault exc_page_fault"),
        ("6.18", RwsemWrite, "mmap_lock", "vm_mmap_pgoff do_syscall_64"),
        ("6.18", RwsemRead, "ext4 i_data_sem", "ext4_map_blocks ext4_mpage_readpages"),
        ("6.18", Spinlock, "futex hash bucket", "futex_q_lock futex_wait_setup __futex_wait"),
        ("6.18", RwlockWrite, "tasklist_lock", "__do_sys_setpgid do_syscall_64"),
        ("6.18", PercpuRwsem, "super block freeze", "vfs_write ksys_pwrite64"),
        ("6.1", Mutex, "pipe mutex", "pipe_read vfs_read"),
        ("6.18", RtRead, "tasklist_lock", "do_wait kernel_wait4"),
        ("6.18", Rtmutex, "pipe mutex", "anon_pipe_write vfs_write"),
    ];

    #[test]
    fn callers_that_kernels_show_name_their_lock() {
        for (kernel, kind, name, stack) in SEEN {
            let frames: Vec<&str> = stack.split(' ').collect();
            assert_eq!(by_callers(*kind, &frames), Some(*name), "{kernel}: {stack}");
        }
    }

    #[test]
    fn the_functions_of_the_lock_are_no_callers() {
        let stack: Vec<String> =
            ["rwsem_down_write_slowpath", "down_write", "ext4_file_write_iter", "down_the_road"]
                .map(str::to_owned)
                .into();
        assert_eq!(callers(&stack), &stack[2..]);
    }

    #[test]
    fn a_caller_too_far_out_names_nothing() {
        assert_eq!(by_callers(Mutex, &["a", "b", "c", "d", "pipe_read"]), None);
        assert_eq!(by_callers(Spinlock, &["unknown_function"]), None);
    }

    #[test]
    fn every_rule_can_decide_and_has_a_source() {
        for rule in RULES {
            let reached = rule.functions.iter().any(|pattern| {
                let example = pattern.replace('*', "x");
                by_callers(rule.kinds[0], &[example]) == Some(rule.name)
            });
            assert!(reached, "{} is shadowed", rule.name);
            assert!(
                rule.source.contains('/') || rule.source.contains('.') || rule.source.contains(','),
                "{}",
                rule.name
            );
        }
    }
}
