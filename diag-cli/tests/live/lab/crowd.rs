//! Many threads that are stuck, each behind a holder of its own that sleeps interruptibly.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    os::fd::AsRawFd as _,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Lab, disk::SlowDisk, stuck::Stopped, wait_until};
use crate::{Outcome, hung::asleep};

const PAGE: u64 = 4096;
/// How long a crowd may take to fall asleep.
const PATIENCE: Duration = Duration::from_secs(20);

/// A file whose server can be kept from answering.
pub(crate) struct Unanswered(SlowDisk);

impl Unanswered {
    pub(crate) fn new(lab: &Lab) -> Outcome<Unanswered> {
        SlowDisk::new(lab, 64 << 20).map(Unanswered)
    }

    /// The process that does not answer.
    pub(crate) fn server(&self) -> u32 {
        self.0.server()
    }

    /// Two threads of this process for each pair, which read at the position of one open file: the first sleeps interruptibly, for
    /// the server, and the second uninterruptibly, for the position, which the first one holds. Meanwhile this process can start no
    /// other: exec would wait for the server to close the files.
    pub(crate) fn crowd(&self, pairs: u64) -> Crowd {
        let open_at = |pair: u64| {
            let mut file = File::open(self.0.file()).expect("it is there");
            // SAFETY: a descriptor that is open; the pages are read one by one.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
            // Nothing has been written there, so nothing is cached.
            file.seek(SeekFrom::Start((32 << 20) + pair * PAGE)).expect("files have positions");
            file
        };
        let files: Vec<Arc<File>> = (0..pairs).map(open_at).map(Arc::new).collect();
        let stopped = Stopped::new(self.0.server());
        let read_twice = |file: Arc<File>| {
            (0..2).map(move |_| {
                let file = Arc::clone(&file);
                let read = move || (&*file).read(&mut [0; PAGE as usize]).map(drop);
                thread::Builder::new().stack_size(64 << 10).spawn(read).expect("threads can be had")
            })
        };
        Crowd { pairs, stopped, readers: files.into_iter().flat_map(read_twice).collect() }
    }
}

/// Pairs of threads, one of each stuck behind the other.
pub(crate) struct Crowd {
    pairs: u64,
    stopped: Stopped,
    readers: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Crowd {
    /// Waits until one thread of each pair is in uninterruptible sleep.
    pub(crate) fn is_asleep(&self) -> bool {
        wait_until(PATIENCE, || asleep(std::process::id()) as u64 >= self.pairs)
    }

    /// Lets the server answer, and all of them go on and end.
    pub(crate) fn end(self) {
        drop(self.stopped);
        for reader in self.readers {
            reader.join().expect("reading does not panic").expect("the server answers at last");
        }
    }
}
