//! The course of a tracing session: intervals, what ends it, and what becomes of a command that it ends before.

mod conclusion;
mod reporter;
mod run;
mod signals;
mod tool;
mod untraced;

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Error, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Signal,
};

use self::signals::Signals;
pub(crate) use self::{
    conclusion::{Conclusion, Untraced},
    run::run,
    tool::{FieldMissed, KernelSide, Report, Tool},
    untraced::TRACING,
};
use crate::{
    cli::SessionArgs,
    ebpf::clock,
    output::record::target::Ended,
    output::{streams, writer::Writer},
    target::{GRACE, Running, Watch},
};

/// How often a session looks after its ring and its cgroup, ns.
const POLL: u64 = 50_000_000;

/// What happened in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A short while has gone by.
    Poll,
    /// An interval is over.
    Interval,
    /// The session is over.
    End(End),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its time is up.
    Duration,
    /// Somebody asked for it.
    Signal(Signal),
    /// The target is no more.
    Target(Ended),
}

impl End {
    /// How the target ended it, if it did.
    pub(crate) fn ended(self) -> Option<Ended> {
        match self {
            End::Target(ended) => Some(ended),
            End::Duration | End::Signal(_) => None,
        }
    }
}

/// What becomes of the command that a session runs.
enum Command {
    /// It has none.
    None,
    /// It was not begun: the session was over before.
    NotBegun,
    /// It runs.
    Running(Running),
    /// It goes on without the session.
    LeftRunning,
    /// It has ended, and this is the status to pass on.
    Ended(u8),
}

/// The status of a command that SIGKILL ended: 128 and its number.
const KILLED: u8 = 128 + 9;

/// A session that runs. All its times are ns on the kernel side's clock.
pub(crate) struct Session {
    end: Option<u64>,
    interval: Option<u64>,
    next_interval: Option<u64>,
    next_poll: u64,
    watch: Watch,
    command: Command,
    detach: bool,
    signals: Signals,
}

impl Session {
    /// One that began at `began`.
    fn new(began: u64, args: &SessionArgs, watch: Watch, command: Command, signals: Signals) -> Session {
        let ns = |time: Duration| time.as_nanos() as u64;
        let interval = args.interval.map(ns);
        Session {
            end: args.duration.map(|duration| began + ns(duration)),
            interval,
            next_interval: interval.map(|interval| began + interval),
            next_poll: began + POLL,
            watch,
            command,
            detach: args.detach,
            signals,
        }
    }

    /// Waits for what comes next. Fails as `output` has failed.
    fn next(&mut self, output: &Writer) -> Result<Step> {
        let timers = [self.end, self.next_interval, Some(self.next_poll)];
        self.wait(timers.into_iter().flatten().min(), Some(output));
        output.check_failed()?;
        if let Some(signal) = self.signals.first() {
            return Ok(Step::End(End::Signal(signal)));
        }
        if let Command::Running(command) = &mut self.command
            && let Some(status) = command.try_wait()?
        {
            self.command = Command::Ended(status);
            return Ok(Step::End(End::Target(Ended::CommandExited)));
        }
        let now = clock::now();
        if self.end.is_some_and(|end| end <= now) {
            return Ok(Step::End(End::Duration));
        }
        if let Some(ended) = self.watch.ended() {
            return Ok(Step::End(End::Target(ended)));
        }
        if let (Some(next), Some(interval)) = (&mut self.next_interval, self.interval)
            && *next <= now
        {
            // Whole intervals that were slept through are not made up for.
            *next += ((now - *next) / interval + 1) * interval;
            return Ok(Step::Interval);
        }
        self.next_poll = now + POLL;
        Ok(Step::Poll)
    }

    /// Waits until `wake`, or until a signal, the command, the target or a failure of the output wants to be looked at.
    fn wait(&self, wake: Option<u64>, output: Option<&Writer>) {
        let watched = match &self.command {
            Command::Running(command) => vec![command.process().as_fd()],
            _ => self.watch.ready(),
        };
        let output = output.map(Writer::failed);
        let all: Vec<BorrowedFd<'_>> =
            [self.signals.ready()].into_iter().chain(output).chain(watched).collect();
        let mut all: Vec<PollFd<'_>> = all.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let left = wake.map(|wake| Duration::from_nanos(wake.saturating_sub(clock::now())));
        // Whatever it ends with, what has happened is looked at next.
        poll(&mut all, left.and_then(|left| Timespec::try_from(left).ok()).as_ref()).ok();
    }

    /// Ends the command that outlives the session, or leaves it alone, as was asked for; returns the exit status.
    fn conclude(&mut self, end: End) -> Result<ExitCode> {
        if let Command::Running(_) = self.command {
            self.end_command(end)?;
        }
        Ok(match (&self.command, end) {
            (Command::Ended(status), _) => ExitCode::from(*status),
            (Command::NotBegun, End::Signal(signal)) => {
                streams::note("osdiag: the session was over before the command was begun");
                ExitCode::from(128 + signal.as_raw() as u8)
            }
            _ => ExitCode::SUCCESS,
        })
    }

    fn end_command(&mut self, end: End) -> Result<()> {
        let Command::Running(command) = &mut self.command else { return Ok(()) };
        // It may have ended meanwhile, as by the same Ctrl-C.
        if let Some(status) = command.try_wait()? {
            self.command = Command::Ended(status);
            return Ok(());
        }
        let pid = command.pid();
        if self.detach {
            streams::note(format_args!("osdiag: the command goes on, untraced: process {pid}"));
            self.command = Command::LeftRunning;
            return Ok(());
        }
        let why = match end {
            End::Duration => "its time is up",
            _ => "it was asked to end",
        };
        let Some(ended) = command.end()? else {
            streams::note(format_args!(
                "osdiag: the session is over, {why}: the command, process {pid}, was killed, and ends when the system call returns that it is stuck in"
            ));
            self.command = Command::Ended(KILLED);
            return Ok(());
        };
        if ended.by == Signal::KILL {
            let grace = GRACE.as_secs();
            streams::note(format_args!(
                "osdiag: the session is over, {why}: the command took no notice of SIGTERM for {grace} s, and was killed"
            ));
        } else {
            streams::note(format_args!(
                "osdiag: the session is over, {why}: the command was ended by SIGTERM"
            ));
        }
        self.command = Command::Ended(ended.status);
        Ok(())
    }

    /// Nothing can be said any more, because of `error`: waits for the command, whose status says how it went.
    fn outlast(mut self, error: Error) -> Result<ExitCode> {
        let is_quiet = streams::is_closed_pipe(&error);
        if let Command::Running(_) = self.command
            && !self.detach
        {
            if !is_quiet {
                streams::note(format_args!(
                    "osdiag: {error:#}; waiting for the command, which is not traced any more"
                ));
            }
            self.wait_for_command()?;
            let Command::Ended(status) = self.command else { return Err(error) };
            return Ok(ExitCode::from(if status == 0 && !is_quiet { 1 } else { status }));
        }
        match self.command {
            Command::Ended(status) if status != 0 || is_quiet => {
                if !is_quiet {
                    streams::note(format_args!("osdiag: {error:#}"));
                }
                Ok(ExitCode::from(status))
            }
            _ => Err(error),
        }
    }

    /// Waits until the command ends, or is to be ended.
    fn wait_for_command(&mut self) -> Result<()> {
        while let Command::Running(command) = &mut self.command {
            if let Some(status) = command.try_wait()? {
                self.command = Command::Ended(status);
            } else if let Some(signal) = self.signals.first() {
                self.end_command(End::Signal(signal))?;
            } else if self.end.is_some_and(|end| end <= clock::now()) {
                self.end_command(End::Duration)?;
            } else {
                self.wait(self.end, None);
            }
        }
        Ok(())
    }
}
