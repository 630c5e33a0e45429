//! The target filter: one comparison for a task outside the target, before any other work.

use aya_ebpf::{Global, macros::map, maps::HashMap};
use diag_common::{
    cgroup::pair,
    loss::Loss,
    scope::{MAX_LEVELS, MAX_PROCESSES, NO_SECOND, Scope, UNIFIED},
};

use crate::{
    fields::{
        CGROUP_KN, CGROUP_LEVEL, CGROUP_SELF, CSS_CGROUP, CSS_PARENT, CSS_SET_DFL, CSS_SET_SUBSYS, KN_ID,
        SIGNAL_LIVE, TASK_CGROUPS, TASK_SIGNAL, TASK_TGID,
    },
    loss,
    side::{Ptr, Side},
    task as tasks,
};

/// [`Scope`].
#[unsafe(no_mangle)]
pub static SCOPE: Global<u32> = Global::new(0);
/// The target cgroup's id, which is its directory's inode number.
#[unsafe(no_mangle)]
pub static SCOPE_CGROUP: Global<u64> = Global::new(0);
/// How deep the target cgroup lies below its hierarchy's root.
#[unsafe(no_mangle)]
pub static SCOPE_LEVEL: Global<u32> = Global::new(0);
/// Index of a v1 controller in `css_set.subsys`, or [`UNIFIED`].
#[unsafe(no_mangle)]
pub static SCOPE_SUBSYS: Global<u32> = Global::new(UNIFIED);
/// The same of the hierarchy in which cgroups are named.
#[unsafe(no_mangle)]
pub static NAMES_SUBSYS: Global<u32> = Global::new(UNIFIED);
/// The same of another one, in which those tasks are named that the first does not tell apart; [`NO_SECOND`] where there is none.
#[unsafe(no_mangle)]
pub static NAMES_SECOND: Global<u32> = Global::new(NO_SECOND);
/// The first half of the wanted name.
#[unsafe(no_mangle)]
pub static SCOPE_COMM_LOW: Global<u64> = Global::new(0);
/// The second half of the wanted name.
#[unsafe(no_mangle)]
pub static SCOPE_COMM_HIGH: Global<u64> = Global::new(0);

#[map]
static SCOPE_PIDS: HashMap<u32, u8> = HashMap::with_max_entries(MAX_PROCESSES, 0);

/// Whether `task` is in the session's target.
#[inline(always)]
pub fn contains<S: Side>(task: Ptr) -> bool {
    let scope = SCOPE.load();
    if scope == Scope::Cgroup as u32 {
        return in_cgroup::<S>(task);
    }
    if scope == Scope::Processes as u32 {
        // SAFETY: a load from a task.
        let tgid: u32 = unsafe { S::read(task, TASK_TGID.load()) };
        return SCOPE_PIDS.get_ptr(tgid).is_some();
    }
    if scope == Scope::Comm as u32 {
        let [low, high] = tasks::comm::<S>(task);
        return low == SCOPE_COMM_LOW.load() && high == SCOPE_COMM_HIGH.load();
    }
    true
}

/// The cgroups of `task`.
#[inline(always)]
fn css_set<S: Side>(task: Ptr) -> Ptr {
    // SAFETY: a load from a task.
    unsafe { S::read(task, TASK_CGROUPS.load()) }
}

/// The one in a hierarchy.
#[inline(always)]
fn cgroup<S: Side>(set: Ptr, subsys: u32) -> Ptr {
    if set.is_null() {
        return set;
    }
    // SAFETY: typed pointers all the way: css_set, css, cgroup.
    unsafe {
        if subsys == UNIFIED {
            return S::read(set, CSS_SET_DFL.load());
        }
        let css: Ptr = S::read(set, CSS_SET_SUBSYS.load() + 8 * subsys);
        if css.is_null() {
            return css;
        }
        S::read(css, CSS_CGROUP.load())
    }
}

/// The id of a cgroup: of its kernfs node, which is its directory's inode number (kernel/cgroup/cgroup.c, 6.18).
#[inline(always)]
pub fn id<S: Side>(cgroup: Ptr) -> u64 {
    // SAFETY: typed pointers.
    unsafe {
        let node: Ptr = S::read(cgroup, CGROUP_KN.load());
        if node.is_null() {
            return 0;
        }
        S::read(node, KN_ID.load())
    }
}

/// How deep a cgroup lies below its hierarchy's root.
#[inline(always)]
pub fn level<S: Side>(cgroup: Ptr) -> u32 {
    // SAFETY: a typed pointer.
    unsafe { S::read(cgroup, CGROUP_LEVEL.load()) }
}

/// The id of the cgroup of `task` in the hierarchy in which cgroups are named; 0 where it has none. Of two hierarchies, both ids
/// as [`pair`] has them.
#[inline(always)]
pub fn cgroup_id<S: Side>(task: Ptr) -> u64 {
    let set = css_set::<S>(task);
    let first = id_in::<S>(set, NAMES_SUBSYS.load());
    let second = NAMES_SECOND.load();
    if second == NO_SECOND { first } else { pair(first, id_in::<S>(set, second)) }
}

#[inline(always)]
fn id_in<S: Side>(set: Ptr, subsys: u32) -> u64 {
    let cgroup = cgroup::<S>(set, subsys);
    if cgroup.is_null() { 0 } else { id::<S>(cgroup) }
}

/// Climbs from the task's cgroup to the target's level, and compares there.
#[inline(always)]
fn in_cgroup<S: Side>(task: Ptr) -> bool {
    let mut cgroup = cgroup::<S>(css_set::<S>(task), SCOPE_SUBSYS.load());
    for _ in 0..MAX_LEVELS {
        if cgroup.is_null() {
            return false;
        }
        // SAFETY: typed pointers: cgroup, its own css, the parent's css, the parent.
        unsafe {
            let level = level::<S>(cgroup);
            if level <= SCOPE_LEVEL.load() {
                return level == SCOPE_LEVEL.load() && id::<S>(cgroup) == SCOPE_CGROUP.load();
            }
            let parent: Ptr = S::read(cgroup, CGROUP_SELF.load() + CSS_PARENT.load());
            if parent.is_null() {
                return false;
            }
            cgroup = S::read(parent, CSS_CGROUP.load());
        }
    }
    false
}

/// Lets the child of a followed process be followed too.
#[inline(always)]
pub fn forked<S: Side>(parent: Ptr, child: Ptr) {
    if SCOPE.load() != Scope::Processes as u32 {
        return;
    }
    // SAFETY: loads from tasks.
    let (from, to): (u32, u32) =
        unsafe { (S::read(parent, TASK_TGID.load()), S::read(child, TASK_TGID.load())) };
    if from != to && SCOPE_PIDS.get_ptr(from).is_some() && SCOPE_PIDS.insert(to, 1, 0).is_err() {
        loss::count(Loss::Processes);
    }
}

/// Forgets a followed process when its last thread is gone.
#[inline(always)]
pub fn exited<S: Side>(task: Ptr) {
    if SCOPE.load() != Scope::Processes as u32 {
        return;
    }
    // SAFETY: typed pointers: task, signal_struct. `live` is already decremented (kernel/exit.c, do_exit, 6.18).
    unsafe {
        let signal: Ptr = S::read(task, TASK_SIGNAL.load());
        if !signal.is_null() && S::read::<u32>(signal, SIGNAL_LIVE.load()) == 0 {
            let _ = SCOPE_PIDS.remove(S::read::<u32>(task, TASK_TGID.load()));
        }
    }
}
