//! What is remembered of a CPU quota when a wait begins, as bits. Shared by every tool that tells time under a quota from
//! waiting for a CPU.

/// A quota held the task when the wait began.
pub const HELD: u32 = 2;
/// The kernel's account of its queue's quota is known, as it was when the wait began.
pub const ACCOUNTED: u32 = 4;
