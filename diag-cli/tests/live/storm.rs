//! Storms: processes that do one thing that makes a guest exit, again and again, and count it themselves.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    os::{
        fd::{AsFd, FromRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    process::{Child, Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    lab::fault::{die_with_parent, pin},
    workload::{Buffer, Call, make},
};

/// What a storm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two threads on two CPUs wake each other through pipes; counts round trips.
    Pipes,
    /// The same, while a third thread keeps the second CPU busy, and gives way to anybody.
    BusyPipes,
    /// One thread takes away and gives back the right to write to a page that it writes, while another runs elsewhere;
    /// counts the calls.
    Protect,
    /// Reads a timer that expires every 500 µs; counts expiries.
    Timer,
    /// Sleeps for 400 µs at a time.
    Sleeps,
    /// Reads from a file without the page cache.
    Reads,
}

impl Kind {
    const ALL: [(&'static str, Kind); 6] = [
        ("pipes", Kind::Pipes),
        ("busy-pipes", Kind::BusyPipes),
        ("protect", Kind::Protect),
        ("timer", Kind::Timer),
        ("sleeps", Kind::Sleeps),
        ("reads", Kind::Reads),
    ];

    fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(_, kind)| *kind == self).expect("all have a name").0
    }
}

/// The name of a storm's threads.
pub(crate) const COMM: &str = "osdiag-storm";

/// A storm that waits to be let loose.
pub(crate) struct Storm {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Storm {
    /// Starts its process. Of what it reads from, if it does, the path is given.
    pub(crate) fn ready(kind: Kind, file: Option<&std::path::Path>) -> Storm {
        let mut command = Command::new(std::env::current_exe().expect("the tests have a path"));
        command.args(["--lab-storm", kind.name()]).args(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the tests start again");
        let mut said = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a storm speaks");
        assert_eq!(line, "ready\n");
        Storm { child, said }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it loose for a while, and returns what it counted.
    pub(crate) fn rage(&mut self, time: Duration) -> u64 {
        let order = format!("{}\n", time.as_millis());
        let stdin = self.child.stdin.as_mut().expect("its input is a pipe");
        stdin.write_all(order.as_bytes()).expect("a storm listens");
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a storm speaks");
        line.trim().parse().unwrap_or_else(|_| panic!("a storm counts: {line:?}"))
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The storm's side: for each line of its input, a time in ms, it rages for so long and writes its count.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    die_with_parent();
    let name = arguments.next().unwrap_or_default();
    let Some(&(_, kind)) = Kind::ALL.iter().find(|(known, _)| name == *known) else {
        return ExitCode::FAILURE;
    };
    let file = arguments.next();
    name_thread();
    println!("ready");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let end = Instant::now() + Duration::from_millis(line.parse().expect("a time"));
        let count = match kind {
            Kind::Pipes => pipes(end),
            Kind::BusyPipes => beside_a_hog(|| pipes(end)),
            Kind::Protect => protect(end),
            Kind::Timer => timer(end),
            Kind::Sleeps => sleeps(end),
            Kind::Reads => reads(end, file.as_ref().expect("a file to read")),
        };
        println!("{count}");
    }
    ExitCode::SUCCESS
}

fn name_thread() {
    let name = std::ffi::CString::new(COMM).expect("a plain name");
    // SAFETY: PR_SET_NAME reads a string.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: the array takes two descriptors, which nobody else has.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0, "a pipe");
        (File::from(OwnedFd::from_raw_fd(ends[0])), File::from(OwnedFd::from_raw_fd(ends[1])))
    }
}

fn pipes(end: Instant) -> u64 {
    let ((mut there, mut send), (mut back, mut answer)) = (pipe(), pipe());
    let other = thread::spawn(move || {
        name_thread();
        pin(1);
        let mut byte = [0];
        while matches!(there.read(&mut byte), Ok(1)) {
            answer.write_all(&byte).ok();
        }
    });
    pin(0);
    let (mut count, mut byte) = (0, [0]);
    while Instant::now() < end {
        send.write_all(&byte).expect("the pipe is open");
        back.read_exact(&mut byte).expect("the other thread answers");
        count += 1;
    }
    drop(send);
    other.join().expect("the other thread ends");
    count
}

/// While a thread on the second CPU runs whenever nobody else does.
fn beside_a_hog<T>(work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            name_thread();
            pin(1);
            let parameter = libc::sched_param { sched_priority: 0 };
            // SAFETY: the struct is valid for reads.
            unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) };
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
}

const PAGE: usize = 4096;

fn protect(end: Instant) -> u64 {
    let over = AtomicBool::new(false);
    // SAFETY: an anonymous mapping of its own.
    let page = unsafe {
        let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        libc::mmap(std::ptr::null_mut(), PAGE, rights, flags, -1, 0)
    };
    assert_ne!(page, libc::MAP_FAILED, "a page");
    let mut count = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            name_thread();
            pin(1);
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        pin(0);
        while Instant::now() < end {
            // SAFETY: the page is mapped, and writable here.
            unsafe {
                page.cast::<u8>().write_volatile(1);
                libc::mprotect(page, PAGE, libc::PROT_READ);
                libc::mprotect(page, PAGE, libc::PROT_READ | libc::PROT_WRITE);
            }
            count += 2;
        }
        over.store(true, Ordering::Relaxed);
    });
    // SAFETY: the page is mapped.
    unsafe { libc::munmap(page, PAGE) };
    count
}

fn timer(end: Instant) -> u64 {
    let period = libc::timespec { tv_sec: 0, tv_nsec: 500_000 };
    let every = libc::itimerspec { it_interval: period, it_value: period };
    // SAFETY: a new descriptor, and a struct that is valid for reads.
    let mut timer = unsafe {
        let timer = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC);
        assert!(timer >= 0, "a timer");
        libc::timerfd_settime(timer, 0, &raw const every, std::ptr::null_mut());
        File::from(OwnedFd::from_raw_fd(timer))
    };
    let mut count = 0;
    while Instant::now() < end {
        let mut expired = [0; 8];
        timer.read_exact(&mut expired).expect("a timer expires");
        count += u64::from_ne_bytes(expired);
    }
    count
}

fn sleeps(end: Instant) -> u64 {
    // SAFETY: PR_SET_TIMERSLACK takes a number.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let mut count = 0;
    while Instant::now() < end {
        thread::sleep(Duration::from_micros(400));
        count += 1;
    }
    count
}

fn reads(end: Instant, path: &OsString) -> u64 {
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).expect("the file is there");
    let length = file.metadata().expect("a length").len();
    let mut buffer = Buffer::new(PAGE);
    let (mut count, mut offset) = (0u64, 0);
    while Instant::now() < end {
        let read = make(Call::Pread, file.as_fd(), &mut buffer, offset).expect("the file can be read");
        assert_eq!(read, PAGE);
        offset = (offset + 37 * PAGE as u64) % (length / PAGE as u64 * PAGE as u64);
        count += 1;
    }
    count
}
