//! Kernel stacks, as the maps hold them.

/// Frames kept of a kernel stack.
pub const STACK_FRAMES: usize = 24;

/// A kernel stack, innermost frame first, zero-terminated where shorter.
pub type Stack = [u64; STACK_FRAMES];
