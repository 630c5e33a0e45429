//! The answer in a sentence: which lock cost most, who waited, who held it, and what that task was doing.

use std::{collections::HashMap, time::Duration};

use super::{
    advice::{advice, phrase},
    record::{Doing, Lock, Owner, Task, Verdict},
};
use crate::output::units::{self, share};

/// From this share of the time on, waits add up to something, however short each is.
const NOTABLE: f64 = 0.05;
/// Whoever has less of a lock's time is not named.
const WORTH_A_NAME: f64 = 0.2;

/// Whether a lock is worth telling of.
pub(super) fn is_slow(lock: &Lock, lasted: Duration, slow: Duration) -> bool {
    let reaches = |ns: u64, time: Duration| u128::from(ns) >= time.as_nanos();
    lock.wait.count > 0
        && (reaches(lock.wait.p99_ns, slow) || reaches(lock.wait.sum_ns, lasted.mul_f64(NOTABLE)))
}

/// The verdict, where there is one.
pub(super) fn verdict(locks: &[Lock], lasted: Duration, slow: Duration) -> Option<Verdict> {
    let worst =
        locks.iter().filter(|lock| is_slow(lock, lasted, slow)).max_by_key(|lock| lock.wait.sum_ns)?;
    let all_ns = locks.iter().map(|lock| lock.wait.sum_ns).sum();
    let holder = holder(worst);
    Some(Verdict {
        kind: worst.kind,
        name: worst.name.clone(),
        address: worst.address.clone(),
        share: share(worst.wait.sum_ns, all_ns),
        statement: statement(worst, holder.as_ref()),
        advice: advice(&worst.name, holder.and_then(|holder| holder.doing)),
    })
}

/// Who held a lock for most of the time that was waited for it.
struct Holder<'a> {
    owner: &'a Owner,
    ns: u64,
    doing: Option<Doing>,
}

fn holder(lock: &Lock) -> Option<Holder<'_>> {
    let mut by_thread: HashMap<(Option<u32>, bool), Vec<&Owner>> = HashMap::new();
    for owner in lock.owners.iter().filter(|owner| owner.task.tasks.is_none()) {
        by_thread.entry((owner.tid, owner.reader)).or_default().push(owner);
    }
    let total = |owners: &[&Owner]| owners.iter().map(|owner| owner.ns).sum::<u64>();
    let most = by_thread.into_values().max_by_key(|owners| (total(owners), owners[0].tid))?;
    let longest = most.iter().copied().max_by_key(|owner| owner.ns)?;
    Some(Holder { owner: longest, ns: total(&most), doing: longest.state })
}

/// `writer[412]`; several tasks are told by their number.
pub(super) fn task(task: &Task, tid: Option<u32>) -> String {
    match (&task.comm, tid.or(task.pid)) {
        (Some(comm), Some(number)) => format!("{comm}[{number}]"),
        _ => task.tasks.map_or_else(|| "nobody known".to_owned(), |tasks| units::counted(tasks, "task")),
    }
}

/// `inode i_rwsem (rwsem-write)`
pub(super) fn title(lock: &Lock) -> String {
    format!("{} ({})", lock.name, lock.kind.0.name())
}

fn statement(lock: &Lock, holder: Option<&Holder<'_>>) -> String {
    let wait = &lock.wait;
    let mut said = format!(
        "{}: {} took {}, {} on average and {} at most",
        title(lock),
        units::counted(wait.count, "wait"),
        units::time(wait.sum_ns),
        units::time(wait.mean_ns),
        units::time(wait.max_ns),
    );
    let of_all = |ns| share(ns, wait.sum_ns);
    if let Some(waiter) = lock.waiters.first().filter(|waiter| of_all(waiter.ns) >= WORTH_A_NAME) {
        let share = units::percent(of_all(waiter.ns));
        said += &format!("; {share} of that was waited by {}", task(&waiter.task, None));
    }
    if let Some(holder) = holder.filter(|holder| of_all(holder.ns) >= WORTH_A_NAME) {
        let share = units::percent(of_all(holder.ns));
        said += &match (&holder.owner.task.comm, holder.owner.reader) {
            (None, true) => format!("; for {share} of it the lock was held by readers"),
            (None, false) => return said,
            (Some(_), reader) => {
                let whose = task(&holder.owner.task, holder.owner.tid);
                let how = if reader { " to read, the last of its readers" } else { "" };
                let doing = holder.doing.map_or("", phrase);
                format!("; for {share} of it {whose} held the lock{how}, mostly {doing} when the wait began")
            }
        };
    }
    said
}

/// What to say where there is no verdict.
pub(super) fn nothing_slow(locks: &[Lock], slow: Duration) -> String {
    let Some(longest) = locks.iter().max_by_key(|lock| lock.wait.max_ns) else {
        return "No wait for a kernel lock was seen: nothing to explain".to_owned();
    };
    format!(
        "Nothing is slow: even for {}, with the longest wait, p99 is {} and the longest {}, and no lock has waits that \
         add up to 5 % of the time; nothing to explain below {}",
        title(longest),
        units::time(longest.wait.p99_ns),
        units::time(longest.wait.max_ns),
        units::time(u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::lock::sample::{convoy, quiet};

    const SLOW: Duration = Duration::from_millis(1);
    const LASTED: Duration = Duration::from_secs(10);

    #[test]
    fn the_lock_that_cost_most_is_named_with_its_waiter_and_holder() {
        let verdict = verdict(&[quiet(), convoy()], LASTED, SLOW).unwrap();
        assert_eq!(
            verdict.statement,
            "inode i_rwsem (rwsem-write): 300 waits took 3.0 s, 10 ms on average and 12 ms at most; 80 % of that was \
             waited by writer[412]; for 90 % of it writer[415] held the lock, mostly blocked in I/O when the wait began"
        );
        assert!(verdict.share > 0.99 && verdict.advice.len() >= 2, "{verdict:?}");
    }

    #[test]
    fn short_waits_that_add_up_are_slow_and_others_are_not() {
        assert_eq!(verdict(&[quiet()], LASTED, SLOW), None);
        assert!(verdict(&[quiet()], LASTED, Duration::ZERO).is_some());
        assert!(verdict(&[quiet()], Duration::from_micros(10), SLOW).is_some());
        assert!(nothing_slow(&[quiet()], SLOW).starts_with("Nothing is slow: even for pipe mutex (mutex)"));
        assert!(nothing_slow(&[], SLOW).contains("No wait"));
    }
}
