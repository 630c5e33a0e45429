//! What is remembered of a CPU quota when a wait begins. Shared by every tool that tells time under a quota from waiting for a CPU.

/// A quota held the task when the wait began.
pub const HELD: u32 = 2;
/// The kernel's account of its queue's quota is known, as it was when the wait began.
pub const ACCOUNTED: u32 = 4;

/// What is known of quotas when a wait begins.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Hold {
    /// The task's queue; of no meaning unless [`ACCOUNTED`].
    pub queue: u64,
    /// How long quotas had held it by then, ns; likewise.
    pub held_ns: u64,
    /// [`HELD`], [`ACCOUNTED`].
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}
