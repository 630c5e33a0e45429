//! Where the running kernel keeps what the programs read.
//!
//! The loader resolves each global from the kernel's BTF before the object is loaded. They end up in frozen
//! read-only data, so the verifier knows them as constants: a direct load at such an offset passes, and a branch
//! on an absent field is pruned.

use aya_ebpf::Global;

/// The value of a field that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Whether this kernel has the field.
#[inline(always)]
pub fn present(field: &Global<u32>) -> bool {
    field.load() != ABSENT
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])* #[unsafe(no_mangle)] pub static $name: aya_ebpf::Global<u32> = aya_ebpf::Global::new($crate::fields::ABSENT);)*
    };
}
pub(crate) use fields;

fields! {
    TASK_PID; TASK_TGID; TASK_COMM; TASK_STATE; TASK_FILES; TASK_CGROUPS; TASK_SIGNAL; SIGNAL_LIVE;
    TASK_TI_FLAGS; TASK_MM;
    /// What holds a task up before user mode: work for it to do, memory above its cgroup's limit, a disk that it has to wait for.
    TASK_WORKS; TASK_OVER_HIGH; TASK_THROTTLE_DISK;
    TASK_IN_IOWAIT; TASK_IN_IOWAIT_MASK;
    TASK_IN_MEMSTALL; TASK_IN_MEMSTALL_MASK;
    TASK_FLAGS; TASK_SIGHAND; TASK_LEADER; TASK_START;
    TASK_FROZEN; TASK_FROZEN_MASK;
    /// What a task that sleeps for a lock says of it.
    TASK_BLOCKER;
    /// Present where a reader that lets go of an rwsem takes itself out of its owner's word.
    RWSEM_READERS_LEAVE;
    /// A `task_struct`, to be read where only its address is known. Absent where the kernel cannot cast (before 6.2).
    TYPE_TASK;
    MUTEX_OWNER; RWSEM_OWNER; RTMUTEX_OWNER;
    /// How an rwsem is held, and who is first in its queue. Absent with CONFIG_PREEMPT_RT.
    RWSEM_COUNT; RWSEM_FIRST; RWSEM_WAITER_LIST; RWSEM_WAITER_TASK;
    /// The spinlocks inside of locks; the user side alone wants them, to name them.
    MUTEX_WAIT_LOCK; RWSEM_WAIT_LOCK; RWLOCK_WAIT_LOCK;
    MM_MMAP_LOCK; SIGHAND_LOCK; FILES_LOCK; RQ_LOCK;
    TASK_CFS_RQ; CFS_RQ_RQ; CFS_RQ_THROTTLE_COUNT; RQ_STEAL; RQ_IRQ;
    FILES_FDT; FDT_FD; FDT_MAX_FDS;
    /// A struct that begins with a pointer to a `struct file`, as an element of `fdtable.fd` does: `kiocb`. Absent where
    /// the kernel cannot cast (before 6.2).
    TYPE_FILE_SLOT; FILE_SLOT_FILE;
    FILE_INODE; FILE_DENTRY; FILE_POS;
    INODE_MODE; INODE_SB; INODE_RDEV; INODE_RWSEM;
    SB_DEV; SB_MAGIC; SB_WRITERS; SB_WRITERS_SIZE;
    DENTRY_PARENT; DENTRY_NAME; DENTRY_HASHED; DENTRY_INODE;
    TASK_STACK;
    REQUEST_START; REQUEST_IO_START; REQUEST_PART; BDEV_DEV;
    REQUEST_QUEUE; REQUEST_BIO; BIO_BLKG; BLKG_BLKCG; BLKCG_CSS;
    /// A bio's flags, and the number of the one that says that limits of cgroups apply to it.
    BIO_FLAGS; BIO_LIMITED;
    /// The bios that a task is submitting; null where it submits none.
    TASK_BIO_LIST;
    CSS_SET_DFL; CSS_SET_SUBSYS; CSS_CGROUP; CSS_PARENT; CGROUP_SELF; CGROUP_LEVEL; CGROUP_KN; KN_ID; CGROUP_ROOT; ROOT_HIERARCHY;
    /// Position of `prev_state` in `sched_switch`, which 5.18 added.
    ARG_PREV_STATE;
    /// Position of `pause` in `balance_dirty_pages`; 6.18 moved it.
    ARG_PAUSE;
    /// Position of the request in `block_rq_issue`; 5.11 dropped the queue before it.
    ARG_REQUEST;
    TASK_CPU; TASK_ON_CPU;
    /// Whether a quota holds the task itself (6.18).
    TASK_THROTTLED;
    /// How long quotas have held a queue, and since when one does, by the clock of its run queue.
    CFS_RQ_THROTTLED_TIME; CFS_RQ_THROTTLED_SINCE; RQ_CLOCK;
    TASK_EXIT_STATE; TASK_REAL_PARENT; TASK_VFORK_DONE;
    TASK_ON_RQ; TASK_NVCSW; TASK_NIVCSW;
    TASK_LAST_ARRIVAL; TASK_LAST_QUEUED; TASK_EXEC_START; TASK_SUM_EXEC; TASK_PREV_SUM_EXEC;
    RQ_CLOCK_TASK;
    SEMAPHORE_HOLDER;
    /// Where a CPU's preempt count is, and which of its bits mean hard interrupts and NMIs; see [`crate::arch`].
    PREEMPT_COUNT; INTERRUPT_BITS;
    HRTIMER_FUNCTION; SLEEPER_TASK; CSD_FLAGS; CSD_FUNCTION;
}
