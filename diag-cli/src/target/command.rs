//! A command as a target: started, but held until tracing has begun.

use std::ffi::OsString;
use std::io::{self, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

use crate::exit::Failure;

/// Where the command's standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To the tool's own standard output.
    Shared,
    /// To standard error, because the tool's records have standard output for themselves.
    Errors,
}

/// A process that waits to become the command. Dropped, it exits without having been it.
pub(crate) struct Held {
    pid: u32,
    program: OsString,
    /// One byte lets the process go on; when it closes, the process gives up.
    gate: PipeWriter,
    /// Waits in `Command::spawn`, which returns only when the command runs or cannot.
    spawning: JoinHandle<io::Result<Child>>,
}

/// The command, running.
pub(crate) struct Running {
    child: Child,
}

impl Held {
    /// Forks a process for `argv`, of which the first is the program.
    pub(crate) fn fork(argv: &[OsString], output: Output) -> Result<Held> {
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
            // SAFETY: in the child this descriptor is its copy of the gate's writing end, which nothing else there uses.
            // Left open, it would keep the child waiting after its parent's death.
            unsafe { rustix::io::close(inherited_gate) };
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            rustix::io::write(&pid_writer, &pid.to_ne_bytes())?;
            let mut go = [0];
            let read = rustix::io::retry_on_intr(|| rustix::io::read(&gate_reader, &mut go))?;
            if read == 1 {
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
            Ok(()) => Ok(Held { pid: u32::from_ne_bytes(pid), program: program.clone(), gate, spawning }),
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
        let Held { program, mut gate, spawning, .. } = self;
        gate.write_all(&[1]).context("the process that was to be the command is gone")?;
        drop(gate);
        match joined(spawning) {
            Ok(child) => Ok(Running { child }),
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

    /// Sends it a signal that came to the tool alone. A terminal sends Ctrl-C to both by itself.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("cannot signal process {}", self.child.id()))
    }
}

fn joined(spawning: JoinHandle<io::Result<Child>>) -> io::Result<Child> {
    spawning.join().unwrap_or_else(|_| Err(io::Error::other(anyhow!("a thread panicked"))))
}

fn status(status: ExitStatus) -> u8 {
    let number = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(number).unwrap_or(u8::MAX)
}
