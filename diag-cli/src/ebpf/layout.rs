//! Where kernels keep what the eBPF objects read: one table for all tools, one line a field.
//!
//! Each entry is a global of `diag-ebpf/src/fields.rs`, or of `diag-ebpf/src/arch` where it is in [`arch::FIELDS`]. A candidate's note says which kernels have it.

use crate::{
    arch,
    kernel::fields::{By, Field, Source, at, optional, required},
};

const ALL: &str = "all kernels from 5.10";

macro_rules! offset {
    ($of:literal, $path:literal) => {
        Source::Offset(&[at($of, $path, ALL)])
    };
    ($(($of:literal, $path:literal, $since:literal)),+ $(,)?) => {
        Source::Offset(&[$(at($of, $path, $since)),+])
    };
}

/// The entries of the table of which a global is wanted: those that an object's programs refer to, and what its user side
/// reads. What a tool does not read cannot stop it.
pub(super) fn fields(wanted: impl Fn(&str) -> bool) -> Vec<Field> {
    all().filter(|field| field.globals().any(&wanted)).copied().collect()
}

/// All entries, those of this architecture with them.
pub(super) fn all() -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().chain(arch::FIELDS)
}

/// The table of what all architectures have.
const FIELDS: &[Field] = &[
    required("TASK_PID", offset!("task_struct", "pid")),
    required("TASK_TGID", offset!("task_struct", "tgid")),
    required("TASK_COMM", offset!("task_struct", "comm")),
    required(
        "TASK_STATE",
        offset!(("task_struct", "__state", "5.14, 2f064a59a11f"), ("task_struct", "state", "before 5.14")),
    ),
    required("TASK_FILES", offset!("task_struct", "files")),
    required("TASK_LEADER", offset!("task_struct", "group_leader")),
    optional("TASK_START", offset!(("task_struct", "start_boottime", "5.5, cf25e24db61c"))),
    optional(
        "TASK_FROZEN",
        Source::Bits {
            mask: "TASK_FROZEN_MASK",
            candidates: &[at("task_struct", "frozen", "5.2, 76f969e8948d, with CONFIG_CGROUPS")],
        },
    ),
    required("TASK_CGROUPS", offset!("task_struct", "cgroups")),
    required("TASK_SIGNAL", offset!("task_struct", "signal")),
    required("SIGNAL_LIVE", offset!("signal_struct", "live")),
    required("TASK_MM", offset!("task_struct", "mm")),
    required("TASK_TI_FLAGS", offset!("task_struct", "thread_info.flags")),
    required("TASK_WORKS", offset!("task_struct", "task_works")),
    optional("TASK_OVER_HIGH", offset!(("task_struct", "memcg_nr_pages_over_high", "with CONFIG_MEMCG"))),
    optional(
        "TASK_THROTTLE_DISK",
        offset!(
            ("task_struct", "throttle_disk", "6.3, f05837ed73d0, with CONFIG_BLK_CGROUP"),
            ("task_struct", "throttle_queue", "before 6.3, with CONFIG_BLK_CGROUP")
        ),
    ),
    required(
        "TASK_IN_IOWAIT",
        Source::Bits { mask: "TASK_IN_IOWAIT_MASK", candidates: &[at("task_struct", "in_iowait", ALL)] },
    ),
    optional(
        "TASK_IN_MEMSTALL",
        Source::Bits {
            mask: "TASK_IN_MEMSTALL_MASK",
            candidates: &[at("task_struct", "in_memstall", "with CONFIG_PSI")],
        },
    ),
    required("TASK_FLAGS", offset!("task_struct", "flags")),
    required("TASK_SIGHAND", offset!("task_struct", "sighand")),
    optional(
        "TASK_BLOCKER",
        offset!(("task_struct", "blocker", "6.16, e711faaafbe5, with CONFIG_DETECT_HUNG_TASK_BLOCKER")),
    ),
    optional("TYPE_TASK", Source::TypeFor { function: "bpf_rdonly_cast", of: "task_struct" }),
    required(
        "MUTEX_OWNER",
        offset!(
            ("mutex", "owner", "without CONFIG_PREEMPT_RT"),
            ("mutex", "rtmutex.owner", "with CONFIG_PREEMPT_RT")
        ),
    ),
    required(
        "RWSEM_OWNER",
        offset!(
            ("rw_semaphore", "owner", "without CONFIG_PREEMPT_RT"),
            ("rw_semaphore", "rwbase.rtmutex.owner", "with CONFIG_PREEMPT_RT")
        ),
    ),
    // 6.17, 77da18de55ac, with CONFIG_DETECT_HUNG_TASK_BLOCKER; or with CONFIG_DEBUG_RWSEMS: without either the kernel has no use
    // for the function, nor for a word that is true (kernel/locking/rwsem.c).
    optional(
        "RWSEM_READERS_LEAVE",
        Source::TypeFor { function: "is_rwsem_reader_owned", of: "rw_semaphore" },
    ),
    optional("RWSEM_COUNT", offset!(("rw_semaphore", "count", "without CONFIG_PREEMPT_RT"))),
    optional(
        "RWSEM_FIRST",
        offset!(
            ("rw_semaphore", "first_waiter", "7.1, 1ea4b473504b"),
            ("rw_semaphore", "wait_list.next", "before 7.1, without CONFIG_PREEMPT_RT")
        ),
    ),
    optional("RWSEM_WAITER_LIST", offset!(("rwsem_waiter", "list", "without CONFIG_PREEMPT_RT"))),
    optional("RWSEM_WAITER_TASK", offset!(("rwsem_waiter", "task", "without CONFIG_PREEMPT_RT"))),
    required(
        "MUTEX_WAIT_LOCK",
        offset!(
            ("mutex", "wait_lock", "without CONFIG_PREEMPT_RT"),
            ("mutex", "rtmutex.wait_lock", "with CONFIG_PREEMPT_RT")
        ),
    ),
    required(
        "RWSEM_WAIT_LOCK",
        offset!(
            ("rw_semaphore", "wait_lock", "without CONFIG_PREEMPT_RT"),
            ("rw_semaphore", "rwbase.rtmutex.wait_lock", "with CONFIG_PREEMPT_RT")
        ),
    ),
    optional("RWLOCK_WAIT_LOCK", offset!(("qrwlock", "wait_lock", "4.13, with CONFIG_QUEUED_RWLOCKS"))),
    optional(
        "RTMUTEX_OWNER",
        offset!(("rt_mutex_base", "owner", "5.15, 830e6acc8a1c"), ("rt_mutex", "owner", "before 5.15")),
    ),
    required("MM_MMAP_LOCK", offset!(("mm_struct", "mmap_lock", "5.8, da1c55f1b272"))),
    required("SIGHAND_LOCK", offset!("sighand_struct", "siglock")),
    required("FILES_LOCK", offset!("files_struct", "file_lock")),
    required("RQ_LOCK", offset!(("rq", "__lock", "5.14, 5cb9eaa3d274"), ("rq", "lock", "before 5.14"))),
    required("TASK_CFS_RQ", offset!("task_struct", "se.cfs_rq")),
    required("CFS_RQ_RQ", offset!("cfs_rq", "rq")),
    optional("CFS_RQ_THROTTLE_COUNT", offset!(("cfs_rq", "throttle_count", "with CONFIG_CFS_BANDWIDTH"))),
    optional(
        "RQ_STEAL",
        offset!(
            ("rq", "prev_steal_time_rq", "with CONFIG_PARAVIRT_TIME_ACCOUNTING"),
            ("rq", "prev_steal_time", "with CONFIG_PARAVIRT")
        ),
    ),
    optional("RQ_IRQ", offset!(("rq", "prev_irq_time", "with CONFIG_IRQ_TIME_ACCOUNTING"))),
    required("FILES_FDT", offset!("files_struct", "fdt")),
    required("FDT_FD", offset!("fdtable", "fd")),
    required("FDT_MAX_FDS", offset!("fdtable", "max_fds")),
    optional("TYPE_FILE_SLOT", Source::TypeFor { function: "bpf_rdonly_cast", of: "kiocb" }),
    required("FILE_SLOT_FILE", offset!("kiocb", "ki_filp")),
    required("FILE_INODE", offset!("file", "f_inode")),
    required("FILE_DENTRY", offset!("file", "f_path.dentry")),
    required("FILE_POS", offset!("file", "f_pos")),
    required("INODE_MODE", offset!("inode", "i_mode")),
    required("INODE_SB", offset!("inode", "i_sb")),
    required("INODE_RDEV", offset!("inode", "i_rdev")),
    required("INODE_RWSEM", offset!("inode", "i_rwsem")),
    required("SB_DEV", offset!("super_block", "s_dev")),
    required("SB_MAGIC", offset!("super_block", "s_magic")),
    required("SB_WRITERS", offset!("super_block", "s_writers")),
    required("SB_WRITERS_SIZE", Source::Size(&[at("super_block", "s_writers", ALL)])),
    required("DENTRY_PARENT", offset!("dentry", "d_parent")),
    required("DENTRY_NAME", offset!("dentry", "d_name.name")),
    optional("DENTRY_HASHED", offset!("dentry", "d_hash.pprev")),
    required("DENTRY_INODE", offset!("dentry", "d_inode")),
    required("TASK_STACK", offset!("task_struct", "stack")),
    required("REQUEST_START", offset!("request", "start_time_ns")),
    required("REQUEST_IO_START", offset!("request", "io_start_time_ns")),
    optional("REQUEST_PART", offset!("request", "part")),
    optional(
        "BDEV_DEV",
        offset!(
            ("hd_struct", "__dev.devt", "before 5.12"),
            ("block_device", "bd_dev", "5.12, 1bdd5ae025e5: the part of a request is a block_device")
        ),
    ),
    required("REQUEST_QUEUE", offset!("request", "q")),
    required("REQUEST_BIO", offset!("request", "bio")),
    required("BIO_FLAGS", offset!("bio", "bi_flags")),
    optional(
        "BIO_LIMITED",
        Source::Constant(&[
            at("", "BIO_BPS_THROTTLED", "6.1, 320fb0f91e55"),
            at("", "BIO_THROTTLED", "before 6.1"),
        ]),
    ),
    required("TASK_BIO_LIST", offset!("task_struct", "bio_list")),
    optional("BIO_BLKG", offset!("bio", "bi_blkg")),
    optional("BLKG_BLKCG", offset!("blkcg_gq", "blkcg")),
    optional("BLKCG_CSS", offset!("blkcg", "css")),
    required("CSS_SET_DFL", offset!("css_set", "dfl_cgrp")),
    required("CSS_SET_SUBSYS", offset!("css_set", "subsys")),
    required("CSS_CGROUP", offset!("cgroup_subsys_state", "cgroup")),
    required("CSS_PARENT", offset!("cgroup_subsys_state", "parent")),
    required("CGROUP_SELF", offset!("cgroup", "self")),
    required("CGROUP_LEVEL", offset!("cgroup", "level")),
    required("CGROUP_KN", offset!("cgroup", "kn")),
    required("KN_ID", offset!("kernfs_node", "id")),
    required("CGROUP_ROOT", offset!("cgroup", "root")),
    required("ROOT_HIERARCHY", offset!("cgroup_root", "hierarchy_id")),
    optional(
        "ARG_PREV_STATE",
        Source::Argument { event: "sched_switch", by: By::Name("prev_state", &[(4, 3)]) },
    ),
    optional(
        "ARG_PAUSE",
        Source::Argument { event: "balance_dirty_pages", by: By::Name("pause", &[(12, 10), (8, 6)]) },
    ),
    required(
        "TASK_CPU",
        offset!(
            ("task_struct", "thread_info.cpu", "5.16, bcf9033e5449"),
            ("task_struct", "cpu", "before 5.16")
        ),
    ),
    optional("TASK_ON_CPU", offset!(("task_struct", "on_cpu", "with CONFIG_SMP"))),
    optional("TASK_THROTTLED", offset!(("task_struct", "throttled", "6.18, with CONFIG_CFS_BANDWIDTH"))),
    optional(
        "CFS_RQ_THROTTLED_TIME",
        offset!(("cfs_rq", "throttled_clock_self_time", "6.6, 677ea015f231, with CONFIG_CFS_BANDWIDTH")),
    ),
    optional(
        "CFS_RQ_THROTTLED_SINCE",
        offset!(("cfs_rq", "throttled_clock_self", "6.6, 677ea015f231, with CONFIG_CFS_BANDWIDTH")),
    ),
    required("RQ_CLOCK", offset!("rq", "clock")),
    optional("ARG_REQUEST", Source::Argument { event: "block_rq_issue", by: By::Type("request") }),
    required("TASK_EXIT_STATE", offset!("task_struct", "exit_state")),
    required("TASK_REAL_PARENT", offset!("task_struct", "real_parent")),
    required("TASK_VFORK_DONE", offset!("task_struct", "vfork_done")),
    required("TASK_ON_RQ", offset!("task_struct", "on_rq")),
    required("TASK_NVCSW", offset!("task_struct", "nvcsw")),
    required("TASK_NIVCSW", offset!("task_struct", "nivcsw")),
    optional(
        "TASK_LAST_ARRIVAL",
        offset!((
            "task_struct",
            "sched_info.last_arrival",
            "with CONFIG_SCHEDSTATS or CONFIG_TASK_DELAY_ACCT"
        )),
    ),
    optional(
        "TASK_LAST_QUEUED",
        offset!((
            "task_struct",
            "sched_info.last_queued",
            "with CONFIG_SCHEDSTATS or CONFIG_TASK_DELAY_ACCT"
        )),
    ),
    required("TASK_EXEC_START", offset!("task_struct", "se.exec_start")),
    required("TASK_SUM_EXEC", offset!("task_struct", "se.sum_exec_runtime")),
    required("TASK_PREV_SUM_EXEC", offset!("task_struct", "se.prev_sum_exec_runtime")),
    required("RQ_CLOCK_TASK", offset!("rq", "clock_task")),
    optional(
        "SEMAPHORE_HOLDER",
        offset!(("semaphore", "last_holder", "6.16, with CONFIG_DETECT_HUNG_TASK_BLOCKER")),
    ),
    optional("HRTIMER_FUNCTION", offset!("hrtimer", "function")),
    optional("SLEEPER_TASK", offset!("hrtimer_sleeper", "task")),
    optional("CSD_FLAGS", offset!(("__call_single_data", "node.u_flags", "5.10, 545b8c8df41f"))),
    optional("CSD_FUNCTION", offset!("__call_single_data", "func")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_wanted_for_each_of_its_globals() {
        let named = |wanted: &[&str]| {
            let fields = fields(|global| wanted.contains(&global));
            fields.iter().map(|field| field.global).collect::<Vec<_>>()
        };
        assert_eq!(named(&["TASK_PID", "TASK_IN_IOWAIT_MASK"]), ["TASK_PID", "TASK_IN_IOWAIT"]);
        assert!(named(&["SCOPE"]).is_empty());
    }
}
