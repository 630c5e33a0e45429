//! Which group a thread is counted in, and that it is there at all.

use aya_ebpf::{Global, bindings::BPF_NOEXIST, macros::map, maps::HashMap};
use diag_common::{
    delays::{GroupBy, KERNEL_THREADS, Thread, phase, place, what},
    who::Who,
};

use super::cells::{Count, REST};
use crate::{
    fields::{TASK_FLAGS, TASK_LEADER, TASK_START, TASK_TGID, present},
    memory::store,
    scope,
    side::{Ptr, Side},
    task::{self as tasks, PF_KTHREAD},
    who,
};

/// [`GroupBy`].
#[unsafe(no_mangle)]
pub static GROUP_BY: Global<u32> = Global::new(GroupBy::Cgroup as u32);

/// Not 0 where groups are cgroups of v2, which own what the kernel writes back for them.
#[unsafe(no_mangle)]
pub static OWNED: Global<u32> = Global::new(0);

/// When groups that are processes or threads started, ns since boot, by their numbers. Sized by the loader.
#[map]
static STARTS: HashMap<u32, u64> = HashMap::with_max_entries(1, 0);

const THERE: u32 = what::time(what::THREADS, place::NONE);
const CAME: u32 = what::of_kind(THERE, what::WAITS);

/// The flags of a task.
#[inline(always)]
pub fn flags<S: Side>(task: Ptr) -> u32 {
    // SAFETY: a load from a task.
    unsafe { S::read(task, TASK_FLAGS.load()) }
}

/// Programs that can interrupt each other have a lane each (see [`who::number`]).
pub const IN_SCHEDULER: u32 = 0;
/// Of programs that can be interrupted.
pub const IN_TASK: u32 = 1;
/// Of those on block requests, which come in soft interrupts as well.
pub const IN_BLOCK: u32 = 2;

/// Whether what a thread's group depends on is still as it was.
#[inline(always)]
fn is_same<S: Side>(thread: &Thread, task: Ptr) -> bool {
    let by = GROUP_BY.load();
    if by == GroupBy::Cgroup as u32 {
        return thread.css == tasks::css::<S>(task);
    }
    let comm = tasks::comm::<S>(task);
    thread.comm[0] == comm[0] && thread.comm[1] == comm[1]
}

/// The number of a thread's group.
#[inline(never)]
fn number<S: Side>(thread: &mut Thread, task: Ptr, lane: u32) -> u32 {
    let comm = tasks::comm::<S>(task);
    store(&mut thread.comm[0], comm[0]);
    store(&mut thread.comm[1], comm[1]);
    store(&mut thread.css, tasks::css::<S>(task));
    numbered::<S>(task, comm, lane)
}

/// The number of the group of a thread that is not counted.
#[inline(never)]
pub fn number_of<S: Side>(task: Ptr, lane: u32) -> u32 {
    numbered::<S>(task, tasks::comm::<S>(task), lane)
}

/// The number of a task's group. Of a process or thread it is kept since when it is there.
#[inline(always)]
fn numbered<S: Side>(task: Ptr, comm: [u64; 2], lane: u32) -> u32 {
    let number = who::number(&who::<S>(task, comm), lane);
    let by = GROUP_BY.load();
    if number != 0
        && (by == GroupBy::Process as u32 || by == GroupBy::Thread as u32)
        && present(&TASK_START)
        && STARTS.get_ptr(number).is_none()
    {
        // SAFETY: loads from a task, and from its process's first thread.
        let start: u64 = unsafe {
            let leader: Ptr = S::read(task, TASK_LEADER.load());
            let of = if by == GroupBy::Process as u32 && !leader.is_null() { leader } else { task };
            S::read(of, TASK_START.load())
        };
        let _ = STARTS.insert(number, start, BPF_NOEXIST as u64);
    }
    number
}

/// The number of a cgroup.
#[inline(always)]
pub fn number_of_cgroup(cgroup: u64, lane: u32) -> u32 {
    who::number(&Who { comm: [0, 0], cgroup, tgid: 0, tid: 0 }, lane)
}

#[inline(always)]
fn who<S: Side>(task: Ptr, comm: [u64; 2]) -> Who {
    let by = GROUP_BY.load();
    let mut who = Who { comm: [0, 0], cgroup: 0, tgid: 0, tid: 0 };
    if by == GroupBy::Cgroup as u32 {
        who.cgroup =
            if flags::<S>(task) & PF_KTHREAD != 0 { KERNEL_THREADS } else { scope::cgroup_id::<S>(task) };
        return who;
    }
    who.comm = comm;
    if by != GroupBy::Comm as u32 {
        // SAFETY: loads from a task, and from its process's first thread.
        unsafe {
            who.tgid = S::read(task, TASK_TGID.load());
            if by == GroupBy::Process as u32 {
                let leader: Ptr = S::read(task, TASK_LEADER.load());
                if !leader.is_null() {
                    who.comm = tasks::comm::<S>(leader);
                }
            } else {
                who.tid = tasks::pid::<S>(task);
            }
        }
    }
    who
}

/// Brings a thread's group up to date, at a moment at which it is in no piece.
#[inline(always)]
pub fn refresh<S: Side>(counter: &mut impl Count, thread: &mut Thread, task: Ptr, now: u64, lane: u32) {
    if is_same::<S>(thread, task) {
        return;
    }
    let before = thread.who;
    if before == REST && counter.is_full() {
        return;
    }
    let number = number::<S>(thread, task, lane);
    if number != before {
        counter.add(before, THERE, u64::MAX, now);
        thread.who = number;
        come(counter, thread, now);
    }
}

/// A thread begins to be counted.
#[inline(always)]
pub fn begin<S: Side>(counter: &mut impl Count, thread: &mut Thread, task: Ptr, now: u64, lane: u32) {
    thread.who = number::<S>(thread, task, lane);
    come(counter, thread, now);
}

#[inline(always)]
fn come(counter: &mut impl Count, thread: &mut Thread, now: u64) {
    if !counter.offer(thread.who, THERE, 1, 0u64.wrapping_sub(now)) {
        to_rest(thread);
        counter.add(REST, THERE, 1, 0u64.wrapping_sub(now));
    }
    counter.add(thread.who, CAME, 1, 0);
}

/// A thread, in no piece, goes over to the rest, since there is no room for what it does.
#[inline(never)]
pub fn yield_room(counter: &mut impl Count, thread: &mut Thread, now: u64) {
    counter.add(thread.who, THERE, u64::MAX, now);
    to_rest(thread);
    counter.add(REST, THERE, 1, 0u64.wrapping_sub(now));
    counter.add(REST, CAME, 1, 0);
}

/// As if it had been elsewhere before: when it is next brought up to date, it gets its group again.
#[inline(always)]
fn to_rest(thread: &mut Thread) {
    store(&mut thread.who, REST);
    store(&mut thread.css, 0);
    store(&mut thread.comm[0], 0);
    store(&mut thread.comm[1], 0);
}

/// It ends, or leaves the target.
#[inline(always)]
pub fn end(counter: &mut impl Count, thread: &mut Thread, now: u64) {
    counter.add(thread.who, THERE, u64::MAX, now);
    store(&mut thread.phase, phase::OUTSIDE);
}
