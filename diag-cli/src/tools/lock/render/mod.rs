//! What `osdiag lock` shows on a terminal: a block each interval, and the summary, which ends with the verdict.

mod interval;
mod lock;
mod spectrum;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::Duration;

use super::{Report, record::Lock, verdict::is_slow};
use crate::output::{bar, page::Page, units};

pub(super) use self::{interval::interval, verdict::verdict};

/// How a report is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// From which p99 on a lock is slow (`--slow`).
    pub(crate) slow: Duration,
    /// Locks to show.
    pub(crate) top: usize,
}

impl Options {
    fn is_slow(&self, lock: &Lock, duration_ns: u64) -> bool {
        is_slow(lock, Duration::from_nanos(duration_ns), self.slow)
    }
}

/// The whole session.
pub(super) fn summary(page: &mut Page, options: &Options, report: &Report) {
    let envelope = &report.record.envelope;
    let locks = &report.record.body.locks;
    let (waits, ns) = total(locks);
    let words = format!(
        "{} for kernel locks of {} in {}, {} together",
        units::counted(waits, "wait"),
        envelope.target,
        units::time(envelope.duration_ns),
        units::time(ns),
    );
    page.gap();
    page.wrapped(bar::STRONG, "", &words);
    for (at, lock) in locks.iter().enumerate().take(options.top) {
        lock::heading(page, lock);
        if at == 0 || options.is_slow(lock, envelope.duration_ns) {
            if let Some(bins) = report.picture.get(at) {
                spectrum::draw(page, bins);
            }
            lock::tree(page, lock);
        } else {
            lock::brief(page, lock);
        }
    }
    let rest = locks.get(options.top..).unwrap_or_default();
    if !rest.is_empty() {
        let (waits, ns) = total(rest);
        let many: u64 = rest.iter().map(|lock| lock.lock_count.unwrap_or(1)).sum();
        let words = format!(
            "and {many} more, of less time: {}, {} together; --json has them",
            units::counted(waits, "wait"),
            units::time(ns)
        );
        page.gap();
        page.wrapped(bar::FAINT, "", &words);
    }
}

fn total(locks: &[Lock]) -> (u64, u64) {
    locks.iter().fold((0, 0), |(waits, ns), lock| (waits + lock.wait.count, ns + lock.wait.sum_ns))
}
