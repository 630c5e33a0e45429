//! The target filter: which tasks a session looks at. Shared by every tool.

/// How the kernel side decides whether a task is in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Scope {
    /// Every task.
    System = 0,
    /// Tasks in one cgroup or below it; see the globals `SCOPE_CGROUP`, `SCOPE_LEVEL`, `SCOPE_SUBSYS`.
    Cgroup = 1,
    /// Tasks whose process is in the map `SCOPE_PIDS`; children join it when they are forked.
    Processes = 2,
    /// Tasks with one name; see the globals `SCOPE_COMM_LOW` and `SCOPE_COMM_HIGH`.
    Comm = 3,
}

/// `SCOPE_SUBSYS` and `NAMES_SUBSYS` for the unified (v2) hierarchy.
pub const UNIFIED: u32 = u32::MAX;

/// `NAMES_SECOND` where cgroups are named in one hierarchy.
pub const NO_SECOND: u32 = u32::MAX - 1;

/// The most cgroup levels that the filter climbs from a task to the target.
pub const MAX_LEVELS: u32 = 32;

/// The most processes that a session can follow.
pub const MAX_PROCESSES: u32 = 8192;
