//! What the kernel's own watchdog finds.

use aya_ebpf::{macros::map, maps::HashMap};
use diag_common::{hung::MAX_COMPLAINTS, loss::Loss};

use crate::{
    loss, scope,
    side::{Ptr, Side},
    task::pid,
};

/// Threads of the target that khungtaskd complained of, until the user side has read them.
#[map]
static COMPLAINTS: HashMap<u32, u8> = HashMap::with_max_entries(MAX_COMPLAINTS, 0);

/// `sched_process_hang(struct task_struct *tsk)`
#[inline(always)]
pub fn hang<S: Side>(task: Ptr) {
    if scope::contains::<S>(task) && COMPLAINTS.insert(pid::<S>(task), 1, 0).is_err() {
        loss::count(Loss::Events);
    }
}
