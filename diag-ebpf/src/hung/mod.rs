//! `osdiag hung`: which tasks are stuck, and behind whom.
//!
//! An iterator over all tasks, which the user side runs when a task can have become stuck, and which tells of those that
//! sleep uninterruptibly: how long, from the scheduler's own clocks; where; for which lock, and whose that is. Nothing
//! hangs on a context switch.

pub mod lock;
pub mod programs;
pub mod sleeper;
pub mod watchdog;
