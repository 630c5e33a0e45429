//! Where a thread sleeps: in which system call, in a fault, on the way back to user mode.

use diag_common::{
    cause::Cause::{self, *},
    delays::place,
};

use crate::arch;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A system call, by its name.
    Call(&'static str),
    /// A system call that has no name here.
    OtherCall,
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
    /// The place that the kernel side gives this number; none where the thread does not sleep. [`place::FAULT_OR_RETURN`] is for the
    /// caller to tell apart.
    pub(crate) fn of_number(number: u32) -> Option<Place> {
        Some(match number {
            place::FAULT => Place::Fault,
            place::RETURN | place::FAULT_OR_RETURN => Place::Return,
            place::EXIT => Place::Exit,
            place::WORKER => Place::Worker,
            place::KTHREAD => Place::Kthread,
            place::NONE => return None,
            _ => name(number).map_or(Place::OtherCall, Place::Call),
        })
    }

    /// The name that records and screens use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Place::Call(name) => name,
            Place::OtherCall => "syscall",
            Place::Fault => "fault",
            Place::Return => "return",
            Place::Exit => "exit",
            Place::Worker => "worker",
            Place::Kthread => "kernel-thread",
        }
    }
}

/// The name of the system call of a number.
fn name(number: u32) -> Option<&'static str> {
    if number < place::COMPAT {
        arch::call(number)
    } else if number < place::CALLS_END {
        arch::compat_call(number - place::COMPAT)
    } else {
        None
    }
}

/// System calls that exist to wait: what an interruptible sleep in them is for, whatever its stack. Others are told by their stack.
const WAITING: &[(Cause, &[&str])] = &[
    (UserLock, &["futex", "futex_time64", "futex_wait", "futex_waitv", "flock"]),
    (
        Poll,
        &[
            "poll",
            "ppoll",
            "ppoll_time64",
            "select",
            "_newselect",
            "pselect6",
            "pselect6_time64",
            "epoll_wait",
            "epoll_pwait",
            "epoll_pwait2",
            "accept",
            "accept4",
            "io_uring_enter",
            "io_getevents",
            "io_pgetevents",
            "io_pgetevents_time64",
        ],
    ),
    (Timer, &["nanosleep", "clock_nanosleep", "clock_nanosleep_time64"]),
    (
        Signal,
        &[
            "pause",
            "rt_sigtimedwait",
            "rt_sigtimedwait_time64",
            "rt_sigsuspend",
            "sigsuspend",
            "restart_syscall",
        ],
    ),
    (Child, &["wait4", "waitid", "waitpid"]),
    (
        Socket,
        &[
            "recvfrom",
            "recvmsg",
            "recvmmsg",
            "recvmmsg_time64",
            "sendto",
            "sendmsg",
            "sendmmsg",
            "connect",
            "socketcall",
        ],
    ),
    (
        OtherIpc,
        &[
            "msgrcv",
            "msgsnd",
            "semop",
            "semtimedop",
            "semtimedop_time64",
            "mq_timedreceive",
            "mq_timedreceive_time64",
            "mq_timedsend",
            "mq_timedsend_time64",
            "ipc",
            "ptrace",
        ],
    ),
];

/// The causes of the places that tell one, by their number.
pub(super) fn causes() -> impl Iterator<Item = (u32, Cause)> {
    (0..place::CALLS_END).filter_map(|number| {
        let name = name(number)?;
        let (cause, _) = WAITING.iter().find(|(_, calls)| calls.contains(&name))?;
        Some((number, *cause))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_name_of_its_abi() {
        let name = |number| Place::of_number(number).map(Place::name);
        assert_eq!(name(202), Some("futex"));
        assert_eq!(name(17), Some("pread64"));
        assert_eq!(name(place::COMPAT + 240), Some("futex"));
        assert_eq!(name(511), Some("syscall"));
        assert_eq!(name(place::FAULT), Some("fault"));
        assert_eq!(Place::of_number(place::NONE), None);
    }

    #[test]
    fn calls_that_wait_are_calls() {
        let causes: Vec<(u32, Cause)> = causes().collect();
        for (_, calls) in WAITING {
            for call in *calls {
                assert!(
                    (0..place::CALLS_END).any(|number| name(number) == Some(call)),
                    "{call} is no system call"
                );
            }
        }
        assert!(causes.contains(&(202, UserLock)));
        assert!(causes.contains(&(232, Poll)));
        assert!(!causes.iter().any(|&(number, _)| number == 0), "read waits for many things");
    }
}
