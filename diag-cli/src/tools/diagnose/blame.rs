//! Who or what has to change: decided in the order of [`Blame`]'s words, from facts.

use diag_common::cause::{Cause, Layer};

use super::{
    facts::{Facts, Lost, is_neighbour, is_notable},
    record::{Blame, Limit},
};
use crate::{output::record::parties::Culprit, tools::delays::record::Group as Account};

/// The limit that a cause's time is due to.
pub(super) fn limit(facts: &Facts<'_>, account: &Account, lost: &Lost) -> Option<Limit> {
    let held = facts.limits.of(&account.group);
    match lost.root() {
        Cause::Throttled => held.cpu,
        Cause::MemcgReclaim | Cause::MemcgThrottle => held.memory,
        Cause::SwapIn | Cause::Refault | Cause::Oom | Cause::DirtyThrottle if held.full => held.memory,
        _ => None,
    }
}

/// Who is to blame; none where it is not known.
pub(super) fn blame(lost: &Lost, limit: Option<&Limit>, culprits: &[Culprit]) -> Option<Blame> {
    let root = lost.root();
    let notable = culprits.iter().find(|culprit| is_notable(culprit));
    match root {
        Cause::Throttled | Cause::MemcgReclaim | Cause::MemcgThrottle | Cause::BlockThrottle => {
            Some(Blame::OwnLimit)
        }
        _ if limit.is_some() => Some(Blame::OwnLimit),
        _ if notable.is_some_and(is_neighbour) => Some(Blame::Neighbour),
        _ if notable.is_some() => Some(Blame::Machine),
        Cause::Freeze | Cause::Server | Cause::Irq => Some(Blame::Machine),
        _ if root.layer() == Layer::Memory => Some(Blame::Machine),
        Cause::Runqueue => Some(Blame::Host),
        _ if root.layer() == Layer::Hypervisor => Some(Blame::Host),
        Cause::Device | Cause::Queue => Some(Blame::Disk),
        Cause::MmapLock => Some(Blame::Own),
        _ if root.layer() == Layer::Uring => Some(Blame::Own),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::record::parties::{Basis, Group, GroupType, Resource};

    fn culprit(kind: GroupType, share: f64) -> Culprit {
        let group = Some(Group::of(kind));
        Culprit { resource: Resource::Cpu, basis: Basis::Overlap, group, task: None, ns: 1, share }
    }

    fn of(cause: Cause, via: Option<Cause>, culprits: &[Culprit]) -> Option<Blame> {
        blame(&Lost { cause, ns: 1, via }, None, culprits)
    }

    #[test]
    fn limits_come_before_neighbours_and_neighbours_before_the_rest() {
        let hog = [culprit(GroupType::Container, 0.9)];
        assert_eq!(of(Cause::Throttled, None, &hog), Some(Blame::OwnLimit));
        assert_eq!(of(Cause::Runqueue, None, &hog), Some(Blame::Neighbour));
        assert_eq!(of(Cause::Runqueue, None, &[culprit(GroupType::Kernel, 0.9)]), Some(Blame::Machine));
        assert_eq!(of(Cause::Runqueue, None, &[]), Some(Blame::Host));
        assert_eq!(of(Cause::Device, None, &[culprit(GroupType::Unit, 0.2)]), Some(Blame::Disk));
        assert_eq!(of(Cause::Journal, Some(Cause::Device), &hog), Some(Blame::Neighbour));
        assert_eq!(of(Cause::Reclaim, None, &[]), Some(Blame::Machine));
        assert_eq!(of(Cause::KernelLock, None, &[]), None);
    }
}
