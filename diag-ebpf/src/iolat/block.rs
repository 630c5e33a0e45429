//! How a wait for a block request is charged to an operation.

use diag_common::{cause::Cause, iolat::VIA_NONE};

use super::state::TaskState;
use crate::request::Completion;

/// Splits a wait from `since` to `until` by the request that ended it: at the device, queued, and before it was a
/// request at all. What lies after its completion stays for the caller, as the return value.
#[inline(always)]
pub fn split(state: &mut TaskState, request: &Completion, since: u64, until: u64, stack: u32) -> u64 {
    let done = request.done.min(until);
    let mut charge = |cause: Cause, from: u64, to: u64| {
        let from = from.max(since);
        if to > from {
            state.add_detailed(cause as u32, to - from, VIA_NONE, stack);
        }
    };
    let before = if request.limited != 0 { Cause::BlockThrottle } else { Cause::BlockWait };
    if request.issued == 0 {
        charge(Cause::BlockWait, since, done);
    } else {
        charge(Cause::Device, request.issued, done);
        charge(Cause::Queue, request.queued, request.issued.min(done));
        charge(before, since, request.queued.min(done));
    }
    until - done.max(since)
}
