//! The course of a tracing session: intervals, and what ends it.

mod reporter;
mod run;
mod tool;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant as TokioInstant, sleep_until},
};

pub(crate) use self::{
    run::run,
    tool::{FieldMissed, KernelSide, Report, Tool},
};
use crate::target::{Running, Watch};

/// How often a session looks after its target and its ring.
const POLL: Duration = Duration::from_millis(50);

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
    /// Somebody asked for it: SIGINT, SIGTERM or SIGHUP.
    Signal,
    /// The target is no more.
    Target,
    /// The command ended, with this status.
    Command(u8),
}

/// A session that runs.
pub(crate) struct Session {
    end: Option<TokioInstant>,
    interval: Option<Duration>,
    next_interval: Option<TokioInstant>,
    next_poll: TokioInstant,
    watch: Watch,
    command: Option<Running>,
    signals: Signals,
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Session {
    /// Begins now. Must be called within a tokio runtime.
    pub(crate) fn begin(
        duration: Option<Duration>,
        interval: Option<Duration>,
        watch: Watch,
        command: Option<Running>,
    ) -> Result<Session> {
        let now = TokioInstant::now();
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Session {
            end: duration.map(|duration| now + duration),
            interval,
            next_interval: interval.map(|interval| now + interval),
            next_poll: now + POLL,
            watch,
            command,
            signals: Signals {
                interrupt: listen(SignalKind::interrupt())?,
                terminate: listen(SignalKind::terminate())?,
                hangup: listen(SignalKind::hangup())?,
            },
        })
    }

    /// Waits for what comes next.
    pub(crate) async fn next(&mut self) -> Result<Step> {
        let timers = [self.end, self.next_interval, Some(self.next_poll)];
        let wake = timers.into_iter().flatten().min().unwrap_or(self.next_poll);
        let signalled = tokio::select! {
            _ = self.signals.interrupt.recv() => Some(Signal::INT),
            _ = self.signals.terminate.recv() => Some(Signal::TERM),
            _ = self.signals.hangup.recv() => Some(Signal::HUP),
            () = sleep_until(wake) => None,
        };
        if let Some(signal) = signalled {
            // A terminal interrupts its whole foreground group, the command included.
            if let Some(command) = self.command.as_ref().filter(|_| signal != Signal::INT) {
                command.signal(signal).ok();
            }
            return Ok(Step::End(End::Signal));
        }
        if let Some(command) = &mut self.command
            && let Some(status) = command.try_wait()?
        {
            return Ok(Step::End(End::Command(status)));
        }
        let now = TokioInstant::now();
        if self.end.is_some_and(|end| end <= now) {
            return Ok(Step::End(End::Duration));
        }
        if self.watch.ended() {
            return Ok(Step::End(End::Target));
        }
        if let (Some(mut next), Some(interval)) = (self.next_interval, self.interval)
            && next <= now
        {
            // Whole intervals that were slept through are not made up for.
            while next <= now {
                next += interval;
            }
            self.next_interval = Some(next);
            return Ok(Step::Interval);
        }
        self.next_poll = now + POLL;
        Ok(Step::Poll)
    }
}

/// A stretch of time, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    wall: crate::output::time::Timestamp,
    monotonic: Instant,
}

impl Span {
    /// Begins now.
    pub(crate) fn begin() -> Span {
        Span { wall: crate::output::time::Timestamp::now(), monotonic: Instant::now() }
    }

    /// When it began, by the wall clock.
    pub(crate) fn start(&self) -> crate::output::time::Timestamp {
        self.wall
    }

    /// How long it has lasted.
    pub(crate) fn elapsed(&self) -> Duration {
        self.monotonic.elapsed()
    }
}
