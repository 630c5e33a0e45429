//! A grace period: after it, no program that began before still runs.

use std::{thread, time::Duration};

use rustix::thread::{MembarrierCommand, membarrier};

/// What a program of ours takes at most, many times over; for kernels that refuse the barrier.
const LONGER_THAN_ANY_PROGRAM: Duration = Duration::from_millis(20);

/// Waits until every program that was running has ended. Programs on tracepoints run without preemption or inside an
/// RCU read-side section, and `MEMBARRIER_CMD_GLOBAL` is `synchronize_rcu` (kernel/sched/membarrier.c, 6.18).
pub(crate) fn wait_for_programs() {
    if membarrier(MembarrierCommand::Global).is_err() {
        thread::sleep(LONGER_THAN_ANY_PROGRAM);
    }
}
