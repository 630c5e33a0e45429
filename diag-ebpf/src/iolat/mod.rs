//! `osdiag iolat`: the wall time of file operations, split by cause.
//!
//! Traces `sys_enter` and `sys_exit` for the operations, `sched_switch` and `sched_waking` for what a task in an
//! operation does, the block layer, lock contention, reclaim, compaction and dirty throttling for why.
//! Produces, per operation, device and file system, a latency histogram and a matrix latency × cause, and events
//! for the slowest operations.

pub mod begun;
pub mod block;
pub mod cells;
pub mod context;
pub mod file;
pub mod finish;
pub mod programs;
pub mod sched;
pub mod slowest;
pub mod state;
pub mod stop;
pub mod syscall;
