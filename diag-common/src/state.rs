//! States of a task: bits of `task_struct.__state` and `exit_state` (include/linux/sched.h, 5.14 to 7.3).

use crate::cause::Cause;

/// `TASK_INTERRUPTIBLE`
pub const INTERRUPTIBLE: u32 = 0x1;
/// `TASK_UNINTERRUPTIBLE`, which `TASK_KILLABLE` includes.
pub const UNINTERRUPTIBLE: u32 = 0x2;
/// `__TASK_STOPPED`
pub const STOPPED: u32 = 0x4;
/// `__TASK_TRACED`
pub const TRACED: u32 = 0x8;
/// `EXIT_DEAD`, of `exit_state`.
pub const GONE: u32 = 0x10;
/// `EXIT_ZOMBIE`, of `exit_state`.
pub const ZOMBIE: u32 = 0x20;
/// `TASK_PARKED`
pub const PARKED: u32 = 0x40;
/// `TASK_DEAD`
pub const DEAD: u32 = 0x80;
/// `TASK_WAKEKILL`: a fatal signal ends the sleep.
pub const WAKEKILL: u32 = 0x100;
/// `TASK_WAKING`: it was woken, and another CPU has yet to put it on its run queue.
pub const WAKING: u32 = 0x200;
/// `TASK_NOLOAD`, with which an uninterruptible sleep is `TASK_IDLE`.
pub const NOLOAD: u32 = 0x400;
/// `TASK_RTLOCK_WAIT`: for a lock that is a spinlock without `PREEMPT_RT`.
pub const RTLOCK: u32 = 0x1000;
/// `TASK_FROZEN`, from 6.1 on.
pub const FROZEN: u32 = 0x8000;

/// What stops a task in this state, as far as that alone says so: of the freezer the task's flags can say more.
#[inline(always)]
pub const fn stopped(state: u32) -> Option<Cause> {
    if state & TRACED != 0 {
        Some(Cause::StoppedTrace)
    } else if state & STOPPED != 0 {
        Some(Cause::StoppedSignal)
    } else if state & FROZEN != 0 {
        Some(Cause::StoppedFreezer)
    } else {
        None
    }
}
