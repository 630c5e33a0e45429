//! From what the kernel side tells of a wait to its cause.

use std::collections::HashMap;

use diag_common::{
    cause::Cause,
    iolat::{CAUSE_STACK, CONTENDED, STALLED},
};

use super::{
    collect::{Collector, Wait},
    waits,
};
use crate::kernel::symbols::{Symbols, source_name};

/// Where the kernel's own switching begins, which is at the inner end of every wait.
const SCHEDULER: &[&str] = &["__schedule", "schedule", "__traceiter_sched_switch", "preempt_schedule"];

/// A wait's cause, and what to tell beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Explained {
    /// The cause.
    pub(crate) cause: Cause,
    /// What the waker or holder was itself waiting for.
    pub(crate) via: Option<Cause>,
}

/// Names stacks and classifies waits; each stack once.
pub(crate) struct Explainer {
    /// Read when the first stack is to be named: it takes 60 ms and 5 MB.
    symbols: Option<Result<Symbols, String>>,
    stacks: HashMap<u32, Named>,
}

#[derive(Clone, Default)]
struct Named {
    functions: Vec<String>,
    /// The cause, and what it is where the kernel says that the wait was for a lock.
    cause: Option<Cause>,
    cause_if_contended: Option<Cause>,
}

impl Explainer {
    /// Knows nothing yet.
    pub(crate) fn new() -> Explainer {
        Explainer { symbols: None, stacks: HashMap::new() }
    }

    /// Why stacks have no names, where they have none.
    pub(crate) fn nameless(&self) -> Option<&str> {
        self.symbols.as_ref()?.as_ref().err().map(String::as_str)
    }

    /// The cause of a wait.
    pub(crate) fn explain(&mut self, collector: &Collector, wait: Wait) -> Explained {
        let via = Cause::from_number(wait.via);
        let contended = wait.flags & CONTENDED != 0;
        let named = if wait.stack == 0 { None } else { Some(self.named(collector, wait.stack)) };
        let of_stack = named.and_then(|named| if contended { named.cause_if_contended } else { named.cause });
        let cause = if wait.cause == CAUSE_STACK {
            by_stack(of_stack, wait.flags & STALLED != 0)
        } else {
            Cause::from_number(wait.cause).map_or(Cause::OtherWait, |known| refine(known, of_stack))
        };
        Explained { cause, via: via.filter(|&via| via != cause) }
    }

    /// A stack's functions, innermost first; none where it was not stored or has no names.
    pub(crate) fn functions(&mut self, collector: &Collector, stack: u32) -> Option<Vec<String>> {
        let functions = &self.named(collector, stack).functions;
        (stack != 0 && !functions.is_empty()).then(|| functions.clone())
    }

    fn named(&mut self, collector: &Collector, stack: u32) -> &Named {
        if !self.stacks.contains_key(&stack) {
            let named = self.name(&collector.stack(stack).unwrap_or_default());
            self.stacks.insert(stack, named);
        }
        &self.stacks[&stack]
    }

    fn name(&mut self, frames: &[u64]) -> Named {
        let symbols =
            self.symbols.get_or_insert_with(|| Symbols::load().map_err(|error| format!("{error:#}")));
        let Ok(symbols) = symbols else { return Named::default() };
        let name = |&frame| {
            symbols
                .name(frame)
                .map_or_else(|| format!("{frame:#x}"), |(name, _)| source_name(name).to_owned())
        };
        let mut functions: Vec<String> = frames.iter().map(name).collect();
        // A stack taken by the task itself begins inside the program and the tracepoint.
        if let Some(last) = functions.iter().rposition(|name| SCHEDULER.contains(&name.as_str())) {
            functions.drain(..=last);
        }
        let cause = waits::classify(&functions, false);
        let cause_if_contended = waits::classify(&functions, true);
        Named { functions, cause, cause_if_contended }
    }
}

/// The cause of a wait that nothing but its stack explains. What stalls for memory and is no swap-in reads back a page
/// that was evicted too soon.
fn by_stack(of_stack: Option<Cause>, stalled: bool) -> Cause {
    match of_stack {
        Some(Cause::BlockWait | Cause::FsWait | Cause::OtherWait) | None if stalled => Cause::Refault,
        Some(cause) => cause,
        None => Cause::OtherWait,
    }
}

/// A request's completion wakes whom a limit or a lack of tags held back, too: only the stack tells.
fn refine(known: Cause, of_stack: Option<Cause>) -> Cause {
    match (known, of_stack) {
        (
            Cause::Device | Cause::Queue | Cause::BlockWait | Cause::FsWait,
            Some(told @ (Cause::BlockThrottle | Cause::Queue | Cause::DirtyThrottle | Cause::Journal)),
        ) => told,
        _ => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_a_refault_unless_the_stack_says_more() {
        assert_eq!(by_stack(Some(Cause::BlockWait), true), Cause::Refault);
        assert_eq!(by_stack(Some(Cause::SwapIn), true), Cause::SwapIn);
        assert_eq!(by_stack(Some(Cause::BlockWait), false), Cause::BlockWait);
        assert_eq!(by_stack(None, false), Cause::OtherWait);
    }

    #[test]
    fn a_stack_overrules_a_completion_only_where_it_knows_better() {
        assert_eq!(refine(Cause::Device, Some(Cause::BlockThrottle)), Cause::BlockThrottle);
        assert_eq!(refine(Cause::Device, Some(Cause::BlockWait)), Cause::Device);
        assert_eq!(refine(Cause::Journal, Some(Cause::FsWait)), Cause::Journal);
    }
}
