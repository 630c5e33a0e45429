//! Threads that append to one file past the cache: while one waits for the disk, the others wait for the inode's lock.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use rustix::fs::OFlags;

use crate::report::Truth;

const THREADS: usize = 4;
const BLOCKS: u64 = 100;
const BLOCK: usize = 4096;

/// Runs them on a file in `directory`; leaves in the file `truth` how often and how long they wrote. To open the
/// file counts as well: it takes the directory's lock, which has the same name.
pub(crate) fn run(directory: &Path, truth: &Path) -> Result<()> {
    let file = directory.join("appended");
    let threads = [(); THREADS].map(|()| {
        let file = file.clone();
        thread::spawn(move || append(&file))
    });
    let mut written = Truth { op: "inode i_rwsem".to_owned(), ..Truth::default() };
    for thread in threads {
        written.sum_ns += thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        written.count += 1 + BLOCKS;
    }
    Ok(fs::write(truth, serde_json::to_vec(&[written])?)?)
}

/// How long all the calls of one took, ns.
fn append(file: &Path) -> Result<u64> {
    let start = Instant::now();
    let direct = OFlags::DIRECT.bits().cast_signed();
    let mut file = OpenOptions::new().append(true).create(true).custom_flags(direct).open(file)?;
    // Direct I/O asks for aligned memory: somewhere in twice as much there is a whole block.
    let room = vec![0x5a; 2 * BLOCK];
    let block = &room[room.as_ptr().align_offset(BLOCK)..][..BLOCK];
    let mut ns = u64::try_from(start.elapsed().as_nanos())?;
    for _ in 0..BLOCKS {
        let start = Instant::now();
        file.write_all(block)?;
        ns += u64::try_from(start.elapsed().as_nanos())?;
    }
    Ok(ns)
}
