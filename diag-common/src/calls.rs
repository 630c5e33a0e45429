//! Calls of kernel functions, which the toolchain cannot express: a stand-in in the object, the real one once loaded.

/// Helper number that stands for a call of `bpf_rdonly_cast`. No kernel has such a helper; where the loader does not
/// replace it, the branch must be dead.
pub const RDONLY_CAST_CALL: i32 = 0x6f73_6361;

/// The same for `bpf_preempt_disable`.
pub const PREEMPT_DISABLE_CALL: i32 = 0x6f73_7064;

/// The same for `bpf_preempt_enable`.
pub const PREEMPT_ENABLE_CALL: i32 = 0x6f73_7065;

/// The same for `bpf_task_from_pid`.
pub const TASK_FROM_PID_CALL: i32 = 0x6f73_7466;

/// The same for `bpf_task_release`.
pub const TASK_RELEASE_CALL: i32 = 0x6f73_7472;
