//! Which layer and cause the waits for a lock belong to, by the lock's name: a table.

use diag_common::cause::Cause;

use super::record::Doing;

/// Locks of other layers, as `iolat` classifies waits for them (kernel/waits.rs); all others are `lock.kernel`.
const CAUSES: &[(Cause, &[&str])] = &[
    (Cause::MmapLock, &["mmap_lock"]),
    (Cause::InodeLock, &["inode i_rwsem"]),
    (Cause::Freeze, &["super block freeze"]),
    (Cause::Journal, &["jbd2 j_checkpoint_mutex", "jbd2 j_state_lock", "jbd2 j_barrier", "jbd2 list lock"]),
    (
        Cause::FsLock,
        &[
            "file f_pos_lock",
            "ext4 orphan lock",
            "ext4 mutex",
            "ext4 i_data_sem",
            "ext4 xattr_sem",
            "ext4 alloc_sem",
            "ext4 s_writepages_rwsem",
            "ext4 extent status",
            "ext4 group lock",
            "inode invalidate_lock",
            "xfs mutex",
            "xfs buffer",
            "xfs lock",
            "btrfs mutex",
            "btrfs lock",
            "s_umount",
        ],
    ),
];

/// What a wait for a lock of this name is.
pub(super) fn cause(name: Option<&str>) -> Cause {
    let named = |name: &str| CAUSES.iter().find(|(_, names)| names.contains(&name)).map(|&(cause, _)| cause);
    name.and_then(named).unwrap_or(Cause::KernelLock)
}

/// What the owner of a lock was itself waiting for; none where its state alone does not say.
pub(super) fn via(doing: Doing) -> Option<Cause> {
    match doing {
        Doing::Running => Some(Cause::Run),
        Doing::Runnable => Some(Cause::Runqueue),
        Doing::BlockedIo => Some(Cause::BlockWait),
        Doing::Reclaim => Some(Cause::Reclaim),
        Doing::Blocked | Doing::HandedOver => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::lock::names::RULES;

    #[test]
    fn causes_are_of_locks_that_have_a_name() {
        for name in CAUSES.iter().flat_map(|(_, names)| *names) {
            assert!(RULES.iter().any(|rule| rule.name == *name), "{name}");
        }
    }

    #[test]
    fn the_layer_follows_from_the_name() {
        for (name, path) in [
            (Some("mmap_lock"), "lock.mmap"),
            (Some("inode i_rwsem"), "filesystem.inode-lock"),
            (Some("ext4 i_data_sem"), "filesystem.lock"),
            (Some("super block freeze"), "filesystem.freeze"),
            (Some("run queue"), "lock.kernel"),
            (None, "lock.kernel"),
        ] {
            assert_eq!(cause(name).path(), path, "{name:?}");
        }
    }
}
