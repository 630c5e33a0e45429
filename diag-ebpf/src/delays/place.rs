//! Where a thread sleeps: what it was called for, by its saved registers.

use diag_common::delays::place;

use crate::{
    fields::{REGS_AX, REGS_ORIG_AX, TASK_TI_STATUS},
    side::{Ptr, Side},
};

use super::group::PF_KTHREAD;

/// `PF_EXITING`, `PF_IO_WORKER` and, from 6.4 on, `PF_USER_WORKER` (include/linux/sched.h, 5.10 to 7.3; before 6.4 the last one
/// marks a task that loads a module).
pub const PF_EXITING: u32 = 0x4;
const PF_WORKER: u32 = 0x10 | 0x4000;
/// `TS_COMPAT` (arch/x86/include/asm/thread_info.h, 6.18).
const TS_COMPAT: u32 = 0x2;
/// What a call's return value is until it has one: `-ENOSYS` (arch/x86/entry/entry_64.S, 6.18).
const NOT_RETURNED: i64 = -38;

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
    let (number, ax, status): (i64, i64, u32) = unsafe {
        (
            S::read(regs, REGS_ORIG_AX.load()),
            S::read(regs, REGS_AX.load()),
            S::read(task, TASK_TI_STATUS.load()),
        )
    };
    if number < 0 {
        return place::FAULT_OR_RETURN;
    }
    if ax != NOT_RETURNED {
        return place::RETURN;
    }
    if number >= i64::from(place::COMPAT) {
        return place::OTHER_CALL;
    }
    number as u32 + if status & TS_COMPAT != 0 { place::COMPAT } else { 0 }
}
