//! `osdiag hung`: what the task iterator tells of a task.

use crate::stack::Stack;

/// The task is in the session's target.
pub const IN_TARGET: u32 = 1;
/// It is on a CPU, or waits for one: whatever its state says, it does not sleep.
pub const AWAKE: u32 = 1 << 1;
/// It sleeps uninterruptibly, and not because it is idle or frozen.
pub const BLOCKED: u32 = 1 << 2;
/// The lock that it waits for was last taken by a reader: its owner is one of perhaps several.
pub const READER_OWNED: u32 = 1 << 3;
/// It is a child that its parent waits for in `vfork`.
pub const VFORKED: u32 = 1 << 4;
/// It waits for I/O, by the kernel's own account (`task_struct.in_iowait`).
pub const IOWAIT: u32 = 1 << 5;
/// A freezer holds it: by `PF_FROZEN` (before 6.1), or in a frozen cgroup (v2).
pub const FROZEN: u32 = 1 << 6;

/// Kinds of locks, as `task_struct.blocker` tells them (include/linux/hung_task.h, 6.18), plus one.
pub const MUTEX: u32 = 0;
/// A counting semaphore.
pub const SEMAPHORE: u32 = 1;
/// A reader that waits for a reader-writer semaphore.
pub const RWSEM_READ: u32 = 2;
/// A writer that waits for one.
pub const RWSEM_WRITE: u32 = 3;

/// A task that sleeps uninterruptibly, that waits for a lock, or that somebody asked for.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Sleeper {
    /// How long it has been off its CPU, ns; at most a tick too little. Of no meaning for one that is [`AWAKE`].
    pub asleep_ns: u64,
    /// How often it has been switched out: the same as long as it sleeps the same sleep.
    pub switches: u64,
    /// The id of its cgroup; 0 for none.
    pub cgroup: u64,
    /// Where its `task_struct` is.
    pub task: u64,
    /// The lock that it waits for; 0 for none, or where this kernel does not tell.
    pub lock: u64,
    /// Where the `task_struct` of the lock's owner is, or was; 0 for none.
    pub owner: u64,
    /// When it started, ns since boot; 0 where this kernel does not tell.
    pub start_ns: u64,
    /// The thread.
    pub pid: u32,
    /// Its process.
    pub tgid: u32,
    /// The thread that it is a child of.
    pub parent: u32,
    /// The owner's thread id, as far as the owner is still there.
    pub owner_pid: u32,
    /// What kind of lock.
    pub lock_kind: u32,
    /// [`IN_TARGET`] and the others.
    pub flags: u32,
    /// `task_struct.__state`
    pub state: u32,
    /// `task_struct.exit_state`
    pub exit_state: u32,
    /// Its name.
    pub comm: [u8; 16],
    /// The name of its process's first thread.
    pub process_comm: [u8; 16],
    /// Where it sleeps; all zero where it has not slept for long, and nobody asked for it.
    pub stack: Stack,
}

#[cfg(feature = "user")]
impl Sleeper {
    /// A record from what the iterator has written: any bytes are one.
    pub fn from_bytes(bytes: &[u8; size_of::<Sleeper>()]) -> Sleeper {
        // SAFETY: as many bytes as it has, and all of its fields are integers.
        unsafe { bytes.as_ptr().cast::<Sleeper>().read_unaligned() }
    }
}

/// The most tasks that can be asked for at once.
pub const MAX_WANTED: u32 = 1024;

/// The most waits for locks that are followed, where the kernel itself keeps no account of them.
pub const MAX_WAITS: u32 = 8192;

/// The most tasks that the kernel's own watchdog can complain of between two looks of the user side.
pub const MAX_COMPLAINTS: u32 = 1024;
