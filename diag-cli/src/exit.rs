//! Exit statuses, and the errors that choose them.

use std::process::ExitCode;

use thiserror::Error;

/// An error that has an exit status of its own; every other error is a failure while running.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// A bad value, or no such process, cgroup, container or unit.
    #[error("{0}")]
    Usage(String),
    /// This kernel, or these privileges, cannot run the command.
    #[error("{0}")]
    Unsupported(String),
}

impl Failure {
    /// The status for `error`: 2 wrong usage, 3 unsupported, 1 for all else.
    pub(crate) fn status(error: &anyhow::Error) -> ExitCode {
        match error.downcast_ref::<Failure>() {
            Some(Failure::Usage(_)) => ExitCode::from(2),
            Some(Failure::Unsupported(_)) => ExitCode::from(3),
            None => ExitCode::from(1),
        }
    }
}
