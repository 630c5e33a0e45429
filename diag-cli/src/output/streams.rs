//! Standard output and standard error: whole lines at once, and a reader that may go away.

use std::{
    fmt::Display,
    io::{self, Write},
};

use serde::Serialize;

use super::text;

/// Writes `text` to standard output at once.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes one record as a line of JSON to standard output, at once.
pub(crate) fn print_record(record: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_string(record)?;
    line.push('\n');
    print(&line)
}

/// Writes one line for people to standard error. Nobody being there to read it is no failure.
pub(crate) fn note(message: impl Display) {
    let line = format!("{}\n", text::for_terminal(&message.to_string()));
    io::stderr().lock().write_all(line.as_bytes()).ok();
}

/// Whether `error` means that the reader of standard output went away, which ends a command quietly and well.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(closed))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_closed_pipe_is_found_below_other_words() {
        let error =
            |kind| Err::<(), _>(io::Error::from(kind)).context("cannot write the record").unwrap_err();
        assert!(is_closed_pipe(&error(io::ErrorKind::BrokenPipe)));
        assert!(!is_closed_pipe(&error(io::ErrorKind::StorageFull)));
        assert!(!is_closed_pipe(&anyhow::anyhow!("broken")));
    }
}
