//! Locks that tasks contend for, as the kernel reports them. Shared by every tool that names a lock or its owner.

/// Bits of the flags of `contention_begin` (include/trace/events/lock.h, 6.18).
pub mod flags {
    /// `LCB_F_SPIN`
    pub const SPIN: u32 = 1 << 0;
    /// `LCB_F_READ`
    pub const READ: u32 = 1 << 1;
    /// `LCB_F_WRITE`
    pub const WRITE: u32 = 1 << 2;
    /// `LCB_F_RT`
    pub const RT: u32 = 1 << 3;
    /// `LCB_F_PERCPU`
    pub const PERCPU: u32 = 1 << 4;
    /// `LCB_F_MUTEX`
    pub const MUTEX: u32 = 1 << 5;

    /// Whether the waiter keeps its CPU: a mutex's may spin for a while, and is said to wait for a lock that is slept for all the same.
    #[inline(always)]
    pub const fn spins(flags: u32) -> bool {
        flags & (SPIN | MUTEX) == SPIN
    }
}

/// Bits of a lock's owner that are none of its address (kernel/locking/mutex.h, kernel/locking/rwsem.c, 6.18).
pub mod owner {
    /// All of them: three of a mutex, at most three of an rwsem (5.10), one of an rt_mutex.
    pub const FLAGS: u64 = 7;
    /// `RWSEM_READER_OWNED`
    pub const READER: u64 = 1;
    /// `MUTEX_FLAG_PICKUP`: the lock was handed to its owner, which has yet to wake up (`__mutex_handoff`, 4.11 and up).
    pub const PICKUP: u64 = 4;
    /// `RWSEM_WRITER_LOCKED` of an rwsem's count (kernel/locking/rwsem.c, 5.10 to 7.3).
    pub const WRITER_LOCKED: u64 = 1;
    /// `RWSEM_READER_MASK` of it: how many readers there are.
    pub const READERS: u64 = !0xff;
    /// `RWSEM_READER_BIAS`: one reader.
    pub const ONE_READER: u64 = 0x100;
    /// Bits of `task_struct.blocker` that are its type (include/linux/hung_task.h, 6.18).
    pub const BLOCKER_TYPE: u64 = 3;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What sort of lock it is, and which side of it is waited for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// All of them, by number.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)*];

            /// The name that records use.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    /// `spinlock_t` and `raw_spinlock_t`, where it queues.
    Spinlock = "spinlock";
    /// `rwlock_t`, to read.
    RwlockRead = "rwlock-read";
    /// `rwlock_t`, to write.
    RwlockWrite = "rwlock-write";
    /// `struct mutex`
    Mutex = "mutex";
    /// `struct rw_semaphore`, to read.
    RwsemRead = "rwsem-read";
    /// `struct rw_semaphore`, to write.
    RwsemWrite = "rwsem-write";
    /// `struct percpu_rw_semaphore`, either way.
    PercpuRwsem = "percpu-rwsem";
    /// `struct rt_mutex`, and what a real-time kernel makes of it.
    Rtmutex = "rtmutex";
    /// `struct semaphore`
    Semaphore = "semaphore";
    /// Of a real-time kernel: `struct rw_semaphore` or `rwlock_t`, to read (kernel/locking/rwbase_rt.c, 6.18).
    RtRead = "rt-read";
    /// The same, to write.
    RtWrite = "rt-write";
}

impl Kind {
    /// The kind with this number, where there is one.
    pub fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.get(number as usize).copied()
    }

    /// The kind that the flags of `contention_begin` tell.
    #[inline(always)]
    pub fn of(flags: u32) -> Kind {
        let has = |bit: u32| flags & bit != 0;
        if has(flags::MUTEX) {
            return Kind::Mutex;
        }
        if has(flags::PERCPU) {
            return Kind::PercpuRwsem;
        }
        match (has(flags::SPIN), has(flags::READ), has(flags::WRITE)) {
            (true, true, _) => Kind::RwlockRead,
            (true, _, true) => Kind::RwlockWrite,
            (true, ..) => Kind::Spinlock,
            (_, true, _) if has(flags::RT) => Kind::RtRead,
            (_, _, true) if has(flags::RT) => Kind::RtWrite,
            (_, true, _) => Kind::RwsemRead,
            (_, _, true) => Kind::RwsemWrite,
            _ if has(flags::RT) => Kind::Rtmutex,
            _ => Kind::Semaphore,
        }
    }

    /// Whether a waiter keeps its CPU, so that nothing is known of it but its CPU.
    #[inline(always)]
    pub const fn spins(self) -> bool {
        matches!(self, Kind::Spinlock | Kind::RwlockRead | Kind::RwlockWrite)
    }

    /// Whether the kernel keeps who holds such a lock.
    #[inline(always)]
    pub const fn has_owner(self) -> bool {
        matches!(self, Kind::Mutex | Kind::RwsemRead | Kind::RwsemWrite | Kind::Rtmutex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_tell_the_kind() {
        use flags::*;
        let cases = [
            (SPIN, Kind::Spinlock),
            (SPIN | READ, Kind::RwlockRead),
            (SPIN | WRITE, Kind::RwlockWrite),
            (MUTEX, Kind::Mutex),
            (MUTEX | SPIN, Kind::Mutex),
            (READ, Kind::RwsemRead),
            (WRITE, Kind::RwsemWrite),
            (PERCPU | READ, Kind::PercpuRwsem),
            (PERCPU | WRITE, Kind::PercpuRwsem),
            (RT, Kind::Rtmutex),
            (RT | READ, Kind::RtRead),
            (RT | WRITE, Kind::RtWrite),
            (0, Kind::Semaphore),
        ];
        for (flags, kind) in cases {
            assert_eq!(Kind::of(flags), kind, "{flags:#x}");
            assert_eq!(Kind::from_number(kind as u8), Some(kind));
            assert_eq!(Kind::of(flags).spins(), spins(flags), "{flags:#x}");
        }
        assert!(!Kind::of(MUTEX | SPIN).spins() && Kind::of(SPIN | READ).spins());
    }
}
