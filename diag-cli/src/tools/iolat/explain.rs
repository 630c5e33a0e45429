//! From what the kernel side tells of a wait to its cause.

use std::collections::HashMap;

use diag_common::{
    cause::Cause,
    iolat::{CAUSE_STACK, CONTENDED, STALLED},
};

use super::collect::Wait;
use crate::{ebpf::stacks::Stacks, kernel::waits};

/// A wait's cause, and what to tell beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Explained {
    /// The cause.
    pub(crate) cause: Cause,
    /// What the waker or holder was itself waiting for.
    pub(crate) via: Option<Cause>,
}

/// Classifies waits; each stack once.
#[derive(Default)]
pub(crate) struct Explainer {
    told: HashMap<u32, Told>,
    /// Whether any cgroup is known to have a limit on a disk. Before 6.1 the kernel marks bios that could have had one (`BIO_THROTTLED`).
    pub(crate) limited: bool,
}

/// What a stack tells of a wait.
#[derive(Clone, Copy)]
struct Told {
    cause: Option<Cause>,
    /// What it is where the kernel says that the wait was for a lock.
    cause_if_contended: Option<Cause>,
}

impl Explainer {
    /// The cause of a wait.
    pub(crate) fn explain(&mut self, stacks: &mut Stacks, wait: Wait) -> Explained {
        let via = Cause::from_number(wait.via);
        let contended = wait.flags & CONTENDED != 0;
        let told = (wait.stack != 0).then(|| self.told(stacks, wait.stack));
        let of_stack = told.and_then(|told| if contended { told.cause_if_contended } else { told.cause });
        let cause = if wait.cause == CAUSE_STACK {
            waits::by_stack(of_stack, wait.flags & STALLED != 0)
        } else {
            match Cause::from_number(wait.cause) {
                None => Cause::OtherWait,
                Some(Cause::BlockThrottle) if !self.limited => Cause::BlockWait,
                Some(known) => refine(known, of_stack),
            }
        };
        Explained { cause, via: via.filter(|&via| via != cause) }
    }

    fn told(&mut self, stacks: &mut Stacks, stack: u32) -> Told {
        *self.told.entry(stack).or_insert_with(|| {
            let functions = stacks.functions(stack);
            Told {
                cause: waits::classify(functions, false),
                cause_if_contended: waits::classify(functions, true),
            }
        })
    }
}

/// Where a completion explains a wait, the stack may know better: it was a page fault's, or fell into the wait by chance. Nothing here may
/// depend on a stack that is taken of long waits alone: a wait has one name, however long it is.
fn refine(known: Cause, of_stack: Option<Cause>) -> Cause {
    match (known, of_stack) {
        (
            Cause::Device | Cause::Queue | Cause::BlockWait | Cause::FsWait,
            Some(told @ (Cause::SwapIn | Cause::BlockThrottle | Cause::Queue | Cause::DirtyThrottle)),
        )
        | (Cause::FsWait, Some(told @ Cause::Journal)) => told,
        _ => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_overrules_a_completion_only_where_it_knows_better() {
        assert_eq!(refine(Cause::Device, Some(Cause::BlockThrottle)), Cause::BlockThrottle);
        assert_eq!(refine(Cause::Device, Some(Cause::BlockWait)), Cause::Device);
        assert_eq!(refine(Cause::Journal, Some(Cause::FsWait)), Cause::Journal);
        assert_eq!(refine(Cause::Device, Some(Cause::SwapIn)), Cause::SwapIn);
        assert_eq!(refine(Cause::Device, Some(Cause::Journal)), Cause::Device);
    }
}
