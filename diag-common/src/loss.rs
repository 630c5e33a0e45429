//! What can be lost in the kernel, whichever tool it is: each has a counter, and a key in every record's `lost`.

macro_rules! losses {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal;)*) => {
        /// What could be lost in the kernel; each has a counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Loss { $($(#[doc = $doc])* $variant,)* }

        impl Loss {
            /// All of them, by number.
            pub const ALL: &'static [Loss] = &[$(Loss::$variant,)*];

            /// The key in a record's `lost`.
            pub const fn name(self) -> &'static str {
                match self { $(Loss::$variant => $name,)* }
            }

            /// What the key stands for, as a schema says it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Loss::$variant => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

losses! {
    /// An operation was not seen because its task got no state.
    TaskState = "task_state";
    /// An operation was not counted because there were too many groups.
    Slots = "slots";
    /// Something was not counted where it belongs because a table was full: its time is `other`, or in the group of type `rest`.
    Cells = "cells";
    /// A slow operation was not sent because the ring was full.
    Events = "events";
    /// A stack was not stored: its wait is `other`.
    Stacks = "stacks";
    /// A wait was merged with another because an operation had too many unexplained ones.
    StackWaits = "stack_waits";
    /// A path was cut.
    Paths = "paths";
    /// The times of a block request were not kept because there were too many requests or devices: waits for it are told less
    /// well, as `block.wait`.
    Requests = "requests";
    /// A 32-bit system call was not looked at.
    CompatSyscalls = "compat_syscalls";
    /// A program was not run: because another run of it was under way on that CPU, which the kernel itself counts, or
    /// because a context switch was not told of.
    MissedRuns = "missed_runs";
    /// A forked process was not followed because there were too many.
    Processes = "processes";
    /// The name of a cgroup was not kept while it was made: its path was too long, or too many were made at once.
    CgroupNames = "cgroup_names";
    /// A thread was not told from others because there were too many processes, names and cgroups.
    Identities = "identities";
    /// A wait for a lock was not counted because its end was not told of, or too many were under way at once.
    LockWaits = "lock_waits";
    /// A wait for a lock was counted with others of its kind because there were too many locks.
    Locks = "locks";
    /// A caller, waiter or owner of a lock was not counted because there were too many: it is nobody's.
    LockParts = "lock_parts";
}
