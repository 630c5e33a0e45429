//! A disk that answers late: a file served by a FUSE process that delays each request, with a loop device over it.
//!
//! The server is a process of its own. Were it a thread of the tests, a killed run would wait for its own disk for
//! ever; so it dies with the tests, and the kernel fails what it has not answered.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, WriteFlags,
};

use super::{
    Lab,
    fault::die_with_parent,
    image::{Loop, Mounted},
    stuck::vfork_into_open,
    unmount,
};
use crate::{Outcome, Skip, workload};

/// The name of the only file.
const FILE: &str = "disk";
const FILE_INODE: INodeNo = INodeNo(2);

/// What the server and its command line share.
#[derive(Default)]
struct Pace {
    delay_ns: AtomicU64,
    /// Reads, and their time.
    served: AtomicU64,
    served_ns: AtomicU64,
    /// Whether the next read makes the server wait for itself.
    tangle: AtomicBool,
}

struct Disk {
    place: PathBuf,
    pace: Arc<Pace>,
    bytes: Mutex<Vec<u8>>,
    size: u64,
}

impl Disk {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let directory = inode == INodeNo::ROOT;
        FileAttr {
            ino: inode,
            size: if directory { 0 } else { self.size },
            blocks: self.size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if directory { FileType::Directory } else { FileType::RegularFile },
            perm: if directory { 0o700 } else { 0o600 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// Does `work`, and lets it last as long as a request has to.
    fn serve<T>(&self, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let start = Instant::now();
        let result = work(&mut self.bytes.lock().expect("no request panics"));
        let delay = Duration::from_nanos(self.pace.delay_ns.load(Ordering::Relaxed));
        thread::sleep(delay.saturating_sub(start.elapsed()));
        result
    }
}

/// Nothing about the one file ever changes.
const FOR_EVER: Duration = Duration::from_secs(1 << 20);

impl Filesystem for Disk {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        config.add_capabilities(InitFlags::FUSE_MAX_PAGES).ok();
        config.set_max_write(1 << 20).ok();
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == FILE {
            reply.entry(&FOR_EVER, &self.attributes(FILE_INODE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOR_EVER, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Past the page cache, or only the first read of a block would be slow.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if self.pace.tangle.swap(false, Ordering::Relaxed) {
            // The child opens the file before it calls exec, and that is for this very thread to answer.
            vfork_into_open(&self.place.join(FILE));
        }
        let began = Instant::now();
        let data = self.serve(|bytes| {
            let start = (offset as usize).min(bytes.len());
            let end = (start + size as usize).min(bytes.len());
            bytes[start..end].to_vec()
        });
        self.pace.served.fetch_add(1, Ordering::Relaxed);
        self.pace.served_ns.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
        reply.data(&data);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.serve(|bytes| {
            let start = (offset as usize).min(bytes.len());
            let length = data.len().min(bytes.len() - start);
            bytes[start..start + length].copy_from_slice(&data[..length]);
            length
        });
        reply.written(written as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.serve(|_| ());
        reply.ok();
    }
}

/// The server: mounts at a directory, answers the commands on its standard input, ends with it.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    die_with_parent();
    let place = PathBuf::from(arguments.next().expect("a place to mount at"));
    let size: u64 = arguments.next().and_then(|text| text.to_str()?.parse().ok()).expect("a size in bytes");
    // SAFETY: PR_SET_TIMERSLACK takes a number.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    workload::prefer_this_thread();
    let pace = Arc::new(Pace::default());
    let bytes = Mutex::new(vec![0; size as usize]);
    let disk = Disk { place: place.clone(), pace: Arc::clone(&pace), bytes, size };
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName(super::PREFIX.to_owned() + "disk")];
    let session = match fuser::spawn_mount(disk, &place, &config) {
        Ok(session) => session,
        Err(error) => {
            println!("cannot mount: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("mounted");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        if let Some(delay) = line.strip_prefix("delay ") {
            pace.delay_ns.store(delay.parse().expect("a delay in ns"), Ordering::Relaxed);
        }
        if line == "tangle" {
            pace.tangle.store(true, Ordering::Relaxed);
        }
        println!("{} {}", pace.served.load(Ordering::Relaxed), pace.served_ns.load(Ordering::Relaxed));
    }
    drop(session);
    ExitCode::SUCCESS
}

/// The server process, as the tests see it.
struct Server {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    place: PathBuf,
}

impl Server {
    fn start(lab: &Lab, bytes: u64) -> Outcome<Server> {
        let place = lab.directory("fuse");
        let mut child = Command::new(std::env::current_exe().expect("the tests have a path"))
            .arg("--lab-disk")
            .arg(&place)
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests can start themselves");
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let mut server = Server { child, commands, answers, place };
        match server.answer().as_str() {
            "mounted" => Ok(server),
            complaint if !Path::new("/dev/fuse").exists() => Err(Skip::because(format!("fuse: {complaint}"))),
            complaint => panic!("fuse: {complaint}"),
        }
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the disk server answers");
        line.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.commands.take());
        unmount(&self.place);
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir(&self.place).ok();
    }
}

/// The reads that the slow disk has served.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Served {
    /// How many.
    pub(crate) requests: u64,
    /// Time that they took in the server, ns.
    pub(crate) ns: u64,
}

/// A block device whose requests take as long as a test wants, and an ext4 on it. Torn down in this order.
pub(crate) struct SlowDisk {
    /// The file system.
    pub(crate) mount: Mounted,
    /// The device.
    pub(crate) device: Loop,
    server: Mutex<Server>,
}

impl SlowDisk {
    /// Sets one up; it is fast until [`SlowDisk::delay`].
    pub(crate) fn new(lab: &Lab, bytes: u64) -> Outcome<SlowDisk> {
        let server = Server::start(lab, bytes)?;
        let device = Loop::attach(&server.place.join(FILE))?;
        let mount = Mounted::ext4(lab, &device)?;
        Ok(SlowDisk { mount, device, server: Mutex::new(server) })
    }

    fn ask(&self, command: &str) -> Served {
        let mut server = self.server.lock().expect("no question to the disk server panics");
        writeln!(server.commands.as_mut().expect("the disk server listens"), "{command}")
            .expect("the disk server listens");
        let answer = server.answer();
        let mut numbers = answer.split(' ').map(|number| number.parse().expect("the answer is numbers"));
        Served { requests: numbers.next().unwrap_or(0), ns: numbers.next().unwrap_or(0) }
    }

    /// The process that serves it.
    pub(crate) fn server(&self) -> u32 {
        self.server.lock().expect("no question to the disk server panics").child.id()
    }

    /// The file below the device, which the server serves.
    pub(crate) fn file(&self) -> PathBuf {
        self.server.lock().expect("no question to the disk server panics").place.join(FILE)
    }

    /// Lets the server wait for itself at the next read.
    pub(crate) fn tangle(&self) {
        self.ask("tangle");
    }

    /// Lets each request take at least this long.
    pub(crate) fn delay(&self, delay: Duration) {
        self.ask(&format!("delay {}", delay.as_nanos()));
    }

    /// What it has done so far.
    pub(crate) fn served(&self) -> Served {
        self.ask("served")
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // Unmounting writes; that need not be slow.
        self.delay(Duration::ZERO);
    }
}
