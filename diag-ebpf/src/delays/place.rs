//! Where a thread sleeps: what it was called for, by its saved registers.

use diag_common::delays::place;

use crate::{
    arch,
    side::{Ptr, Side},
    task::PF_KTHREAD,
};

/// `PF_EXITING`, `PF_IO_WORKER` and, from 6.4 on, `PF_USER_WORKER` (include/linux/sched.h, 5.10 to 7.3; before 6.4 the last one
/// marks a task that loads a module).
pub const PF_EXITING: u32 = 0x4;
const PF_WORKER: u32 = 0x10 | 0x4000;

/// Where `task` is, by its flags and its registers. A kernel thread's registers are zero, a worker's those of its creator.
#[inline(always)]
pub fn of<S: Side>(task: Ptr, flags: u32) -> u32 {
    if flags & PF_KTHREAD != 0 {
        return place::KTHREAD;
    }
    if flags & PF_WORKER != 0 {
        return place::WORKER;
    }
    if flags & PF_EXITING != 0 {
        return place::EXIT;
    }
    let regs = S::registers(task);
    if regs.is_null() {
        return place::OTHER_CALL;
    }
    // SAFETY: loads from the registers, and from the task.
    let (number, returned, compat) =
        unsafe { (arch::call_number::<S>(regs), arch::has_returned::<S>(regs), arch::is_compat::<S>(task)) };
    if number < 0 {
        return place::FAULT_OR_RETURN;
    }
    if returned {
        return place::RETURN;
    }
    if number >= i64::from(place::COMPAT) {
        return place::OTHER_CALL;
    }
    number as u32 + if compat { place::COMPAT } else { 0 }
}
