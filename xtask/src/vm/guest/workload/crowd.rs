//! Jobs of more than one thread: what happens to the first is made by the others, which have another name.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::Result;
use rustix::fs::OFlags;

use super::job::{KIB, MIB, SPAN, buffer, lasting};

/// The name of the others.
const HOLDER: &str = "holder";

/// How many others crowd a disk.
const CROWD: u64 = 31;

/// Runs `others` in a thread of their own, beside `own`.
pub(super) fn beside(
    others: impl FnOnce() -> Result<()> + Send + 'static,
    own: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let other = thread::Builder::new().name(HOLDER.to_owned()).spawn(others)?;
    own()?;
    other.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?
}

/// Two threads read through one descriptor, past the cache: the other one much at a time.
pub(super) fn shared(file: &Path) -> Result<()> {
    let file = Arc::new(direct(file)?);
    let other = Arc::clone(&file);
    let read = |file: &File, bytes: usize| {
        let block = buffer(bytes);
        lasting(move |_| {
            if (&*file).read(block)? < bytes {
                (&*file).seek(SeekFrom::Start(0))?;
            }
            Ok(())
        })
    };
    beside(move || read(&other, MIB), || read(&file, 4 * KIB))
}

/// Many threads read blocks that are no neighbours.
pub(super) fn crowd(file: &Path) -> Result<()> {
    let file = Arc::new(direct(file)?);
    let read = |file: &File, thread: u64| {
        let block = buffer(4 * KIB);
        lasting(|number| {
            let place = (number * (CROWD + 1) + thread) * 16 * KIB as u64;
            Ok(file.read_exact_at(block, place % (8 * SPAN))?)
        })
    };
    let mut others = Vec::new();
    for thread in 1..=CROWD {
        let file = Arc::clone(&file);
        others.push(thread::Builder::new().name(HOLDER.to_owned()).spawn(move || read(&file, thread))?);
    }
    read(&file, 0)?;
    others.into_iter().try_for_each(|other| other.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
}

fn direct(file: &Path) -> Result<File> {
    Ok(OpenOptions::new().read(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(file)?)
}
