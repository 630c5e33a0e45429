//! The answer in a sentence: which lock cost most, who waited, who held it, and what that task was doing.

use std::{collections::HashMap, time::Duration};

use super::{
    advice::{advice, phrase},
    causes::{cause, via},
    record::{Doing, Lock, LockType, Owner, Waiter},
};
use crate::output::{
    record::{
        cause::{CauseWord, LayerWord, Via},
        parties::Task,
        verdict::{Status, Subject, SubjectType, Verdict},
    },
    units::{self, share},
};

/// From this share of the time on, waits add up to something, however short each is.
const NOTABLE: f64 = 0.05;
/// Whoever has less of a lock's time is not named.
const WORTH_A_NAME: f64 = 0.2;

/// Whether a lock is slow enough for a verdict.
pub(super) fn is_slow(lock: &Lock, lasted: Duration, slow: Duration) -> bool {
    let reaches = |ns: u64, time: Duration| u128::from(ns) >= time.as_nanos();
    lock.wait.p99_ns.is_some_and(|p99_ns| reaches(p99_ns, slow))
        || lock.wait.count > 0 && reaches(lock.wait.sum_ns, lasted.mul_f64(NOTABLE))
}

/// The verdict on `locks`. `stuck` waits have not ended.
pub(super) fn verdict(locks: &[Lock], lasted: Duration, slow: Duration, stuck: usize) -> Verdict {
    found(locks, lasted, slow).unwrap_or_else(|| {
        Verdict::nothing(match stuck {
            0 => nothing_slow(locks, slow),
            _ => "Nothing is slow of what ended; what did not end is the trouble".to_owned(),
        })
    })
}

fn found(locks: &[Lock], lasted: Duration, slow: Duration) -> Option<Verdict> {
    let worst =
        locks.iter().filter(|lock| is_slow(lock, lasted, slow)).max_by_key(|lock| lock.wait.sum_ns)?;
    let all_ns = locks.iter().map(|lock| lock.wait.sum_ns).sum();
    let holder = holder(worst).filter(|holder| share(holder.ns, worst.wait.sum_ns) >= WORTH_A_NAME);
    let doing = holder.as_ref().and_then(|holder| holder.doing);
    let thread = holder.as_ref().and_then(|holder| holder.owner.task.as_ref()?.tid);
    let cause = cause(worst.name.as_deref());
    Some(Verdict {
        status: Status::Found,
        statement: statement(worst, holder.as_ref()),
        subject: Some(Subject::named(SubjectType::Lock, title(worst))),
        layer: Some(LayerWord(cause.layer())),
        cause: Some(CauseWord(cause)),
        via: doing.and_then(via).map(Via),
        share: Some(share(worst.wait.sum_ns, all_ns)),
        ns: Some(worst.wait.sum_ns),
        advice: Some(advice(worst.name.as_deref(), doing, thread)),
    })
}

/// Who held a lock for most of the time that was waited for it.
struct Holder<'a> {
    owner: &'a Owner,
    ns: u64,
    doing: Option<Doing>,
}

fn holder(lock: &Lock) -> Option<Holder<'_>> {
    let mut by_thread: HashMap<(Option<&Task>, bool), Vec<&Owner>> = HashMap::new();
    for owner in lock.owners.iter().filter(|owner| owner.task.is_some() || owner.reader) {
        by_thread.entry((owner.task.as_ref(), owner.reader)).or_default().push(owner);
    }
    let total = |owners: &[&Owner]| owners.iter().map(|owner| owner.ns).sum::<u64>();
    let thread = |owners: &[&Owner]| owners[0].task.as_ref().and_then(|task| task.tid);
    let most = by_thread.into_values().max_by_key(|owners| (total(owners), thread(owners)))?;
    let longest = most.iter().copied().max_by_key(|owner| owner.ns)?;
    Some(Holder { owner: longest, ns: total(&most), doing: longest.state })
}

/// `writer[412]`, or how many they are.
pub(super) fn waiter(waiter: &Waiter) -> String {
    waiter.task.as_ref().map_or_else(|| units::counted(waiter.task_count, "task"), Task::label)
}

/// `writer[415]`, or how many they are.
pub(super) fn owner(owner: &Owner) -> String {
    match (&owner.task, owner.task_count) {
        (Some(task), _) => task.label(),
        (None, Some(many)) => units::counted(many, "task"),
        (None, None) => "nobody known".to_owned(),
    }
}

/// `inode i_rwsem (rwsem-write)`
pub(super) fn title(lock: &Lock) -> String {
    named(lock.name.as_deref(), lock.lock_type)
}

/// The same of a lock's parts.
pub(super) fn named(name: Option<&str>, lock_type: LockType) -> String {
    format!("{} ({})", name.unwrap_or("unnamed"), lock_type.0.name())
}

fn statement(lock: &Lock, holder: Option<&Holder<'_>>) -> String {
    let wait = &lock.wait;
    let mut said = format!(
        "{}: {} took {}, {} on average and {} at most",
        title(lock),
        units::counted(wait.count, "wait"),
        units::time(wait.sum_ns),
        units::time_or_dash(wait.mean_ns),
        units::time_or_dash(wait.max_ns),
    );
    let of_all = |ns| share(ns, wait.sum_ns);
    if let Some(first) = lock.waiters.first().filter(|first| of_all(first.ns) >= WORTH_A_NAME) {
        let share = units::percent(of_all(first.ns));
        said += &format!("; {share} of that was waited by {}", waiter(first));
    }
    let Some(holder) = holder else { return said };
    let share = units::percent(of_all(holder.ns));
    if holder.owner.task.is_none() {
        return said + &format!("; for {share} of it the lock was held by readers");
    }
    let whose = owner(holder.owner);
    let how = if holder.owner.reader { " to read, the last of its readers" } else { "" };
    let doing = holder.doing.map_or("", phrase);
    said + &format!("; for {share} of it {whose} held the lock{how}, mostly {doing} when looked at")
}

/// What to say where there is no verdict.
fn nothing_slow(locks: &[Lock], slow: Duration) -> String {
    let Some(longest) = locks.iter().max_by_key(|lock| lock.wait.max_ns) else {
        return "No wait for a kernel lock was seen: nothing to explain".to_owned();
    };
    format!(
        "Nothing is slow: even for {}, with the longest wait, p99 is {} and the longest {}, and no lock has waits that \
         add up to 5 % of the time; nothing to explain below {}",
        title(longest),
        units::time_or_dash(longest.wait.p99_ns),
        units::time_or_dash(longest.wait.max_ns),
        units::time(u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX)),
    )
}

#[cfg(test)]
mod tests {
    use diag_common::cause::{Cause, Layer};

    use super::*;
    use crate::tools::lock::sample::{convoy, quiet};

    fn verdict(locks: &[Lock], lasted: Duration, slow: Duration) -> Verdict {
        super::verdict(locks, lasted, slow, 0)
    }

    const SLOW: Duration = Duration::from_millis(1);
    const LASTED: Duration = Duration::from_secs(10);

    #[test]
    fn the_lock_that_cost_most_is_named_with_its_waiter_and_holder() {
        let verdict = verdict(&[quiet(), convoy()], LASTED, SLOW);
        assert_eq!(
            verdict.statement,
            "inode i_rwsem (rwsem-write): 300 waits took 3.0 s, 10 ms on average and 12 ms at most; 80 % of that was \
             waited by writer[412]; for 90 % of it writer[415] held the lock, mostly blocked in I/O when looked at"
        );
        assert!(verdict.share > Some(0.99) && verdict.advice().len() >= 2, "{verdict:?}");
        assert_eq!(verdict.subject.unwrap().name, "inode i_rwsem (rwsem-write)");
        let keys = (verdict.layer.unwrap().0, verdict.cause.unwrap().0, verdict.via.unwrap().0);
        assert_eq!(keys, (Layer::Filesystem, Cause::InodeLock, Cause::BlockWait));
        assert_eq!(verdict.ns, Some(3_000_000_000));
    }

    #[test]
    fn short_waits_that_add_up_are_slow_and_others_are_not() {
        let nothing = verdict(&[quiet()], LASTED, SLOW);
        assert!(
            !nothing.is_found()
                && nothing.statement.starts_with("Nothing is slow: even for pipe mutex (mutex)")
        );
        assert!(verdict(&[quiet()], LASTED, Duration::ZERO).is_found());
        assert!(verdict(&[quiet()], Duration::from_micros(10), SLOW).is_found());
        assert!(verdict(&[], LASTED, SLOW).statement.contains("No wait"));
        assert!(super::verdict(&[], LASTED, SLOW, 1).statement.contains("did not end"));
    }

    #[test]
    fn a_holder_of_little_is_no_root() {
        let mut lock = convoy();
        lock.owners.truncate(1);
        lock.owners[0].ns = 10_000_000;
        let verdict = verdict(&[lock], LASTED, SLOW);
        assert!(verdict.is_found() && verdict.via.is_none(), "{verdict:?}");
    }
}
