//! `osdiag lock`: which kernel locks are waited for, by whom, held by whom.
//!
//! Traces `contention_begin` and `contention_end`, or the functions that stand in for them. Produces, for each lock, waits
//! by length, by the waiter's stack, by waiter, and by owner with what the owner was doing.

pub mod cells;
pub mod count;
pub mod functions;
pub mod owner;
pub mod programs;
pub mod sleeping;
pub mod spinning;
pub mod state;
