//! From a stack to the cause and the place of a wait.

use std::{collections::HashMap, rc::Rc};

use diag_common::{
    cause::Cause,
    delays::{place, via, what},
    stack::Stack,
};

use super::{harvest::Part, place::Place};
use crate::{
    arch::FAULT_ENTRY,
    ebpf::stacks::Stacks,
    kernel::{
        symbols::Functions,
        waits::{self, Said},
    },
    output::record::Unavailable,
};

/// What a stack tells.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The cause and place of a wait there.
    pub(super) part: Part,
    /// Its functions, innermost first.
    pub(super) functions: Rc<[String]>,
}

/// Classifies waits by their stacks; each once.
pub(super) struct Classifier {
    stacks: Stacks,
    /// By the stack's number, and what the kernel side says of the wait.
    told: HashMap<(u32, u32), Told>,
    /// For stacks that come without a number.
    functions: Functions,
}

impl Classifier {
    pub(super) fn new(stacks: Stacks) -> Classifier {
        Classifier { stacks, told: HashMap::new(), functions: Functions::default() }
    }

    /// What the stack of a number tells of a wait that the kernel side describes so.
    pub(super) fn by_number(&mut self, stack: u32, of: u32) -> Told {
        let key = (stack, what::with_via(what::time(what::state(of), what::place(of)), what::via(of)));
        if let Some(told) = self.told.get(&key) {
            return told.clone();
        }
        let functions: Rc<[String]> = self.stacks.functions(stack).into();
        let told = Told { part: part(&functions, of, false), functions };
        self.told.insert(key, told.clone());
        told
    }

    /// The same of the addresses of a stack, at which a wait goes on.
    pub(super) fn by_frames(&mut self, frames: &Stack, of: u32) -> Told {
        let functions: Rc<[String]> = self.functions.of(frames).into();
        Told { part: part(&functions, of, true), functions }
    }

    /// What the records lack where functions have no names.
    pub(super) fn unavailable(&self) -> Option<Unavailable> {
        self.stacks.unavailable("waits that nothing but their stack explains are other.wait")
    }
}

/// What is known of a state without a stack. A sleep for I/O is for the block layer at least.
pub(super) fn plain(of: u32) -> Part {
    let state = what::state(of);
    let cause = match state {
        what::IOWAIT => Cause::BlockWait,
        state if state < what::UNEXPLAINED => Cause::from_number(state as u8).unwrap_or(Cause::OtherWait),
        state if what::is_with(state, what::STALLED) => Cause::Refault,
        state if what::is_with(state, what::CONTENDED) => Cause::KernelLock,
        _ => Cause::OtherWait,
    };
    let via = match what::via(of) {
        via::DEVICE => Some(Cause::Device),
        via::QUEUE => Some(Cause::Queue),
        via::RUNQUEUE => Some(Cause::Runqueue),
        _ => None,
    };
    Part { cause, via, place: Place::of_number(what::place(of)) }
}

fn part(functions: &[String], of: u32, open: bool) -> Part {
    let unknown = plain(of);
    if functions.is_empty() {
        return unknown;
    }
    let state = what::state(of);
    let said = Said {
        contended: what::is_with(state, what::CONTENDED),
        for_io: state == what::IOWAIT,
        stalled: what::is_with(state, what::STALLED),
        open,
    };
    let cause = waits::cause(functions, said);
    let faulted = || functions.iter().any(|function| FAULT_ENTRY.contains(&function.as_str()));
    let place = match what::place(of) {
        place::FAULT_OR_RETURN if faulted() => Some(Place::Fault),
        _ => unknown.place,
    };
    Part { cause, place, via: unknown.via }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stack: &str, state: u32, at: u32) -> (Cause, Option<Place>) {
        let functions: Vec<String> = stack.split_whitespace().map(str::to_owned).collect();
        let part = part(&functions, what::time(state, at), false);
        (part.cause, part.place)
    }

    #[test]
    fn a_stack_tells_cause_and_place() {
        let unexplained = what::UNEXPLAINED;
        let read = Some(Place::Call("read"));
        assert_eq!(told("anon_pipe_read vfs_read ksys_read", unexplained, 0), (Cause::Pipe, read));
        assert_eq!(told("unix_stream_read_generic sock_read_iter", unexplained, 0), (Cause::Socket, read));
        assert_eq!(
            told("handle_userfault handle_mm_fault asm_exc_page_fault", unexplained, place::FAULT_OR_RETURN),
            (Cause::OtherIpc, Some(Place::Fault))
        );
        assert_eq!(
            told("mem_cgroup_handle_over_high exit_to_user_mode", unexplained, place::FAULT_OR_RETURN),
            (Cause::MemcgThrottle, Some(Place::Return))
        );
    }

    #[test]
    fn a_sleep_for_io_that_goes_on_is_for_the_device_whatever_the_file_system_does_with_it() {
        let commit = ["jbd2_journal_commit_transaction".to_owned(), "kjournald2".to_owned()];
        let cause = |open| part(&commit, what::time(what::IOWAIT, place::KTHREAD), open).cause;
        assert_eq!((cause(false), cause(true)), (Cause::FsWait, Cause::BlockWait));
    }

    #[test]
    fn what_the_kernel_says_stands_where_the_stack_tells_nothing() {
        assert_eq!(told("x y", what::IOWAIT, 0).0, Cause::BlockWait);
        assert_eq!(told("x y", what::UNEXPLAINED + what::STALLED, 0).0, Cause::Refault);
        assert_eq!(told("x y", what::UNEXPLAINED + what::CONTENDED, 0).0, Cause::KernelLock);
        assert_eq!(told("", what::UNEXPLAINED, 0).0, Cause::OtherWait);
    }
}
