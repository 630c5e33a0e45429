//! Standard output and standard error: whole lines at once, and a reader that may go away or not read.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _},
    os::fd::AsFd as _,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use serde::Serialize;

use super::{
    text,
    writer::{Unwritten, Writer, write_all},
};

const STANDARD_OUTPUT: &str = "standard output";
const STANDARD_ERROR: &str = "standard error";

/// Writes notes for a session, which must not wait for their reader.
static NOTES: OnceLock<Writer> = OnceLock::new();

/// Writes records and pictures for a session.
static OUTPUT: OnceLock<Writer> = OnceLock::new();

/// Whether a line of progress stands on the terminal.
static SHOWS_PROGRESS: AtomicBool = AtomicBool::new(false);
/// What takes such a line away: back to its beginning, and erase it (ECMA-48, EL).
const ERASE: &str = "\r\x1b[K";

/// Notes that had no room.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Writes `text` to standard output at once, however long its reader takes.
pub(crate) fn print(text: &str) -> Result<(), Unwritten> {
    write_all(io::stdout().as_fd(), text.as_bytes(), |_| {}).map_err(|error| io::Error::from(error).into())
}

impl From<io::Error> for Unwritten {
    /// Of standard output.
    fn from(error: io::Error) -> Unwritten {
        Unwritten::Refused { stream: STANDARD_OUTPUT, error }
    }
}

/// Writes to standard output in a thread, for a session.
pub(crate) fn writer() -> io::Result<Writer> {
    let writer = Writer::start(STANDARD_OUTPUT, io::stdout())?;
    OUTPUT.set(writer.clone()).ok();
    Ok(writer)
}

/// Lets what was noted so far, but for progress, come before what is written next to standard output.
pub(crate) fn notes_first() {
    end_progress();
    if let Some(notes) = NOTES.get() {
        notes.catch_up();
    }
}

/// Shows how far things are in a line that the next note replaces, where standard error is a terminal; nothing elsewhere.
pub(crate) fn progress(words: &str) {
    if let Some(notes) = NOTES.get().filter(|notes| io::stderr().is_terminal() && notes.has_room()) {
        SHOWS_PROGRESS.store(true, Ordering::Relaxed);
        notes.push(format!("{ERASE}{}", text::for_terminal(words)).into_bytes()).ok();
    }
}

/// Takes the line of progress away.
fn end_progress() {
    if let Some(notes) = NOTES.get().filter(|_| SHOWS_PROGRESS.swap(false, Ordering::Relaxed)) {
        notes.push(ERASE.as_bytes().to_vec()).ok();
    }
}

/// One record as a line of JSON.
pub(crate) fn line_of(record: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    Ok(line)
}

/// From now on no note waits for its reader.
pub(crate) fn queue_notes() -> io::Result<()> {
    NOTES.set(Writer::start(STANDARD_ERROR, io::stderr())?).ok();
    Ok(())
}

/// Waits until all notes are written, as long as somebody reads them.
pub(crate) fn finish_notes() {
    end_progress();
    if let Some(writer) = NOTES.get() {
        writer.finish(|| true).ok();
    }
}

/// Writes one line for people to standard error. Nobody being there to read it is no failure.
pub(crate) fn note(message: impl Display) {
    let line = format!("{}\n", text::for_terminal(&message.to_string()));
    let Some(writer) = NOTES.get() else {
        write_all(io::stderr().as_fd(), line.as_bytes(), |_| {}).ok();
        return;
    };
    if let Some(output) = OUTPUT.get() {
        output.catch_up();
    }
    end_progress();
    if !writer.has_room() {
        LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let missing = LEFT_OUT.swap(0, Ordering::Relaxed);
    if missing > 0 {
        writer.push(format!("osdiag: lines left out here, which nobody read: {missing}\n").into_bytes()).ok();
    }
    writer.push(line.into_bytes()).ok();
}

/// Whether `error` means that the reader of standard output went away, which ends a command quietly and well.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |cause: &Unwritten| matches!(cause, Unwritten::Refused { error, .. } if error.kind() == io::ErrorKind::BrokenPipe);
    error.chain().any(|cause| cause.downcast_ref().is_some_and(closed))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_closed_pipe_is_found_below_other_words() {
        let error = |kind: io::ErrorKind| {
            let refused = Unwritten::Refused { stream: STANDARD_OUTPUT, error: kind.into() };
            Err::<(), _>(refused).context("cannot write the record").unwrap_err()
        };
        assert!(is_closed_pipe(&error(io::ErrorKind::BrokenPipe)));
        assert!(!is_closed_pipe(&error(io::ErrorKind::StorageFull)));
        assert!(!is_closed_pipe(&anyhow::anyhow!("broken")));
    }
}
