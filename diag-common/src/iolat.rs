//! `osdiag iolat`: what its eBPF object counts, and the layout in which it is read.
//!
//! Everything is kept twice, by the parity of an epoch: the user side flips the epoch, waits for a
//! grace period and then reads and clears the half that nobody writes any more. So intervals are exact.

mod counted;

pub use self::counted::{
    BIN_BITS, CAUSE_STACK, CONTENDED, GroupKey, HEADS, Half, Head, MAX_GROUPS, MatrixKey, STALLED, Totals,
    VIA_NONE, bin, extremes, of_bin, place, table,
};
pub use crate::cells::{Cell, CellKey, Slot};

macro_rules! operations {
    ($($variant:ident = $x86_64:literal, $aarch64:literal, $name:literal;)*) => {
        /// A traced system call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Op { $(#[doc = concat!("`", $name, "(2)`")] $variant,)* }

        impl Op {
            /// All operations, by their number.
            pub const ALL: &'static [Op] = &[$(Op::$variant,)*];

            /// The system call's name.
            pub const fn name(self) -> &'static str {
                match self { $(Op::$variant => $name,)* }
            }
        }

        /// The operations' numbers as system calls, by architecture.
        pub mod numbers {
            use super::Op;

            /// The operation of an x86-64 system call (arch/x86/entry/syscalls/syscall_64.tbl, 6.18).
            #[inline(always)]
            pub const fn x86_64(number: u64) -> Option<Op> {
                match number {
                    $($x86_64 => Some(Op::$variant),)*
                    _ => None,
                }
            }

            /// The operation of an arm64 system call (include/uapi/asm-generic/unistd.h, 6.18).
            #[inline(always)]
            pub const fn aarch64(number: u64) -> Option<Op> {
                match number {
                    $($aarch64 => Some(Op::$variant),)*
                    _ => None,
                }
            }

            /// Whether an i386 system call is one of them (arch/x86/entry/syscalls/syscall_32.tbl, 6.18).
            #[inline(always)]
            pub const fn is_i386(number: u64) -> bool {
                matches!(number, 3 | 4 | 118 | 145 | 146 | 148 | 180 | 181 | 314 | 333 | 334 | 378 | 379)
            }

            /// Whether a 32-bit arm system call is one of them (arch/arm/tools/syscall.tbl, 6.18).
            #[inline(always)]
            pub const fn is_arm(number: u64) -> bool {
                matches!(number, 3 | 4 | 118 | 145 | 146 | 148 | 180 | 181 | 341 | 361 | 362 | 392 | 393)
            }
        }
    };
}

operations! {
    Read = 0, 63, "read";
    Write = 1, 64, "write";
    Pread = 17, 67, "pread64";
    Pwrite = 18, 68, "pwrite64";
    Readv = 19, 65, "readv";
    Writev = 20, 66, "writev";
    Fsync = 74, 82, "fsync";
    Fdatasync = 75, 83, "fdatasync";
    SyncFileRange = 277, 84, "sync_file_range";
    Preadv = 295, 69, "preadv";
    Pwritev = 296, 70, "pwritev";
    Preadv2 = 327, 286, "preadv2";
    Pwritev2 = 328, 287, "pwritev2";
}

impl Op {
    /// The operation with this number, where there is one.
    pub fn from_number(number: u8) -> Option<Op> {
        Op::ALL.get(number as usize).copied()
    }

    /// Whether the call returns how many bytes it moved.
    #[inline(always)]
    pub const fn moves_bytes(self) -> bool {
        !matches!(self, Op::Fsync | Op::Fdatasync | Op::SyncFileRange)
    }
}

macro_rules! failures {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $($errno:literal)|*;)*) => {
        /// How a call fails, by the number that it returns (include/uapi/asm-generic/errno.h, include/linux/errno.h, 6.18).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Failure { $($(#[$doc])* $variant,)* }

        impl Failure {
            /// All of them, by their number.
            pub const ALL: &'static [Failure] = &[$(Failure::$variant,)*];

            /// The name in records.
            pub const fn name(self) -> &'static str {
                match self { $(Failure::$variant => $name,)* }
            }

            /// What a negative return value stands for.
            #[inline(always)]
            pub const fn of(ret: i64) -> Failure {
                match ret.wrapping_neg() {
                    $($($errno)|* => Failure::$variant,)*
                    _ => Failure::Other,
                }
            }
        }
    };
}

failures! {
    /// It would have had to wait.
    Again = "again", 11;
    /// A signal came.
    Interrupted = "interrupted", 4 | 512 | 513 | 514 | 516;
    /// The call cannot be made like this, or not of this file.
    Invalid = "invalid", 9 | 14 | 22 | 27 | 29 | 75 | 95;
    /// It is not allowed.
    Access = "access", 1 | 13 | 26 | 30;
    /// There is no room left.
    Space = "space", 12 | 28 | 122;
    /// The device or the file system is broken, or gone.
    Device = "device", 5 | 6 | 19 | 52 | 61 | 67 | 84 | 110 | 117 | 121;
    /// Anything else.
    Other = "other", 0;
}

/// File-system magics whose regular files are no I/O (include/uapi/linux/magic.h, 6.18).
pub const PSEUDO_FILESYSTEMS: [u32; 17] = [
    0x0000_9fa0, // proc
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0xcafe_4a11, // bpf
    0x7363_6673, // securityfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x6265_6570, // configfs
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x0904_1934, // anon_inodefs
    0x534f_434b, // sockfs
    0x5049_5045, // pipefs
    0x0000_1cd1, // devpts
];

/// Slow operations to keep at most in an interval (`--slowest`).
pub const MAX_SLOWEST: u32 = 100;

/// Devices that memory has been swapped out to, of which it is kept that they are: so many at most.
pub const SWAPS_KNOWN: usize = 4;

/// Bytes of an event that hold the path.
pub const PATH_BYTES: usize = 1024;

/// A slow operation. Only as many bytes of `path` are sent as are used.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Event {
    /// Its wall time, ns.
    pub latency_ns: u64,
    /// The system call's return value.
    pub ret: i64,
    /// Where in the file it began; `i64::MIN` where that has no meaning.
    pub offset: i64,
    /// Cgroup of the task, in the hierarchy that the session looks at.
    pub cgroup: u64,
    /// The device in the kernel's own encoding.
    pub dev: u32,
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub pid: u32,
    /// Stack of the longest wait of which one was taken; 0 for none.
    pub stack: u32,
    /// The file system's magic; 0 for a block device opened as a file.
    pub magic: u64,
    /// The thread's name.
    pub comm: [u8; 16],
    /// Which causes `ns` and `via` hold, by bit.
    pub touched: u32,
    /// The parity of the epoch in which it ended.
    pub parity: u16,
    /// [`Op`].
    pub op: u8,
    /// How many entries of `waits` are used.
    pub waits_used: u8,
    /// Time by cause, ns; `cpu.run` is the rest.
    pub ns: [u64; 32],
    /// What the holder or waker was waiting for, by cause.
    pub via: [u8; 32],
    /// A stack by cause; 0 for none.
    pub stacks: [u32; 32],
    /// Waits that only a stack explains.
    pub waits: [StackWait; MAX_STACK_WAITS],
    /// Bytes of `path` that are used.
    pub path_bytes: u32,
    /// [`PATH_CUT`], [`PATH_DELETED`]
    pub path_flags: u32,
    /// Path components, the file's own name first, each ended by a zero byte.
    pub path: [u8; PATH_BYTES],
}

/// The path has more directories than were sent.
pub const PATH_CUT: u32 = 1;
/// The file has been deleted: its path is the one that it had.
pub const PATH_DELETED: u32 = 1 << 1;

/// Waits of one operation that only their stacks explain; further ones are counted as lost detail.
pub const MAX_STACK_WAITS: usize = 4;

/// Time that an operation waited at one stack.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct StackWait {
    /// Time, ns.
    pub ns: u64,
    /// Which stack.
    pub stack: u32,
    /// [`STALLED`] and [`CONTENDED`].
    pub flags: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_classes() {
        for (number, &failure) in Failure::ALL.iter().enumerate() {
            assert_eq!(failure as usize, number);
        }
        assert_eq!(
            [-11, -4, -9, -5, -28, -9999].map(Failure::of).map(Failure::name),
            ["again", "interrupted", "invalid", "device", "space", "other"]
        );
    }

    #[test]
    fn numbers_and_operations_agree() {
        for (number, &op) in Op::ALL.iter().enumerate() {
            assert_eq!(Op::from_number(number as u8), Some(op));
        }
        assert_eq!(numbers::x86_64(3), None);
    }

    #[test]
    fn events_have_no_padding() {
        assert_eq!(size_of::<Event>() % 8, 0);
    }
}
