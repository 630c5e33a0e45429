//! A command as a target: started, but held until tracing has begun.

use std::ffi::OsString;
use std::io::{self, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal, setrlimit};

use crate::exit::Failure;

/// Where the command's standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To the tool's own standard output.
    Shared,
    /// To standard error, because the tool's records have standard output for themselves.
    Errors,
}

/// What the tool changed for itself, and a command gets as it was.
#[derive(Clone, Copy)]
pub(crate) struct Inherited {
    /// The signals that were blocked.
    pub(crate) blocked: libc::sigset_t,
    /// Signals that do not reach the command before it runs: then they end it, if they do.
    pub(crate) held_back: libc::sigset_t,
    /// The limit of open files.
    pub(crate) open_files: Rlimit,
}

/// A process that waits to become the command. Dropped, it exits without having been it.
pub(crate) struct Held {
    pid: u32,
    process: Arc<OwnedFd>,
    program: OsString,
    /// One byte lets the process go on; when it closes, the process gives up.
    gate: PipeWriter,
    /// Waits in `Command::spawn`, which returns only when the command runs or cannot.
    spawning: JoinHandle<io::Result<Child>>,
}

/// The command, running.
pub(crate) struct Running {
    child: Child,
    /// Ready to be read once it has ended.
    process: Arc<OwnedFd>,
}

/// How a command ended that was asked to.
pub(crate) struct Ended {
    /// The exit status to pass on.
    pub(crate) status: u8,
    /// The signal that it was sent last.
    pub(crate) by: Signal,
}

/// How long a command may take to end after SIGTERM.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

impl Held {
    /// Forks a process for `argv`, of which the first is the program.
    pub(crate) fn fork(argv: &[OsString], output: Output, inherited: Inherited) -> Result<Held> {
        let (program, arguments) = argv.split_first().context("no command")?;
        let (mut pid_reader, pid_writer) = pipe().context("cannot make a pipe")?;
        let (gate_reader, gate) = pipe().context("cannot make a pipe")?;
        let mut command = Command::new(program);
        command.args(arguments);
        if output == Output::Errors {
            command.stdout(Stdio::from(io::stderr()));
        }
        let pid_writer = OwnedFd::from(pid_writer);
        let gate_reader = OwnedFd::from(gate_reader);
        let inherited_gate = gate.as_raw_fd();
        let wait = move || {
            // SAFETY: a set that was filled. Without this, Ctrl-C would end the process before it is the command.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &inherited.held_back, std::ptr::null_mut()) };
            setrlimit(Resource::Nofile, inherited.open_files)?;
            // SAFETY: in the child this descriptor is its copy of the gate's writing end, which nothing else there uses.
            // Left open, it would keep the child waiting after its parent's death.
            unsafe { rustix::io::close(inherited_gate) };
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            rustix::io::write(&pid_writer, &pid.to_ne_bytes())?;
            let mut go = [0];
            let read = rustix::io::retry_on_intr(|| rustix::io::read(&gate_reader, &mut go))?;
            if read == 1 {
                // SAFETY: a set that was filled.
                unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &inherited.blocked, std::ptr::null_mut()) };
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(rustix::io::Errno::CANCELED.raw_os_error()))
            }
        };
        // SAFETY: between fork and exec it makes system calls alone: no allocation, no lock.
        unsafe { command.pre_exec(wait) };
        let spawning = std::thread::Builder::new()
            .name("spawn".to_owned())
            .spawn(move || command.spawn())
            .context("cannot start a thread")?;
        let mut pid = [0; 4];
        match pid_reader.read_exact(&mut pid) {
            Ok(()) => {
                let pid = i32::from_ne_bytes(pid);
                let process = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
                let process =
                    process.context("a process without a PID")?.context("cannot watch the command")?;
                let process = Arc::new(process);
                Ok(Held { pid: pid.cast_unsigned(), process, program: program.clone(), gate, spawning })
            }
            Err(_) => {
                let error = joined(spawning).err().unwrap_or_else(|| io::ErrorKind::Other.into());
                Err(error).context("cannot start a process")
            }
        }
    }

    /// The process's PID, which stays the same when it becomes the command.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it become the command; [`Failure::Usage`] where there is no such command.
    pub(crate) fn release(self) -> Result<Running> {
        let Held { process, program, mut gate, spawning, .. } = self;
        gate.write_all(&[1]).context("the process that was to be the command is gone")?;
        drop(gate);
        match joined(spawning) {
            Ok(child) => Ok(Running { child, process }),
            Err(error) => {
                let program = program.display();
                let why = match error.kind() {
                    io::ErrorKind::NotFound => {
                        format!("no command {program}: expected a program, and its arguments")
                    }
                    _ => format!("cannot run {program}: {error}"),
                };
                Err(Failure::Usage(why).into())
            }
        }
    }
}

impl Running {
    /// The exit status to pass on once the command has ended: its own, or 128 and the signal that killed it.
    pub(crate) fn try_wait(&mut self) -> Result<Option<u8>> {
        Ok(self.child.try_wait().context("cannot wait for the command")?.map(status))
    }

    /// Its process; ready to be read once it has ended.
    pub(crate) fn process(&self) -> &Arc<OwnedFd> {
        &self.process
    }

    /// Its PID.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and kills it if it does not. None where even that does not end it: then it is in a system call that
    /// nothing interrupts, and ends when that returns.
    pub(crate) fn end(&mut self) -> Result<Option<Ended>> {
        for by in [Signal::TERM, Signal::KILL] {
            // A process that has ended takes no signal, and needs none.
            pidfd_send_signal(&*self.process, by).ok();
            if self.ends_within(GRACE)
                && let Some(status) = self.try_wait()?
            {
                return Ok(Some(Ended { status, by }));
            }
        }
        Ok(None)
    }

    fn ends_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(left) = Timespec::try_from(left) else { return false };
            match poll(&mut [PollFd::new(&*self.process, PollFlags::IN)], Some(&left)) {
                Err(rustix::io::Errno::INTR) => {}
                ready => return ready.is_ok_and(|ready| ready > 0),
            }
        }
    }
}

fn joined(spawning: JoinHandle<io::Result<Child>>) -> io::Result<Child> {
    spawning.join().unwrap_or_else(|_| Err(io::Error::other(anyhow!("a thread panicked"))))
}

fn status(status: ExitStatus) -> u8 {
    let number = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(number).unwrap_or(u8::MAX)
}
