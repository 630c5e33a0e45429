//! Reads that go on while their thread does other things, by Linux's own asynchronous I/O, and a write that cannot be made
//! beside them.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::fs::OFlags;

use super::crowd::beside;
use super::job::{KIB, buffer, lasting};

/// How many reads are under way, and how large they are.
const READS: usize = 8;
const LENGTH: usize = 512 * KIB;

/// A part of a block, as small as disks have them.
const SECTOR: usize = 512;

/// How long after a write the next begins, so that there are reads again.
const PAUSE: Duration = Duration::from_millis(20);

/// Fills a part of a new block again and again, while the other thread has reads under way.
pub(super) fn unaligned(path: &Path) -> Result<()> {
    let direct = OFlags::DIRECT.bits().cast_signed();
    let file = OpenOptions::new().read(true).write(true).custom_flags(direct).open(path)?;
    let end = file.metadata()?.len();
    let reader = file.try_clone()?;
    let block = buffer(SECTOR);
    let write = |number: u64| {
        sleep(PAUSE);
        Ok(file.write_all_at(block, end + number * 4 * KIB as u64 + SECTOR as u64)?)
    };
    beside(move || reads(reader.as_raw_fd()), || lasting(write))
}

/// Keeps reads under way: the next begin when all have ended.
fn reads(file: i32) -> Result<()> {
    let mut context: libc::c_ulong = 0;
    // SAFETY: the kernel writes the context's number.
    ensure!(unsafe { libc::syscall(libc::SYS_io_setup, READS, &raw mut context) } == 0, "io_setup fails");
    let mut requests: Vec<_> = (0..READS).map(|at| Request::read(file, at)).collect();
    let mut events = [[0_u64; 4]; READS];
    lasting(|_| {
        let mut list: Vec<_> = requests.iter_mut().map(std::ptr::from_mut).collect();
        // SAFETY: the requests, and their memory, are there until they have ended, which is waited for.
        let submitted = unsafe { libc::syscall(libc::SYS_io_submit, context, READS, list.as_mut_ptr()) };
        ensure!(usize::try_from(submitted) == Ok(READS), "io_submit takes {submitted}");
        // SAFETY: there is room for as many events.
        let ended = unsafe {
            let none = std::ptr::null_mut::<libc::timespec>();
            libc::syscall(libc::SYS_io_getevents, context, READS, READS, events.as_mut_ptr(), none)
        };
        ensure!(usize::try_from(ended) == Ok(READS), "io_getevents has {ended}");
        Ok(())
    })
}

/// `struct iocb` (include/uapi/linux/aio_abi.h).
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    key: u64,
    opcode: u16,
    priority: u16,
    file: u32,
    memory: u64,
    bytes: u64,
    offset: u64,
    reserved: u64,
    flags: u32,
    event: u32,
}

impl Request {
    /// `IOCB_CMD_PREAD`, which is 0.
    fn read(file: i32, at: usize) -> Self {
        Self {
            file: file.cast_unsigned(),
            memory: buffer(LENGTH).as_mut_ptr() as u64,
            bytes: LENGTH as u64,
            offset: (at * LENGTH) as u64,
            ..Self::default()
        }
    }
}
