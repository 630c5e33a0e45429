//! A known number of file operations, each timed by its caller.

use std::fs::{self, OpenOptions};
use std::io::{Read, Result as IoResult, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::report::Truth;

/// Blocks of the file that is written and read at offsets.
const BLOCKS: u64 = 1000;
const BLOCK: usize = 4096;

/// So many blocks are written between two calls of `fsync`.
const BLOCKS_PER_FSYNC: u64 = 20;

/// Chunks of the file that is written and read from start to end.
const CHUNKS: u64 = 200;
const CHUNK: usize = 1000;

/// Does the operations in `directory`; leaves what they were in the file `truth`.
pub(crate) fn run(directory: &Path, truth: &Path) -> Result<()> {
    let mut ops = Ops::default();
    write_files(directory, &mut ops)?;
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    read_files(directory, &mut ops)?;
    Ok(fs::write(truth, serde_json::to_vec(&ops.0)?)?)
}

fn write_files(directory: &Path, ops: &mut Ops) -> Result<()> {
    let block = [0x5a; BLOCK];
    let blocks = OpenOptions::new().write(true).create(true).truncate(true).open(directory.join("blocks"))?;
    for number in 0..BLOCKS {
        ops.time("pwrite64", || blocks.write_at(&block, number * BLOCK as u64))?;
        if number % BLOCKS_PER_FSYNC == BLOCKS_PER_FSYNC - 1 {
            ops.time("fsync", || blocks.sync_all().map(|()| 0))?;
        }
    }
    let mut chunks =
        OpenOptions::new().write(true).create(true).truncate(true).open(directory.join("chunks"))?;
    for _ in 0..CHUNKS {
        ops.time("write", || chunks.write(&block[..CHUNK]))?;
    }
    ops.time("fdatasync", || chunks.sync_data().map(|()| 0))
}

fn read_files(directory: &Path, ops: &mut Ops) -> Result<()> {
    let mut block = [0; BLOCK];
    let blocks = OpenOptions::new().read(true).open(directory.join("blocks"))?;
    // Backwards, so that read-ahead does not turn the misses into hits.
    for number in (0..BLOCKS).rev() {
        ops.time("pread64", || blocks.read_at(&mut block, number * BLOCK as u64))?;
    }
    let mut chunks = OpenOptions::new().read(true).open(directory.join("chunks"))?;
    for _ in 0..CHUNKS {
        ops.time("read", || chunks.read(&mut block[..CHUNK]))?;
    }
    Ok(())
}

/// What was done so far, by operation.
#[derive(Default)]
struct Ops(Vec<Truth>);

impl Ops {
    /// Makes a call that moves as many bytes as it returns.
    fn time(&mut self, op: &str, call: impl FnOnce() -> IoResult<usize>) -> Result<()> {
        let start = Instant::now();
        let done = call();
        let elapsed = start.elapsed();
        let bytes = done.with_context(|| format!("{op} failed"))?;
        let truth = self.entry(op);
        truth.count += 1;
        truth.bytes += bytes as u64;
        truth.sum_ns += u64::try_from(elapsed.as_nanos())?;
        Ok(())
    }

    fn entry(&mut self, op: &str) -> &mut Truth {
        let index = self.0.iter().position(|truth| truth.op == op).unwrap_or_else(|| {
            self.0.push(Truth { op: op.to_owned(), ..Truth::default() });
            self.0.len() - 1
        });
        &mut self.0[index]
    }
}
