//! What is known of a task inside an operation, and how its time is charged.

use aya_ebpf::Global;
use diag_common::{
    cause::{COUNTED, Cause},
    iolat::{CAUSE_STACK, MAX_STACK_WAITS, StackWait, VIA_NONE},
    loss::Loss,
    quota::Hold,
};

use crate::{
    context, loss,
    side::{Ptr, Side},
    storage,
    task::clocks,
};

/// An object that keeps this state.
pub trait Tasks: storage::Tasks<State = TaskState> {}

impl<T: storage::Tasks<State = TaskState>> Tasks for T {}

/// What the task does.
pub mod phase {
    /// It runs.
    pub const RUNNING: u8 = 0;
    /// It sleeps.
    pub const BLOCKED: u8 = 1;
    /// It waits for a CPU.
    pub const RUNNABLE: u8 = 2;
}

/// What its `task_struct` said when it went to sleep, as bits.
pub mod hint {
    /// `in_iowait`.
    pub const IOWAIT: u8 = 1;
    /// `in_memstall`.
    pub const MEMSTALL: u8 = 2;
    /// It is handing a bio to the block layer: it waits for a tag, a queue or a limit, not for a request
    /// (`__submit_bio_noacct_mq`, block/blk-core.c, 5.10 to 6.18).
    pub const SUBMITTING: u8 = 4;
}

/// The group that an operation last belonged to.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CachedGroup {
    /// Device and file system; 0 for none.
    pub tag: u64,
    /// The group's number.
    pub group: u64,
}

/// [`TaskState::lock`] for a sleeping lock that is not the operation's own file's.
pub const UNKNOWN_LOCK: u8 = 0xff;

/// How long a tick is; the loader knows.
#[unsafe(no_mangle)]
pub static TICK_NS: Global<u32> = Global::new(10_000_000);

/// A shorter stretch of running is not looked at for steal and interrupts.
pub const LONG_RUN_NS: u64 = 5_000;

/// A task's state. All zero is a task outside any operation.
#[repr(C)]
pub struct TaskState {
    /// When the operation began, ns; 0 outside one.
    pub start: u64,
    /// When the current stretch of running or waiting began.
    pub mark: u64,
    /// The run queue's steal clock at `mark`.
    pub steal: u64,
    /// The run queue's interrupt clock at `mark`.
    pub irq: u64,
    /// When the system call ended, or the task last came back on its way to user mode; see `returning`.
    pub end: u64,
    /// What the call returned, where in the file it worked, and the file's directory entry, once it has returned.
    pub ret: i64,
    pub offset: i64,
    pub entry: u64,
    /// The task's saved registers, and the number of the call that they hold.
    pub regs: u64,
    pub number: u64,
    /// When the task was last seen to be woken while it ran.
    pub woken: u64,
    /// The lock that it contends for; see `lock`.
    pub lock_address: u64,
    /// The operation's `struct file`, `inode` and `super_block`.
    pub file: u64,
    pub inode: u64,
    pub sb: u64,
    /// The super block's magic; 0 for a block device.
    pub magic: u64,
    /// Device, in the kernel's own encoding.
    pub dev: u32,
    /// The number of the operation's group.
    pub group: u32,
    /// The parity of the epoch in which it is counted, and what no cause has taken yet, meanwhile.
    pub parity: u32,
    /// What the kernel said of the wait in `unexplained`; see [`StackWait::flags`].
    pub unexplained_flags: u32,
    pub rest: u64,
    /// Causes that have time in `ns`, by bit.
    pub touched: u32,
    /// The stack taken when the task went to sleep; 0 for none.
    pub stack: u32,
    /// Stack of the longest wait that has one, and how long that was.
    pub longest_stack: u32,
    pub stack_waits: u32,
    pub longest_ns: u64,
    /// A wait that only its stack can explain, while the stack could not be taken yet; 0 for none.
    pub unexplained: u64,
    /// See [`phase`], [`hint`].
    pub phase: u8,
    pub hints: u8,
    /// The cause of the lock that the task contends for, plus one; [`UNKNOWN_LOCK`] where its stack must tell.
    pub lock: u8,
    /// The operation.
    pub op: u8,
    /// A kernel thread that operations wait for, rather than an operation.
    pub helper: u8,
    /// The call has returned, but the task is to be held up before user mode: the operation goes on until it is there.
    pub returning: u8,
    pub reserved: [u8; 2],
    /// Since when it is stopped, and from an operation of which group it comes, plus one; 0 where it is not.
    pub stopped: u64,
    pub stopped_in: u32,
    /// What it is in; see [`crate::context`].
    pub contexts: u32,
    /// What is known of its CPU quota since it is runnable.
    pub hold: Hold,
    /// Time by cause, valid where touched.
    pub ns: [u64; 32],
    /// What the waker was waiting for, by cause, valid where touched.
    pub via: [u8; 32],
    /// A stack by cause, valid where touched; 0 for none.
    pub stacks: [u32; 32],
    /// Waits that only a stack explains.
    pub waits: [StackWait; MAX_STACK_WAITS],
}

impl TaskState {
    /// Whether the task is inside an operation, or a helper.
    #[inline(always)]
    pub fn active(&self) -> bool {
        self.start != 0
    }

    /// Adds time to a cause.
    #[inline(always)]
    pub fn add(&mut self, cause: Cause, ns: u64) {
        self.add_detailed(cause as u32, ns, VIA_NONE, 0);
    }

    /// Adds time to a cause, with what is known beside it.
    #[inline(always)]
    pub fn add_detailed(&mut self, cause: u32, ns: u64, via: u8, stack: u32) {
        let index = (cause & 31) as usize;
        let bit = 1u32 << index;
        // SAFETY: the index is below 32.
        unsafe {
            let total = self.ns.get_unchecked_mut(index);
            let via_of = self.via.get_unchecked_mut(index);
            let stack_of = self.stacks.get_unchecked_mut(index);
            if self.touched & bit == 0 {
                self.touched |= bit;
                *total = ns;
                *via_of = via;
                *stack_of = stack;
                return;
            }
            // The longer part decides what is told beside the sum.
            if ns > *total || *via_of == VIA_NONE {
                *via_of = via;
            }
            if stack != 0 && (ns > *total || *stack_of == 0) {
                *stack_of = stack;
            }
            *total += ns;
        }
    }

    /// Adds a wait that only its stack explains.
    #[inline(always)]
    pub fn add_stack_wait(&mut self, ns: u64, stack: u32, flags: u32) {
        for index in 0..MAX_STACK_WAITS {
            // SAFETY: the index is in range.
            let wait = unsafe { self.waits.get_unchecked_mut(index) };
            if index as u32 >= self.stack_waits {
                *wait = StackWait { ns, stack, flags };
                self.stack_waits = index as u32 + 1;
                self.touched |= 1 << CAUSE_STACK;
                return;
            }
            if wait.stack == stack && wait.flags == flags {
                wait.ns += ns;
                return;
            }
        }
        loss::count(Loss::StackWaits);
        self.waits[0].ns += ns;
    }

    /// The cause that the task's contexts give to its time, running or not.
    #[inline(always)]
    pub fn context_cause(&self) -> Option<Cause> {
        if let Some(cause) = context::cause(self.contexts) {
            return Some(cause);
        }
        match self.lock {
            0 | UNKNOWN_LOCK => None,
            lock if lock == Cause::InodeLock as u8 + 1 => Some(Cause::InodeLock),
            _ => Some(Cause::Freeze),
        }
    }

    /// Charges the stretch of running that ends `now`. Plain running is not kept: it is what remains.
    #[inline(always)]
    pub fn charge_running<S: Side>(&mut self, task: Ptr, now: u64) {
        let mut ran = now.saturating_sub(self.mark);
        self.mark = now;
        if ran >= LONG_RUN_NS {
            let (steal, irq) = clocks::<S>(task);
            if steal > self.steal {
                let stolen = (steal - self.steal).min(ran);
                ran -= stolen;
                self.add(Cause::Steal, stolen);
            }
            // The clock goes on at ticks and switches: in a shorter stretch, what it says may have been before.
            if irq > self.irq && ran >= u64::from(TICK_NS.load()) {
                let interrupted = (irq - self.irq).min(ran);
                ran -= interrupted;
                self.add(Cause::Irq, interrupted);
            }
            (self.steal, self.irq) = (steal, irq);
        }
        if let Some(cause) = self.context_cause() {
            self.add(cause, ran);
        }
    }

    /// Starts a stretch of running.
    #[inline(always)]
    pub fn begin_running<S: Side>(&mut self, task: Ptr, now: u64) {
        self.phase = phase::RUNNING;
        self.mark = now;
        (self.steal, self.irq) = clocks::<S>(task);
    }

    /// The cause that has most of what this task did since it began, where that is at least half of it. Locks are left
    /// out: whoever waits for this task waits for what it did once it had them.
    #[inline(always)]
    pub fn dominant(&self, now: u64) -> u8 {
        const LOCKS: u32 =
            1 << Cause::InodeLock as u32 | 1 << Cause::FsLock as u32 | 1 << Cause::KernelLock as u32;
        let mut since = now.saturating_sub(self.start);
        let mut best = VIA_NONE;
        let mut most = 0;
        for cause in 0..COUNTED as u32 {
            if self.touched & (1 << cause) == 0 {
                continue;
            }
            // SAFETY: the index is below 32.
            let ns = unsafe { *self.ns.get_unchecked(cause as usize & 31) };
            if LOCKS & (1 << cause) != 0 {
                since = since.saturating_sub(ns);
            } else if ns > most {
                most = ns;
                best = cause as u8;
            }
        }
        if most >= since / 2 { best } else { VIA_NONE }
    }
}
