//! The attribution model's vocabulary: layers, classes, and the causes that a nanosecond can have. The one table of causes:
//! every tool names a wait from it.

macro_rules! layer_name {
    (Memory) => {
        "memory"
    };
    (Filesystem) => {
        "filesystem"
    };
    (Block) => {
        "block"
    };
    (Uring) => {
        "uring"
    };
    (Cpu) => {
        "cpu"
    };
    (Hypervisor) => {
        "hypervisor"
    };
    (Lock) => {
        "lock"
    };
    (Network) => {
        "network"
    };
    (Ipc) => {
        "ipc"
    };
    (Stopped) => {
        "stopped"
    };
    (Idle) => {
        "idle"
    };
    (Other) => {
        "other"
    };
}

/// Which part of the system a nanosecond belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Memory had to be made or waited for.
    Memory,
    /// The file system's own locks, log or state.
    Filesystem,
    /// A block request.
    Block,
    /// An io_uring request outside the other layers.
    Uring,
    /// It ran, or could have run.
    Cpu,
    /// The virtual CPU itself was not running.
    Hypervisor,
    /// A lock that belongs to no layer above.
    Lock,
    /// A peer on a socket.
    Network,
    /// Another process.
    Ipc,
    /// Stopped by a signal, the freezer or a tracer.
    Stopped,
    /// It had nothing to do.
    Idle,
    /// None of these.
    Other,
}

impl Layer {
    /// All layers, in the order in which they are shown.
    pub const ALL: [Layer; 12] = [
        Layer::Memory,
        Layer::Filesystem,
        Layer::Block,
        Layer::Uring,
        Layer::Cpu,
        Layer::Hypervisor,
        Layer::Lock,
        Layer::Network,
        Layer::Ipc,
        Layer::Stopped,
        Layer::Idle,
        Layer::Other,
    ];

    /// The name that records and screens use.
    pub const fn name(self) -> &'static str {
        match self {
            Layer::Memory => layer_name!(Memory),
            Layer::Filesystem => layer_name!(Filesystem),
            Layer::Block => layer_name!(Block),
            Layer::Uring => layer_name!(Uring),
            Layer::Cpu => layer_name!(Cpu),
            Layer::Hypervisor => layer_name!(Hypervisor),
            Layer::Lock => layer_name!(Lock),
            Layer::Network => layer_name!(Network),
            Layer::Ipc => layer_name!(Ipc),
            Layer::Stopped => layer_name!(Stopped),
            Layer::Idle => layer_name!(Idle),
            Layer::Other => layer_name!(Other),
        }
    }
}

/// What a cause means to whoever asks where time went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// It ran.
    Busy,
    /// It could have done something else, had the machine let it: the only class that a verdict names.
    Lost,
    /// It waited for another program, which may be how it is built.
    Waiting,
    /// Somebody stopped it.
    Stopped,
    /// It had nothing to do.
    Idle,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 5] = [Class::Busy, Class::Lost, Class::Waiting, Class::Stopped, Class::Idle];

    /// The name that records use.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Busy => "busy",
            Class::Lost => "lost",
            Class::Waiting => "waiting",
            Class::Stopped => "stopped",
            Class::Idle => "idle",
        }
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $layer:ident, $name:literal, $class:ident;)*) => {
        /// Why a nanosecond was spent.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Cause { $($(#[$doc])* $variant,)* }

        impl Cause {
            /// All causes, by their number.
            pub const ALL: &'static [Cause] = &[$(Cause::$variant,)*];

            /// The layer that the cause belongs to.
            pub const fn layer(self) -> Layer {
                match self { $(Cause::$variant => Layer::$layer,)* }
            }

            /// The name within the layer, as records use it.
            pub const fn name(self) -> &'static str {
                match self { $(Cause::$variant => $name,)* }
            }

            /// Layer and name, as screens and `via` in records use them.
            pub const fn path(self) -> &'static str {
                match self { $(Cause::$variant => concat!(layer_name!($layer), ".", $name),)* }
            }

            /// Its class.
            pub const fn class(self) -> Class {
                match self { $(Cause::$variant => Class::$class,)* }
            }
        }
    };
}

causes! {
    /// Direct reclaim: the task freed pages itself, or waited for that.
    Reclaim = Memory, "reclaim", Lost;
    /// Reclaim because a memory cgroup reached its limit.
    MemcgReclaim = Memory, "memcg-reclaim", Lost;
    /// Direct compaction for a large page.
    Compaction = Memory, "compaction", Lost;
    /// Held in `balance_dirty_pages` because too much was dirty.
    DirtyThrottle = Memory, "dirty-throttle", Lost;
    /// Read back an anonymous page from swap.
    SwapIn = Memory, "swap-in", Lost;
    /// Read back a page that the kernel counts as thrashing.
    Refault = Memory, "refault", Lost;
    /// Slept because its cgroup was over `memory.high`.
    MemcgThrottle = Memory, "memcg-throttle", Lost;
    /// Waited for the file's `i_rwsem`.
    InodeLock = Filesystem, "inode-lock", Lost;
    /// Waited for the journal or log: jbd2, the xfs log, a btrfs transaction.
    Journal = Filesystem, "journal", Lost;
    /// Waited for a frozen file system.
    Freeze = Filesystem, "freeze", Lost;
    /// Waited for another lock of the file system.
    FsLock = Filesystem, "lock", Lost;
    /// Waited for other state of the file system.
    FsWait = Filesystem, "wait", Lost;
    /// A request was at the device (D2C).
    Device = Block, "device", Lost;
    /// A request was queued in the guest (Q2D).
    Queue = Block, "queue", Lost;
    /// Held back by a limit: blk-throttle, iocost, iolatency, wbt.
    BlockThrottle = Block, "throttle", Lost;
    /// Waited for the block layer, for none of these reasons.
    BlockWait = Block, "wait", Lost;
    /// Ran on a CPU.
    Run = Cpu, "run", Busy;
    /// Was runnable and waited for a CPU.
    Runqueue = Cpu, "runqueue", Lost;
    /// Was runnable and held by its CPU quota.
    Throttled = Cpu, "throttled", Lost;
    /// Was interrupted.
    Irq = Cpu, "irq", Lost;
    /// The hypervisor ran something else on the physical CPU.
    Steal = Hypervisor, "steal", Lost;
    /// Waited for a lock of the kernel that belongs to no layer above.
    KernelLock = Lock, "kernel", Lost;
    /// Waited for something that nothing explains.
    OtherWait = Other, "wait", Lost;
    /// Waited for the out-of-memory killer.
    Oom = Memory, "oom", Lost;
    /// Waited for a server of the file system: FUSE, NFS, CIFS.
    Server = Filesystem, "server", Lost;
    /// An io_uring request waited for an io-wq worker.
    UringWorker = Uring, "worker", Lost;
    /// An io_uring request waited for the one before it.
    UringLink = Uring, "link", Lost;
    /// An io_uring request was complete, and its owner had not entered the kernel.
    UringTaskwork = Uring, "taskwork", Lost;
    /// The hypervisor had swapped out a page (async page fault).
    HostMemory = Hypervisor, "memory", Lost;
    /// Waited for `mmap_lock`.
    MmapLock = Lock, "mmap", Lost;
    /// Waited in a futex: a lock or condition of the program, or an idle worker.
    UserLock = Lock, "user", Waiting;
    /// Waited for a peer through a socket.
    Socket = Network, "socket", Waiting;
    /// Waited for the other end of a pipe.
    Pipe = Ipc, "pipe", Waiting;
    /// Waited for a child.
    Child = Ipc, "child", Waiting;
    /// Waited for a signal.
    Signal = Ipc, "signal", Waiting;
    /// Waited for another process in another way.
    OtherIpc = Ipc, "other", Waiting;
    /// Stopped by a signal.
    StoppedSignal = Stopped, "signal", Stopped;
    /// Stopped by the freezer.
    StoppedFreezer = Stopped, "freezer", Stopped;
    /// Stopped by a tracer.
    StoppedTrace = Stopped, "trace", Stopped;
    /// Slept for a time, voluntarily.
    Timer = Idle, "timer", Idle;
    /// Waited for any of several files to become ready.
    Poll = Idle, "poll", Idle;
    /// A worker without work.
    Worker = Idle, "worker", Idle;
}

/// How many causes programs of the kernel side count, the first ones of the table; [`crate::iolat::CAUSE_STACK`] is the number
/// after the last that there can be.
pub const COUNTED: usize = Cause::OtherWait as usize + 1;

impl Cause {
    /// The cause with this number, where there is one.
    pub fn from_number(number: u8) -> Option<Cause> {
        Cause::ALL.get(number as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_causes_agree() {
        for (number, &cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(cause as usize, number);
            assert_eq!(Cause::from_number(number as u8), Some(cause));
        }
        assert_eq!(Cause::from_number(Cause::ALL.len() as u8), None);
    }

    #[test]
    fn a_layer_and_a_name_tell_a_cause() {
        for a in Cause::ALL {
            assert_eq!(a.path().split_once('.'), Some((a.layer().name(), a.name())));
            for b in Cause::ALL {
                assert!(a == b || a.path() != b.path(), "{a:?} {b:?}");
            }
        }
    }
}
