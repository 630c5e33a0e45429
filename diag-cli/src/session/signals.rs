//! The signals that end a session: the first one asks for the summary, a second one ends the process.
//!
//! They are blocked in every thread but one, which waits for them. So the second one works whatever the other threads are
//! doing: writing to a reader that does not read, or sleeping in a system call that nothing interrupts. What was ignored
//! when the process began (`nohup`, jobs in the background) is left out, and so stays ignored.

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI32, Ordering},
    },
    thread,
};

use anyhow::{Context, Result};
use rustix::{
    event::{EventfdFlags, eventfd},
    process::{Signal, pidfd_send_signal},
};

/// What asks for the end.
const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Listens for signals from its making on, until the process ends.
#[derive(Clone)]
pub(crate) struct Signals {
    heard: Arc<Heard>,
    masks: Masks,
}

/// The signals that a thread keeps away.
#[derive(Clone, Copy)]
pub(crate) struct Masks {
    /// As they were before this module blocked any.
    pub(crate) original: libc::sigset_t,
    /// Those that end a session.
    pub(crate) ending: libc::sigset_t,
}

struct Heard {
    /// The first signal's number; 0 before it.
    first: AtomicI32,
    /// Ready to be read from the first signal on.
    ready: OwnedFd,
    /// The command that must not be left behind when the process ends at once.
    command: OnceLock<Arc<OwnedFd>>,
}

impl Signals {
    /// Begins to listen. Threads that are started later do not get these signals; those before it must not exist.
    pub(crate) fn listen() -> Result<Signals> {
        let ending = ending();
        let mut original = MaybeUninit::uninit();
        // SAFETY: both point to signal sets; the call fills the second.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const ending, original.as_mut_ptr()) };
        // SAFETY: filled above; the call fails for a wrong first argument alone.
        let original = unsafe { original.assume_init() };
        let ready = eventfd(0, EventfdFlags::CLOEXEC).context("cannot make an eventfd")?;
        let heard = Arc::new(Heard { first: AtomicI32::new(0), ready, command: OnceLock::new() });
        let signals = Signals { heard: Arc::clone(&heard), masks: Masks { original, ending } };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || heard.listen(&ending))
            .context("cannot start a thread")?;
        Ok(signals)
    }

    /// The first signal, once it came.
    pub(crate) fn first(&self) -> Option<Signal> {
        Signal::from_named_raw(self.heard.first.load(Ordering::Acquire))
    }

    /// Ready to be read from the first signal on.
    pub(crate) fn ready(&self) -> BorrowedFd<'_> {
        self.heard.ready.as_fd()
    }

    /// The masks of signals that a command needs to begin with.
    pub(crate) fn masks(&self) -> Masks {
        self.masks
    }

    /// Kills this process, too, when a second signal ends this one.
    pub(crate) fn take_along(&self, command: Arc<OwnedFd>) {
        self.heard.command.set(command).ok();
    }
}

/// Those of [`ENDING`] that are not ignored.
fn ending() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the call fills the set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: filled above.
    let mut set = unsafe { set.assume_init() };
    for signal in ENDING {
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: without a new action the call only fills the old one.
        let read = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
        // SAFETY: filled where the call succeeded.
        if read == 0 && unsafe { action.assume_init() }.sa_sigaction != libc::SIG_IGN {
            // SAFETY: the set is initialized, and the signal exists.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
    }
    set
}

impl Heard {
    fn listen(&self, ending: &libc::sigset_t) {
        loop {
            let mut signal = 0;
            // SAFETY: a set that was filled, and a place for a number.
            if unsafe { libc::sigwait(ending, &raw mut signal) } != 0 {
                continue;
            }
            let first = self.first.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire);
            if first.is_ok() {
                rustix::io::write(&self.ready, &1_u64.to_ne_bytes()).ok();
            } else if signal != libc::SIGHUP {
                if let Some(command) = self.command.get() {
                    pidfd_send_signal(&**command, Signal::KILL).ok();
                }
                // SAFETY: no preconditions. Nothing that exiting in order would run may hold this up.
                unsafe { libc::_exit(128 + signal) };
            }
        }
    }
}
