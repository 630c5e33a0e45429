//! What `osdiag runq` shows on a terminal: a block each interval, and the summary, which ends with the verdict, so that
//! it is what stands above the prompt.

mod cpus;
mod group;
mod interval;
mod spectrum;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::Duration;

use super::{Report, record::Group};
use crate::output::{bar, page::Page, record::parties::GroupType, units};

pub(super) use self::{interval::interval, verdict::verdict};

/// Groups with a picture at most.
const PICTURES: usize = 3;
/// Groups with a line at most.
const LINES: usize = 8;

/// Whether a group has waits that are slow, or is held by a quota.
fn is_slow(group: &Group, slow: Duration) -> bool {
    u128::from(group.delay.max_ns.unwrap_or(0).max(group.throttled_ns)) >= slow.as_nanos()
}

/// The whole session.
pub(super) fn summary(page: &mut Page, slow: Duration, report: &Report) {
    let envelope = &report.record.envelope;
    let body = &report.record.body;
    let waits: u64 = body.groups.iter().map(|group| group.delay.count).sum();
    let waited: u64 = body.groups.iter().map(|group| group.delay.sum_ns).sum();
    let words = format!(
        "{} for a CPU of {} in {}, {} together",
        units::counted(waits, "wait"),
        envelope.target,
        units::time(envelope.duration_ns),
        units::time(waited)
    );
    page.gap();
    page.wrapped(bar::STRONG, "", &words);

    let named = body.groups.iter().filter(|group| group.group.kind != GroupType::Rest).count();
    for (at, group) in body.groups.iter().take(LINES.min(named)).enumerate() {
        let whole = at < PICTURES && (at == 0 || is_slow(group, slow));
        group::heading(page, group, envelope.duration_ns);
        if whole {
            if let Some(facts) = report.picture.get(at) {
                spectrum::draw(page, &facts.spectrum);
            }
            group::culprits(page, group);
        } else {
            group::brief(page, group);
        }
    }
    group::left_out(page, body.groups.iter().skip(LINES.min(named)), body.groups_omitted);
    cpus::draw(page, &body.cpu_times);
}
