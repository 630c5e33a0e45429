use super::*;

/// Stacks as kernels show them, innermost function first.
const SEEN: &[(&str, Cause, &str)] = &[
    (
        "6.18",
        InodeLock,
        "schedule rwsem_down_write_slowpath down_write ext4_buffered_write_iter vfs_write ksys_write",
    ),
    ("6.1", InodeLock, "schedule rwsem_down_write_slowpath ext4_buffered_write_iter vfs_write ksys_write"),
    (
        "6.18",
        DirtyThrottle,
        "schedule_timeout io_schedule_timeout balance_dirty_pages balance_dirty_pages_ratelimited_flags generic_perform_write ext4_buffered_write_iter",
    ),
    (
        "6.18",
        BlockWait,
        "io_schedule folio_wait_bit_common filemap_get_pages filemap_read vfs_read __x64_sys_pread64",
    ),
    ("6.18", Journal, "schedule jbd2_log_wait_commit ext4_sync_file __x64_sys_fsync"),
    ("6.18", BlockWait, "io_schedule submit_bio_wait blkdev_issue_flush ext4_sync_file __x64_sys_fsync"),
    (
        "6.18",
        Journal,
        "io_schedule bit_wait_io do_get_write_access jbd2_journal_get_write_access ext4_write_end",
    ),
    (
        "6.18",
        Journal,
        "schedule wait_transaction_locked add_transaction_credits start_this_handle ext4_da_write_begin",
    ),
    ("6.18", Freeze, "schedule percpu_rwsem_wait __percpu_down_read vfs_write __x64_sys_pwrite64"),
    ("6.18", Freeze, "percpu_rwsem_wait lo_rw_aio loop_process_work process_one_work worker_thread kthread"),
    ("6.18", Freeze, "percpu_rwsem_wait mnt_want_write filename_create __x64_sys_mkdir do_syscall_64"),
    (
        "6.18",
        Freeze,
        "percpu_rwsem_wait ext4_page_mkwrite do_page_mkwrite do_shared_fault do_fault __handle_mm_fault handle_mm_fault exc_page_fault",
    ),
    // The lock of chattr +e; the file system is not frozen.
    (
        "6.18",
        FsLock,
        "percpu_rwsem_wait ext4_writepages do_writepages filemap_fdatawrite_wbc file_write_and_wait_range ext4_sync_file vfs_fsync_range",
    ),
    (
        "6.18",
        FsLock,
        "percpu_rwsem_wait ext4_writepages do_writepages generic_write_sync ext4_buffered_write_iter vfs_write ksys_write",
    ),
    ("6.18", KernelLock, "percpu_rwsem_wait cgroup_can_fork copy_process kernel_clone __do_sys_clone3"),
    ("6.18", KernelLock, "percpu_rwsem_wait cpus_read_lock kmem_cache_create_usercopy"),
    ("6.18", FsLock, "schedule rwsem_down_read_slowpath down_read ext4_map_blocks ext4_mpage_readpages"),
    ("6.18", BlockThrottle, "io_schedule rq_qos_wait wbt_wait __rq_qos_throttle blk_mq_submit_bio"),
    ("6.18", Queue, "io_schedule blk_mq_get_tag __blk_mq_alloc_requests blk_mq_submit_bio"),
    ("6.18", Server, "schedule request_wait_answer __fuse_simple_request fuse_file_read_iter vfs_read"),
    ("6.18", MmapLock, "schedule rwsem_down_read_slowpath down_read lock_mm_and_find_vma do_user_addr_fault"),
];

#[test]
fn a_stall_is_a_refault_unless_the_stack_says_more() {
    assert_eq!(by_stack(Some(BlockWait), true), Refault);
    assert_eq!(by_stack(Some(SwapIn), true), SwapIn);
    assert_eq!(by_stack(Some(BlockWait), false), BlockWait);
    assert_eq!(by_stack(None, false), OtherWait);
}

#[test]
fn stacks_that_kernels_show_have_their_causes() {
    for (kernel, cause, stack) in SEEN {
        let frames: Vec<&str> = stack.split(' ').collect();
        assert_eq!(classify(&frames, false), Some(*cause), "{kernel}: {stack}");
    }
}

#[test]
fn where_the_kernel_says_that_it_is_a_lock_the_caller_tells_which() {
    assert_eq!(classify(&["ext4_map_blocks", "ext4_mpage_readpages"], true), Some(FsLock));
    assert_eq!(classify(&["ext4_map_blocks", "ext4_mpage_readpages"], false), Some(FsWait));
    assert_eq!(classify(&["lock_mm_and_find_vma", "do_user_addr_fault"], true), Some(MmapLock));
}

#[test]
fn a_lock_further_in_is_not_the_inode_lock() {
    let stack =
        ["ext4_map_blocks", "ext4_da_write_begin", "generic_perform_write", "ext4_buffered_write_iter"];
    assert_eq!(classify(&stack, true), Some(FsLock));
}

#[test]
fn an_unknown_stack_has_none() {
    assert_eq!(classify(&["do_something", "ksys_something"], false), None);
}

#[test]
fn every_rule_can_be_the_first_that_fits() {
    for (at, rule) in RULES.iter().enumerate() {
        let example: Vec<String> = rule
            .functions
            .iter()
            .map(|f| f.replace('*', "").replace('^', "down").replace('%', "percpu_rwsem_wait"))
            .collect();
        let first = RULES.iter().position(|other| fits(other.functions, &example, false));
        assert!(
            first == Some(at) || RULES[first.unwrap_or(0)].cause == rule.cause,
            "{:?} is shadowed",
            rule.functions
        );
        assert!(
            rule.source.contains('.') || rule.source.contains("fs/"),
            "{:?} has no source",
            rule.functions
        );
    }
}
