//! A thread that writes one stream, so that a reader that does not read holds up nobody else.

use std::{
    collections::VecDeque,
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    fs::{FileType, fstat},
    io::Errno,
    pipe::fcntl_getpipe_size,
};
use thiserror::Error;

use super::units;

/// Bytes that may wait for the reader before whoever writes should wait as well.
const ROOM: usize = 4 << 20;

/// What a pipe takes without blocking once it says that it has room (`PIPE_BUF`, include/uapi/linux/limits.h; a free slot
/// in `pipe_poll`, fs/pipe.c, 6.18).
const PIECE: usize = 4096;

/// How long one stream waits for what another one was given before, so that what both show comes in order.
const IN_ORDER: Duration = Duration::from_millis(50);

/// How long a reader may take nothing before what is left is given up, where there is a reason to hurry.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How often a wait for the reader looks whether there is a reason to hurry.
const LOOK: Duration = Duration::from_millis(20);

/// Why something was not written.
#[derive(Debug, Error)]
pub(crate) enum Unwritten {
    /// The system refused it.
    #[error("cannot write to {stream}: {}", words(.error))]
    Refused {
        /// Where it should have gone.
        stream: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The reader took nothing for a while.
    #[error(
        "cannot write to {stream}: its reader has taken nothing for {} s; not written: {}, {}",
        PATIENCE.as_secs(),
        units::counted(*texts, "text"),
        units::bytes(*bytes)
    )]
    Stalled {
        /// Where it should have gone.
        stream: &'static str,
        /// How many texts were not written, the last one of those that were begun among them.
        texts: u64,
        /// How long they are.
        bytes: u64,
    },
}

/// An error without its number.
fn words(error: &io::Error) -> String {
    let said = error.to_string();
    said.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Writes texts in the order in which they come, each whole.
#[derive(Clone)]
pub(crate) struct Writer {
    stream: &'static str,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Ready to be read once writing has failed.
    failed: OwnedFd,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Vec<u8>>,
    /// Bytes that are not written yet.
    bytes: usize,
    /// Texts that are not written whole yet.
    texts: usize,
    /// Whether a wait for it was in vain since it had written everything the last time.
    lags: bool,
    error: Option<Errno>,
}

impl Writer {
    /// For a stream that stays open as long as the process.
    pub(crate) fn start(stream: &'static str, file: impl AsFd + Send + 'static) -> io::Result<Writer> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            failed: eventfd(0, EventfdFlags::CLOEXEC)?,
        });
        let written = Arc::clone(&shared);
        thread::Builder::new().name("writer".to_owned()).spawn(move || written.write(file.as_fd()))?;
        Ok(Writer { stream, shared })
    }

    /// Adds a text. Waits for nobody; fails as writing has failed.
    pub(crate) fn push(&self, text: Vec<u8>) -> Result<(), Unwritten> {
        let mut state = self.shared.lock();
        self.check(&state)?;
        state.bytes += text.len();
        state.texts += 1;
        state.queue.push_back(text);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits until all is written, for a moment, and not again where the reader does not keep up.
    pub(super) fn catch_up(&self) {
        let state = self.shared.lock();
        if state.lags {
            return;
        }
        let waits = |state: &mut State| state.texts > 0 && state.error.is_none();
        let waited = self.shared.changed.wait_timeout_while(state, IN_ORDER, waits);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.lags = state.texts > 0;
    }

    /// Whether the reader keeps up well enough for more.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.lock().bytes < ROOM
    }

    /// Ready to be read once writing has failed.
    pub(crate) fn failed(&self) -> BorrowedFd<'_> {
        self.shared.failed.as_fd()
    }

    /// Fails as writing has failed.
    pub(crate) fn check_failed(&self) -> Result<(), Unwritten> {
        self.check(&self.shared.lock())
    }

    /// Waits until all is written. Gives up once `hurried`, after a while in which the reader took nothing.
    pub(crate) fn finish(&self, hurried: impl Fn() -> bool) -> Result<(), Unwritten> {
        let mut state = self.shared.lock();
        let mut before = state.bytes;
        let mut since: Option<Instant> = None;
        while state.texts > 0 && state.error.is_none() {
            if !hurried() || state.bytes != before {
                since = None;
                before = state.bytes;
            } else if since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                let (texts, bytes) = (state.texts as u64, state.bytes as u64);
                return Err(Unwritten::Stalled { stream: self.stream, texts, bytes });
            }
            let waited = self.shared.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.check(&state)
    }

    fn check(&self, state: &State) -> Result<(), Unwritten> {
        match state.error {
            Some(error) => Err(Unwritten::Refused { stream: self.stream, error: error.into() }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(&self.stream).finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, file: BorrowedFd<'_>) {
        loop {
            let mut state = self.lock();
            let text = loop {
                if let Some(text) = state.queue.pop_front() {
                    break text;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            let written = write_all(file, &text, |bytes| self.lock().bytes -= bytes);
            let mut state = self.lock();
            state.texts -= 1;
            state.lags &= state.texts > 0;
            if let Err(error) = written {
                state.error = Some(error);
                rustix::io::write(&self.failed, &1_u64.to_ne_bytes()).ok();
            }
            self.changed.notify_all();
            if state.error.is_some() {
                return;
            }
        }
    }
}

/// Writes a text, however often the reader has to be waited for, and says after each part how long that was.
pub(super) fn write_all(
    file: BorrowedFd<'_>,
    text: &[u8],
    mut wrote: impl FnMut(usize),
) -> Result<(), Errno> {
    let is_file =
        fstat(file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    let mut rest = text;
    while !rest.is_empty() {
        // A file takes all at once, so that lines of several writers do not mix; whatever else may make a write wait,
        // and then the parts tell whether its reader still reads.
        let most = if is_file { rest.len() } else { room(file)? };
        match rustix::io::write(file, &rest[..rest.len().min(most)]) {
            Ok(bytes) => {
                wrote(bytes);
                rest = &rest[bytes..];
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until a reader takes more; how much may be written at once then.
fn room(file: BorrowedFd<'_>) -> Result<usize, Errno> {
    match poll(&mut [PollFd::new(&file, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error),
    }
    // An empty pipe takes as much as it is long, in one piece.
    let is_empty = || rustix::io::ioctl_fionread(file).is_ok_and(|waiting| waiting == 0);
    Ok(fcntl_getpipe_size(file).ok().filter(|_| is_empty()).unwrap_or(PIECE))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{PipeReader, Read, pipe},
    };

    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;

    fn lines(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|at| format!("{at}:{}\n", "x".repeat(5000)).into_bytes()).collect()
    }

    fn taken(mut reader: PipeReader, bytes: usize) -> Vec<u8> {
        let mut all = vec![0; bytes];
        reader.read_exact(&mut all).unwrap();
        all
    }

    #[test]
    fn a_pipe_that_does_not_block_gets_every_line_whole() {
        let (reader, writer) = pipe().unwrap();
        fcntl_setfl(&writer, OFlags::NONBLOCK | OFlags::WRONLY).unwrap();
        let writer = Writer::start("standard output", writer).unwrap();
        let lines = lines(100);
        for line in &lines {
            writer.push(line.clone()).unwrap();
        }
        let all = lines.concat();
        let reading = thread::spawn({
            let bytes = all.len();
            move || taken(reader, bytes)
        });
        writer.finish(|| false).unwrap();
        assert!(reading.join().unwrap() == all);
    }

    #[test]
    fn a_reader_that_does_not_read_holds_up_nobody() {
        let (reader, writer) = pipe().unwrap();
        let writer = Writer::start("standard output", writer).unwrap();
        let begun = Instant::now();
        let lines = lines(1000);
        for line in &lines {
            writer.push(line.clone()).unwrap();
            writer.catch_up();
        }
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        assert!(!writer.has_room());
        let said = writer.finish(|| true).unwrap_err().to_string();
        assert!(
            said.starts_with(
                "cannot write to standard output: its reader has taken nothing for 2 s; not written: 9"
            ),
            "{said}"
        );
        // It may still begin to read, and then nothing is missing.
        let all = lines.concat();
        let reading = thread::spawn({
            let bytes = all.len();
            move || taken(reader, bytes)
        });
        writer.finish(|| false).unwrap();
        assert!(reading.join().unwrap() == all && writer.has_room());
    }

    #[test]
    fn a_failure_says_what_could_not_be_written() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let writer = Writer::start("standard output", full).unwrap();
        writer.push(b"x\n".to_vec()).unwrap();
        let error = writer.finish(|| false).unwrap_err();
        assert_eq!(error.to_string(), "cannot write to standard output: No space left on device");
        assert!(writer.check_failed().is_err() && writer.push(b"x\n".to_vec()).is_err());
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let writer = Writer::start("standard output", writer).unwrap();
        writer.push(b"x\n".to_vec()).unwrap();
        let error = writer.finish(|| false).unwrap_err();
        assert!(
            matches!(error, Unwritten::Refused { error, .. } if error.kind() == io::ErrorKind::BrokenPipe)
        );
    }
}
