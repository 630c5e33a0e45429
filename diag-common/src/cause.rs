//! The attribution model's vocabulary: five layers, and the causes that a nanosecond can have.

/// Who a nanosecond belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The operation had to make or wait for memory.
    Memory,
    /// It waited for the file system's own locks, log or state.
    Filesystem,
    /// It waited for a block request.
    Block,
    /// It ran, or could have run.
    Cpu,
    /// The virtual CPU itself was not running.
    Hypervisor,
    /// None of these.
    Other,
}

impl Layer {
    /// All layers, in the order in which they are shown.
    pub const ALL: [Layer; 6] =
        [Layer::Memory, Layer::Filesystem, Layer::Block, Layer::Cpu, Layer::Hypervisor, Layer::Other];

    /// The name that records and screens use.
    pub const fn name(self) -> &'static str {
        match self {
            Layer::Memory => "memory",
            Layer::Filesystem => "filesystem",
            Layer::Block => "block",
            Layer::Cpu => "cpu",
            Layer::Hypervisor => "hypervisor",
            Layer::Other => "other",
        }
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $layer:ident, $name:literal;)*) => {
        /// Why a nanosecond of an operation was spent.
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
        }
    };
}

causes! {
    /// Direct reclaim: the task freed pages itself, or waited for that.
    Reclaim = Memory, "reclaim";
    /// Reclaim because a memory cgroup reached its limit.
    MemcgReclaim = Memory, "memcg-reclaim";
    /// Direct compaction for a large page.
    Compaction = Memory, "compaction";
    /// Held in `balance_dirty_pages` because too much was dirty.
    DirtyThrottle = Memory, "dirty-throttle";
    /// Read back an anonymous page from swap.
    SwapIn = Memory, "swap-in";
    /// Read back a page that the kernel counts as thrashing.
    Refault = Memory, "refault";
    /// Slept because its cgroup was over `memory.high`.
    MemcgThrottle = Memory, "memcg-throttle";
    /// Waited for the file's `i_rwsem`.
    InodeLock = Filesystem, "inode-lock";
    /// Waited for the journal or log: jbd2, the xfs log, a btrfs transaction.
    Journal = Filesystem, "journal";
    /// Waited for a frozen file system.
    Freeze = Filesystem, "freeze";
    /// Waited for another lock of the file system.
    FsLock = Filesystem, "lock";
    /// Waited for other state of the file system.
    FsWait = Filesystem, "wait";
    /// A request was at the device (D2C).
    Device = Block, "device";
    /// A request was queued in the guest (Q2D).
    Queue = Block, "queue";
    /// Held back by a limit: blk-throttle, iocost, iolatency, wbt.
    BlockThrottle = Block, "throttle";
    /// Waited for the block layer, for none of these reasons.
    BlockWait = Block, "wait";
    /// Ran on a CPU.
    Run = Cpu, "run";
    /// Was runnable and waited for a CPU.
    Runqueue = Cpu, "runqueue";
    /// Was runnable and held by its CPU quota.
    Throttled = Cpu, "throttled";
    /// Was interrupted.
    Irq = Cpu, "irq";
    /// The hypervisor ran something else on the physical CPU.
    Steal = Hypervisor, "steal";
    /// Waited for a lock that belongs to no layer above.
    OtherLock = Other, "lock";
    /// Waited for something that nothing explains.
    OtherWait = Other, "wait";
}

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
            for b in Cause::ALL {
                assert!(a == b || (a.layer(), a.name()) != (b.layer(), b.name()), "{a:?} {b:?}");
            }
        }
    }
}
