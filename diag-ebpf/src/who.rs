//! Tasks as numbers: who they are is kept once, by all tools that count by task or by group.
//!
//! A number follows from whom it stands for. The user side takes numbers out of the table that nothing was counted under in an
//! epoch, so a number that was looked up is good in the same epoch: after that, it has to be looked up again to be counted under,
//! unless the user side knows that it is in use.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
};
use diag_common::{loss::Loss, who::Who};

use crate::{
    epoch,
    fields::TASK_TGID,
    loss,
    memory::add_u64,
    scope,
    side::{Ptr, Side},
    task as tasks,
};

/// By number. The loader makes room for more where there are many threads.
#[map]
static TASKS_BY_NUMBER: HashMap<u32, Who> = HashMap::with_max_entries(16384, 0);

/// How many were ever entered, by which the user side sees that the table fills.
#[map]
static NUMBERS_MADE: Array<u64> = Array::with_max_entries(1, 0);

/// Programs that can interrupt each other keep apart what they remember.
pub const LANES: u32 = 3;
const REMEMBERED: u32 = 32;

/// What a CPU has looked up lately.
#[repr(C)]
struct Remembered {
    who: Who,
    number: u32,
    /// In which it was looked up.
    epoch: u32,
}

#[map]
static WHO_LATELY: PerCpuArray<Remembered> = PerCpuArray::with_max_entries(LANES * REMEMBERED, 0);

/// Numbers to try where one is taken by somebody else.
const TRIES: u32 = 4;

/// Whether a number stands for a process or for one of its threads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// All threads of the process that have one name.
    Process,
    /// The thread alone.
    Thread,
}

/// Who `task` is.
#[inline(always)]
pub fn of<S: Side>(task: Ptr, whole: As) -> Who {
    Who {
        comm: tasks::comm::<S>(task),
        cgroup: scope::cgroup_id::<S>(task),
        // SAFETY: a load from a task.
        tgid: unsafe { S::read(task, TASK_TGID.load()) },
        tid: if whole == As::Thread { tasks::pid::<S>(task) } else { 0 },
    }
}

/// The number of `who`; 0 where there are too many. `lane` is below [`LANES`].
#[inline(always)]
pub fn number(who: &Who, lane: u32) -> u32 {
    let first = who.number();
    let Some(epoch) = epoch::number() else { return 0 };
    let Some(lately) = WHO_LATELY.get_ptr_mut(lane * REMEMBERED + (first >> 8) % REMEMBERED) else {
        return 0;
    };
    // SAFETY: this CPU's, and no program interrupts another one of its lane.
    let lately = unsafe { &mut *lately };
    if lately.number != 0 && lately.epoch == epoch && same(&lately.who, who) {
        return lately.number;
    }
    let number = looked_up(who, first);
    lately.number = 0;
    lately.who = *who;
    lately.epoch = epoch;
    lately.number = number;
    number
}

/// The same where it is not asked for again and again.
#[inline(always)]
pub fn number_once(who: &Who) -> u32 {
    looked_up(who, who.number())
}

/// Looks `who` up, or enters it.
#[inline(never)]
fn looked_up(who: &Who, first: u32) -> u32 {
    let mut number = first;
    for _ in 0..TRIES {
        // A lost race means that another CPU entered somebody.
        if TASKS_BY_NUMBER.get_ptr(number).is_none()
            && TASKS_BY_NUMBER.insert(number, who, BPF_NOEXIST as u64).is_ok()
        {
            if let Some(made) = NUMBERS_MADE.get_ptr_mut(0) {
                // SAFETY: an aligned map value.
                unsafe { add_u64(made, 1) };
            }
            return number;
        }
        let Some(known) = TASKS_BY_NUMBER.get_ptr(number) else { break };
        // SAFETY: entries are preallocated: one that is removed meanwhile holds somebody, too.
        if same(unsafe { &*known }, who) {
            return number;
        }
        number = number.wrapping_add(2);
    }
    loss::count(Loss::Identities);
    0
}

/// Word by word: left to itself, the compiler compares bytes.
#[inline(always)]
fn same(one: &Who, other: &Who) -> bool {
    let differ = (one.comm[0] ^ other.comm[0])
        | (one.comm[1] ^ other.comm[1])
        | (one.cgroup ^ other.cgroup)
        | ((one.tgid ^ other.tgid) | (one.tid ^ other.tid)) as u64;
    differ == 0
}
