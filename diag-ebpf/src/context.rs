//! What a task is in when it runs or sleeps, as bits: one order of precedence for all tools.

use diag_common::cause::Cause;

/// Direct or node reclaim.
pub const RECLAIM: u32 = 1;
/// Reclaim for a memory cgroup's limit.
pub const MEMCG_RECLAIM: u32 = 2;
/// Direct compaction.
pub const COMPACTION: u32 = 4;
/// A pause in `balance_dirty_pages`.
pub const DIRTY_THROTTLE: u32 = 8;

/// The cause of what is done in these contexts; the innermost root wins.
#[inline(always)]
pub fn cause(contexts: u32) -> Option<Cause> {
    if contexts == 0 {
        None
    } else if contexts & DIRTY_THROTTLE != 0 {
        Some(Cause::DirtyThrottle)
    } else if contexts & MEMCG_RECLAIM != 0 {
        Some(Cause::MemcgReclaim)
    } else if contexts & COMPACTION != 0 {
        Some(Cause::Compaction)
    } else {
        Some(Cause::Reclaim)
    }
}
