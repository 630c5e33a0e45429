//! How deep preemption is disabled while a program runs, by the kind of tracepoint.

/// The kinds of tracepoints, which the kernel calls in different ways: those of system calls, and all others.
pub const SYSTEM_CALL: u32 = 0;
/// The others.
pub const OTHER: u32 = 1;
/// How many kinds there are.
pub const KINDS: u32 = 2;

/// Set once a program of the kind has run, beside the depth.
pub const SEEN: u32 = 0x100;
/// The depth: how many times preemption is disabled (`PREEMPT_MASK`, include/linux/preempt.h, 5.10 to 7.3).
pub const DEPTH: u32 = 0xff;
