//! Environment variables by which tests bring about what a kernel refuses or lacks.

use std::env;

/// Forces a kind of hooks, for tests that compare the two: `btf` or `raw`.
pub(super) const HOOKS_VARIABLE: &str = "OSDIAG_HOOKS";
/// Names, separated by commas, of what is to be taken for missing: probes, [`MEMBARRIER`], [`TASK_STORAGE`], [`SOME_WAKEUPS`].
pub(super) const WITHOUT_VARIABLE: &str = "OSDIAG_WITHOUT";

/// The system call that waits for running programs.
pub(super) const MEMBARRIER: &str = "membarrier";
/// Storage for each task.
pub(super) const TASK_STORAGE: &str = "task-storage";
/// The ends of some sleeps in the account of `osdiag delays`: of one in [`FORGET_ONE_OF`].
pub(super) const SOME_WAKEUPS: &str = "some-wakeups";
/// The global of that name, where it is not 0.
pub(super) const FORGET_ONE_OF: u32 = 1000;

/// The kind of hooks that is forced.
pub(super) fn hooks() -> Option<String> {
    env::var(HOOKS_VARIABLE).ok()
}

/// Why `name` is to be taken for missing, if it is.
pub(super) fn without(name: &str) -> Option<String> {
    let names = env::var(WITHOUT_VARIABLE).ok()?;
    names.split(',').any(|missing| missing == name).then(|| format!("{WITHOUT_VARIABLE} leaves it out"))
}
