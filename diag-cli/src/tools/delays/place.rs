//! Where a thread sleeps: in which system call, in a fault, on the way back to user mode.

use std::borrow::Cow;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A system call, by its name.
    Call(&'static str),
    /// A system call that has no name here, by its number.
    Number(u16),
    /// A page fault from user mode.
    Fault,
    /// The way back to user mode: a quota, the freezer, a signal, `memory.high`.
    Return,
    /// The end of the thread.
    Exit,
    /// A worker of io_uring, or of another kind, that shares its creator's memory.
    Worker,
    /// A kernel thread.
    Kthread,
}

impl Place {
    /// What records and screens call it.
    pub(crate) fn name(self) -> Cow<'static, str> {
        match self {
            Place::Call(name) => name.into(),
            Place::Number(number) => format!("syscall-{number}").into(),
            Place::Fault => "fault".into(),
            Place::Return => "return".into(),
            Place::Exit => "exit".into(),
            Place::Worker => "worker".into(),
            Place::Kthread => "kernel-thread".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_name() {
        for (place, name) in [
            (Place::Call("pread64"), "pread64"),
            (Place::Number(999), "syscall-999"),
            (Place::Fault, "fault"),
            (Place::Return, "return"),
            (Place::Exit, "exit"),
            (Place::Worker, "worker"),
            (Place::Kthread, "kernel-thread"),
        ] {
            assert_eq!(place.name(), name);
        }
    }
}
