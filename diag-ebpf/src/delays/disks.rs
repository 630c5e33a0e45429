//! For whom a disk worked: what a group that waited for it waited for.

use diag_common::delays::{phase, table};

use super::{cells, group, pieces::Tasks};
use crate::{
    epoch,
    fields::{BIO_BLKG, BLKCG_CSS, BLKG_BLKCG, CSS_CGROUP, REQUEST_BIO, present},
    request, scope,
    side::{Ptr, Side},
    task::PF_KTHREAD,
};

/// `block_rq_issue(struct request *rq)`: runs for the task that submits it, if that has not been left to a worker of the kernel.
#[inline(always)]
pub fn issue<S: Tasks>(request: Ptr) {
    request::issue(request as u64, u64::from(submitter::<S>(request)));
}

/// `block_rq_complete(struct request *rq, blk_status_t error, unsigned int nr_bytes)`
#[inline(always)]
pub fn complete<S: Side>(request: Ptr) {
    let submitter = request::submitter(request as u64) as u32;
    let Some(done) = request::complete::<S>(request) else { return };
    if submitter != 0
        && done.issued != 0
        && let Some(parity) = epoch::parity()
    {
        cells::between(parity, table::SERVED, submitter, done.disk(), done.done.saturating_sub(done.issued));
    }
}

/// The number of the group that a request is for: that of the current thread; where it is the kernel's, that of the cgroup for which
/// the kernel writes back, if that is known.
#[inline(never)]
fn submitter<S: Tasks>(request: Ptr) -> u32 {
    let task = S::current();
    if group::flags::<S>(task) & PF_KTHREAD != 0
        && let Some(cgroup) = owner::<S>(request)
    {
        return group::number_of_cgroup(cgroup, group::IN_BLOCK);
    }
    match S::state(task) {
        Some(thread) if thread.phase != phase::OUTSIDE && thread.who != 0 => thread.who,
        _ => group::number_of::<S>(task, group::IN_BLOCK),
    }
}

/// The cgroup that pays for a request, by its first bio, where groups are cgroups and all of cgroup v2; none for the root, which pays for what
/// has no owner.
#[inline(always)]
fn owner<S: Side>(request: Ptr) -> Option<u64> {
    if group::OWNED.load() == 0 || !present(&BIO_BLKG) || !present(&BLKG_BLKCG) {
        return None;
    }
    // SAFETY: typed pointers all the way: request, bio, blkcg_gq, blkcg and its css, cgroup.
    unsafe {
        let bio: Ptr = S::read(request, REQUEST_BIO.load());
        if bio.is_null() {
            return None;
        }
        let blkg: Ptr = S::read(bio, BIO_BLKG.load());
        if blkg.is_null() {
            return None;
        }
        let blkcg: Ptr = S::read(blkg, BLKG_BLKCG.load());
        if blkcg.is_null() {
            return None;
        }
        let cgroup: Ptr = S::read(blkcg, BLKCG_CSS.load() + CSS_CGROUP.load());
        if cgroup.is_null() || scope::level::<S>(cgroup) == 0 {
            return None;
        }
        Some(scope::id::<S>(cgroup))
    }
}
