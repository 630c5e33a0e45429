//! A file system whose server takes its time (FUSE), in process 1 itself.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::elsewhere::VICTIM;
use super::jobs::Job;
use super::{Seen, beside, proven};

/// How long each answer takes.
const SLOWNESS: Duration = Duration::from_millis(30);

/// Where it is mounted: its root is a file, or a directory.
const FILE: &str = "/run/served";
const DIRECTORY: &str = "/run/served.d";

const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;

/// Reads of a file whose server sleeps before each answer.
pub(super) fn slow_server(tools: &[&'static str]) -> Result<Seen> {
    File::create(FILE)?;
    let server = Server::start(FILE, S_IFREG)?;
    beside(tools, &VICTIM, || {
        Job::start("victim", None, None, "read direct", FILE)?.end()?;
        let ms = server.slept_ms();
        ensure!(ms > 2000, "the fault did not happen: the server slept for {ms} ms");
        Ok(format!("the server slept for {ms} ms before its answers"))
    })
}

/// Directories are made below one whose server is slow, which holds the lock of that one.
pub(super) fn slow_directory(tools: &[&'static str]) -> Result<Seen> {
    fs::create_dir_all(DIRECTORY)?;
    let _server = Server::start(DIRECTORY, S_IFDIR)?;
    beside(tools, &VICTIM, || {
        let holders = [(); 3].map(|()| Job::start("holder", None, None, "mkdir", DIRECTORY));
        let victim = Job::start("victim", None, None, "mkdir", DIRECTORY)?;
        let innermost =
            ["^filename_create", "^__start_dirop", "^start_dirop", "^do_mkdirat", "^down_write", "^rwsem_"];
        let seen = victim.watch(&innermost)?;
        holders.into_iter().try_for_each(|holder| holder?.end())?;
        proven("times seen asleep for the directory's lock", seen)
    })
}

/// A server; what it serves is unmounted when this is dropped, which ends it.
struct Server {
    mounted: &'static str,
    slept_ns: Arc<AtomicU64>,
}

impl Server {
    /// Mounts a file system that has nothing but its root, of this type.
    fn start(mounted: &'static str, kind: u32) -> Result<Self> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").context("/dev/fuse")?;
        let data = format!("fd={},rootmode={kind:o},user_id=0,group_id=0\0", device.as_raw_fd());
        let data = std::ffi::CStr::from_bytes_with_nul(data.as_bytes())?;
        mount(c"served", mounted, c"fuse", MountFlags::empty(), Some(data)).context("cannot mount FUSE")?;
        let slept_ns = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&slept_ns);
        thread::Builder::new().name("server".to_owned()).spawn(move || serve(device, kind, &counted))?;
        Ok(Self { mounted, slept_ns })
    }

    fn slept_ms(&self) -> u64 {
        self.slept_ns.load(Ordering::Relaxed) / 1_000_000
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = unmount(self.mounted, UnmountFlags::DETACH) {
            eprintln!("init: cannot unmount {}: {error}", self.mounted);
        }
    }
}

/// Requests (`enum fuse_opcode`, include/uapi/linux/fuse.h).
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const MKDIR: u32 = 9;
const OPEN: u32 = 14;
const READ: u32 = 15;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const ENOSYS: i32 = 38;

/// Answers until the file system is gone.
fn serve(mut device: File, kind: u32, slept_ns: &AtomicU64) {
    let mut request = vec![0; 1 << 17];
    while let Ok(length) = device.read(&mut request) {
        let word = |at: usize| {
            request[..length].get(at..at + 4).map_or(0, |it| u32::from_ne_bytes([it[0], it[1], it[2], it[3]]))
        };
        let opcode = word(4);
        if matches!(opcode, FORGET | BATCH_FORGET | INTERRUPT) {
            continue;
        }
        if matches!(opcode, READ | LOOKUP | MKDIR) {
            let start = Instant::now();
            sleep(SLOWNESS);
            slept_ns.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        let (error, body) = match opcode {
            INIT => (0, initial()),
            GETATTR => (0, attributes(kind)),
            // FOPEN_DIRECT_IO: each read reaches the server.
            OPEN => (0, words(&[0, 0, 1, 0])),
            READ => (0, vec![1; word(56) as usize]),
            RELEASE | FLUSH => (0, Vec::new()),
            LOOKUP => (-ENOENT, Vec::new()),
            MKDIR => (-EACCES, Vec::new()),
            _ => (-ENOSYS, Vec::new()),
        };
        let mut answer = words(&[16 + body.len() as u32, error.cast_unsigned(), word(8), word(12)]);
        answer.extend(body);
        device.write_all(&answer).ok();
    }
}

/// `struct fuse_init_out`: version 7.31, no flags, and 4 KiB for each write.
fn initial() -> Vec<u8> {
    let mut words_of = [0; 16];
    (words_of[0], words_of[1], words_of[5]) = (7, 31, 4096);
    words(&words_of)
}

/// `struct fuse_attr_out`: the root, with 8 MiB in it.
fn attributes(kind: u32) -> Vec<u8> {
    let mut words_of = [0; 26];
    (words_of[0], words_of[4], words_of[6]) = (60, 1, 8 << 20);
    (words_of[19], words_of[20]) = (kind | 0o777, 1);
    words(&words_of)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
