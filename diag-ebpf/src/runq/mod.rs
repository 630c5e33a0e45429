//! `osdiag runq`: how long tasks wait for a CPU, and who has it meanwhile.

pub mod cells;
pub mod cpu;
pub mod culprits;
pub mod identity;
pub mod irq;
pub mod programs;
pub mod sched;
pub mod state;
