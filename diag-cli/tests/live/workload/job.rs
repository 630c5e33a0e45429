//! Doing jobs: every system call between two readings of the clock.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd},
        unix::{
            fs::{FileExt, OpenOptionsExt, PermissionsExt},
            net::UnixStream,
        },
    },
    sync::{Arc, Barrier},
    thread,
    time::Instant,
};

use super::{
    Call,
    call::{self, Buffer},
    plan::{Job, Samples, Step},
};

/// What threads saw, by call.
type All = BTreeMap<Call, Samples>;

/// Does all jobs at the same time.
pub(crate) fn run_all(jobs: &[Job]) -> All {
    let threads: usize = jobs.iter().map(|job| job.threads).sum();
    let start = Arc::new(Barrier::new(threads));
    let workers: Vec<_> = jobs
        .iter()
        .flat_map(|job| (0..job.threads).map(move |number| (job.clone(), number)))
        .map(|(job, number)| {
            let start = Arc::clone(&start);
            thread::spawn(move || Worker::new(&job, number).run(&job, &start))
        })
        .collect();
    let mut all = All::new();
    for worker in workers {
        for (call, samples) in worker.join().expect("no job panics") {
            all.entry(call).or_default().add(&samples);
        }
    }
    all
}

struct Worker {
    file: File,
    buffer: Buffer,
    number: usize,
    seen: All,
    schedstat: File,
}

impl Worker {
    fn new(job: &Job, number: usize) -> Worker {
        let mut path = job.file.clone();
        if job.open.each {
            path.push(format!(".{number}"));
        }
        let flags = if job.open.direct { libc::O_DIRECT } else { 0 };
        let writes = match job.step {
            Step::Transfer { call, sync, .. } => call.writes() || sync.is_some(),
            Step::Touch | Step::Every => true,
            Step::Elsewhere => false,
        };
        let file = OpenOptions::new()
            .read(!job.open.append)
            .write(writes && !job.open.append)
            .append(job.open.append)
            .create(writes)
            .truncate(false)
            .custom_flags(flags)
            .open(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let buffer = Buffer::new(if let Step::Transfer { block, .. } = job.step { block } else { 4096 });
        let schedstat = File::open("/proc/thread-self/schedstat").expect("the kernel counts run delay");
        Worker { file, buffer, number, seen: All::new(), schedstat }
    }

    fn run(mut self, job: &Job, start: &Barrier) -> All {
        start.wait();
        let began = Instant::now();
        for round in 0..job.count {
            if began.elapsed() >= job.limit {
                break;
            }
            match job.step {
                Step::Transfer { call, block, span, random, evict, sync } => {
                    let blocks = (span / block as u64).max(1);
                    // Threads that share a file begin at different places of it.
                    let turn = round + self.number as u64 * blocks / job.threads as u64;
                    let place = if random { scatter(turn) } else { turn };
                    let offset = place % blocks * block as u64;
                    if evict {
                        self.evict();
                    }
                    self.timed(call, offset);
                    if let Some(sync) = sync {
                        self.timed(sync, 0);
                    }
                }
                Step::Touch => {
                    let mode = if round % 2 == 0 { 0o600 } else { 0o640 };
                    self.file.set_permissions(fs::Permissions::from_mode(mode)).expect("root may");
                    self.timed(Call::Fsync, 0);
                }
                Step::Every => {
                    for (times, &call) in Call::ALL.iter().enumerate() {
                        (0..=times).for_each(|_| self.timed(call, 0));
                    }
                }
                Step::Elsewhere => elsewhere(),
            }
        }
        self.seen
    }

    fn timed(&mut self, call: Call, offset: u64) {
        let [ran, waited] = self.schedstat();
        // Instant reads CLOCK_MONOTONIC, without entering the kernel.
        let start = Instant::now();
        let result = call::make(call, self.file.as_fd(), &mut self.buffer, offset);
        let ns = start.elapsed().as_nanos() as u64;
        let bytes = result.unwrap_or_else(|error| panic!("{}: {error}", call.name()));
        let [ran_then, waited_then] = self.schedstat();
        let samples = self.seen.entry(call).or_default();
        samples.ns.push(ns);
        samples.bytes += bytes as u64;
        samples.run_delay_ns += waited_then - waited;
        samples.on_cpu_ns += ran_then - ran;
    }

    /// How long this thread has run, and has waited to run, in all its life, ns.
    fn schedstat(&self) -> [u64; 2] {
        let mut text = [0u8; 64];
        let length = self.schedstat.read_at(&mut text, 0).unwrap_or(0);
        let text = str::from_utf8(&text[..length]).unwrap_or("");
        let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or_default());
        [(); 2].map(|()| numbers.next().expect("schedstat has two numbers"))
    }

    /// Drops all of the file from the page cache: of a part, the kernel keeps what is in a larger folio.
    fn evict(&self) {
        // SAFETY: posix_fadvise takes an open descriptor and numbers.
        unsafe { libc::posix_fadvise(self.file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
}

/// A number that looks like none of its neighbours (the finalizer of SplitMix64).
fn scatter(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Reads and writes what is not a file on a file system or a block device.
fn elsewhere() {
    let mut byte = [0u8; 16];
    let (mut reader, mut writer) = std::io::pipe().expect("pipes exist");
    writer.write_all(&byte).and_then(|()| reader.read_exact(&mut byte)).expect("pipes work");
    let (mut one, mut other) = UnixStream::pair().expect("sockets exist");
    one.write_all(&byte).and_then(|()| other.read_exact(&mut byte)).expect("sockets work");
    let (mut master, mut terminal) = terminal();
    terminal.write_all(b"x").and_then(|()| master.read_exact(&mut byte[..1])).expect("terminals work");
    for path in
        ["/proc/self/stat", "/proc/meminfo", "/sys/kernel/mm/transparent_hugepage/enabled", "/dev/zero"]
    {
        if let Ok(mut file) = File::open(path) {
            file.read_exact(&mut byte[..1]).expect("it has a byte");
        }
    }
    File::create("/dev/null").and_then(|mut null| null.write_all(&byte)).expect("/dev/null takes all");
}

fn terminal() -> (File, File) {
    let master = File::options().read(true).write(true).open("/dev/ptmx").expect("terminals exist");
    let mut name = [0u8; 64];
    let fd = master.as_raw_fd();
    // SAFETY: the descriptor is open, and the buffer as long as said.
    let failed = unsafe {
        libc::grantpt(fd) != 0
            || libc::unlockpt(fd) != 0
            || libc::ptsname_r(fd, name.as_mut_ptr().cast(), name.len()) != 0
    };
    assert!(!failed, "no terminal: {}", std::io::Error::last_os_error());
    let end = name.iter().position(|&byte| byte == 0).expect("the name ends");
    let path = CString::new(&name[..end]).expect("the name ends once");
    // SAFETY: the path is a C string; the descriptor is owned by nobody else.
    let slave = unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_NOCTTY);
        assert!(fd >= 0, "{}: {}", path.to_bytes().escape_ascii(), std::io::Error::last_os_error());
        File::from_raw_fd(fd)
    };
    (master, slave)
}
