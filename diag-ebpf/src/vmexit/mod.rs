//! `osdiag vmexit`: what a guest does that may make its virtual CPUs exit, and who does it.
//!
//! Traces `write_msr`, `read_msr` and `rdpmc` for registers, `csd_queue_cpu` (or `tlb_flush`), `ipi_send_cpu` and
//! `ipi_send_cpumask` for what an IPI is for, `local_timer_entry`, `hrtimer_start` and `hrtimer_expire_entry` for timers
//! and who armed them, `cpu_idle` for halts.
//! Produces a count for each thing and its doer, and a histogram of idle times.

pub mod cells;
pub mod idle;
pub mod ipi;
pub mod msr;
pub mod programs;
pub mod timer;
pub mod who;
