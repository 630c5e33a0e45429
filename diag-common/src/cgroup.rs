//! Cgroups that are made while a session traces: the kernel side sends their names, since one may be gone before it is asked for.

/// Bytes of a path at most, with its zero. The kernel allows more; a longer one is counted and not sent.
pub const PATH_BYTES: usize = 1024;

/// A cgroup that was made.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Made {
    /// Its id: the inode number of its directory.
    pub id: u64,
    /// The number of its hierarchy, as `/proc/PID/cgroup` has it; 0 is the unified one.
    pub hierarchy: u32,
    /// Bytes of `path`, without its zero.
    pub length: u32,
    /// Its path from the hierarchy's root.
    pub path: [u8; PATH_BYTES],
}

#[cfg(feature = "user")]
// SAFETY: plain integers and bytes without padding.
unsafe impl aya::Pod for Made {}
