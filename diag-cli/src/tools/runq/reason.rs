//! What a group lost its time to: the largest part, and who had the CPU in it.

use std::collections::HashMap;

use super::{
    kin::{Kin, together},
    model::Facts,
    policy,
    record::{Group, Reason},
};
use crate::output::record::parties::Task;

/// The largest part of a group's waiting.
#[derive(Clone, Debug)]
pub(super) struct Largest<'a> {
    /// What it is; none where most of it is of nobody that is known.
    pub(super) reason: Option<Reason>,
    /// Its time, ns.
    pub(super) ns: u64,
    /// The tasks of one name that had most of it, where tasks had it. None where they had less than nobody known had: they
    /// need not be those who matter.
    pub(super) tasks: Option<Kin<'a>>,
}

/// Which threads of a process have a real-time policy, each looked up once.
#[derive(Default)]
pub(super) struct Policies(HashMap<(u32, String), bool>);

impl Policies {
    fn is_real_time(&mut self, task: &Task) -> bool {
        let Some((pid, comm)) = task.pid.zip(task.comm.clone()) else { return false };
        let look = |(pid, comm): &(u32, String)| {
            policy::of_process(*pid, comm).is_some_and(policy::Policy::is_real_time)
        };
        let key = (pid, comm);
        *self.0.entry(key.clone()).or_insert_with(|| look(&key))
    }
}

/// The largest part of a group's waiting.
pub(super) fn of_waiting<'a>(group: &'a Group, facts: &Facts, policies: &mut Policies) -> Largest<'a> {
    let own_ns = facts.own_ns();
    let parts = [
        (Some(Reason::Others), group.tasks_ns().saturating_sub(own_ns)),
        (Some(Reason::Itself), own_ns),
        (Some(Reason::IdleCpu), group.idle_ns),
        (Some(Reason::Interrupts), group.irq_ns.unwrap_or(0)),
        (Some(Reason::Steal), group.steal_ns.unwrap_or(0)),
        (None, group.unattributed_ns),
    ];
    // Of parts of one length the last, so that not to know comes before a guess.
    let (mut reason, ns) = parts.into_iter().max_by_key(|&(_, ns)| ns).unwrap_or((None, 0));
    let own = reason == Some(Reason::Itself);
    let counted = |&own_ns: &u64, ns: u64| if own { own_ns } else { ns.saturating_sub(own_ns) };
    let culprits = group.culprits.iter().zip(&facts.own_ns);
    let tasks = together(culprits.map(|(culprit, own_ns)| (culprit, counted(own_ns, culprit.ns))));
    let tasks = tasks.into_iter().next().filter(|kin| kin.ns >= group.unattributed_ns && kin.ns > 0);
    let tasks = tasks.filter(|_| matches!(reason, Some(Reason::Others | Reason::Itself)));
    if reason == Some(Reason::Others)
        && let Some(kin) = &tasks
        && policies.is_real_time(kin.first)
    {
        reason = Some(Reason::RealTime);
    }
    Largest { reason: reason.filter(|_| ns > 0), ns, tasks }
}

/// What a group lost most of its time to, time under its quota included.
pub(super) fn of(group: &Group, facts: &Facts, policies: &mut Policies) -> Option<Reason> {
    if group.throttled_ns > group.delay.sum_ns {
        return Some(Reason::Quota);
    }
    of_waiting(group, facts, policies).reason
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::runq::sample::{culprit, facts, group, idle, own};

    fn reason_of(group: &Group, facts: &Facts) -> Option<Reason> {
        of(group, facts, &mut Policies::default())
    }

    #[test]
    fn the_largest_part_is_the_reason() {
        let web = || group("web", 10, 1_000_000, vec![culprit("hog", u32::MAX, 10, 1_000_000, 0.4)]);
        assert_eq!(reason_of(&web(), &facts(&web())), None);
        let known = idle(web(), 0.3);
        assert_eq!(reason_of(&known, &facts(&known)), Some(Reason::Others));
        assert_eq!(reason_of(&known, &own(&known)), Some(Reason::Itself));
        let asleep = idle(web(), 0.5);
        assert_eq!(reason_of(&asleep, &facts(&asleep)), Some(Reason::IdleCpu));
        let held = Group { throttled_ns: 11_000_000, ..known };
        assert_eq!(reason_of(&held, &facts(&held)), Some(Reason::Quota));
        let none = group("web", 0, 0, vec![]);
        assert_eq!(reason_of(&none, &facts(&none)), None);
    }

    #[test]
    fn nobody_is_named_who_had_less_than_nobody_known() {
        let many: Vec<_> = (0..6).map(|n| culprit(&format!("job-{n}"), 10 + n, 10, 1_000_000, 0.1)).collect();
        let web = group("web", 10, 1_000_000, many);
        let facts = facts(&web);
        let largest = of_waiting(&web, &facts, &mut Policies::default());
        assert_eq!((largest.reason, largest.ns), (Some(Reason::Others), 6_000_000));
        assert!(largest.tasks.is_none(), "{largest:?}");
    }

    #[test]
    fn one_of_a_name_waits_for_another_of_it() {
        let python = group("python3", 10, 1_000_000, vec![culprit("python3", u32::MAX, 10, 1_000_000, 0.9)]);
        let largest = of_waiting(&python, &facts(&python), &mut Policies::default());
        assert_eq!(largest.reason, Some(Reason::Others));
    }
}
