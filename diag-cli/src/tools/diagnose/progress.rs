//! How far a session is, on standard error: from the first moment.

use std::time::{Duration, Instant};

use crate::output::streams;

/// What is said before anything is traced.
pub(super) const FIRST: &str = "osdiag diagnose: reading pressure, quotas, steal, disks and stuck threads";

/// Counts the seconds down on a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    end: Option<Instant>,
    shown: Option<u64>,
}

impl Progress {
    /// Of a session that is to last so long, and begins now.
    pub(super) fn new(duration: Option<Duration>) -> Progress {
        Progress { end: duration.map(|duration| Instant::now() + duration), shown: None }
    }

    /// Shows the seconds that are left, if they are others than before.
    pub(super) fn show(&mut self) {
        let Some(end) = self.end else { return };
        let left = end.saturating_duration_since(Instant::now()).as_secs_f64().ceil() as u64;
        if self.shown.replace(left) != Some(left) {
            streams::progress(&match left {
                0 => "adding up".to_owned(),
                _ => format!("looking at where the time of all threads goes: {left} s left"),
            });
        }
    }
}
