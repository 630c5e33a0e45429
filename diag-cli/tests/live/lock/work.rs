//! Workloads that contend for one kernel lock, and time each of their calls that only wait for it.
//!
//! One thread holds the lock for long, others make a call that takes it for next to nothing: what such a call lasts is
//! its wait. The process speaks over its standard input and output, which are no lock that anybody looks at.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::calls::{
    Turn, appending, ask, copying, looking, open, pipe, protecting, reading, reading_on, seeking, set_group,
    timing,
};
use crate::{
    lab::fault::{die_with_parent, pin},
    workload::prefer_this_thread,
};

/// What a workload contends for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Work {
    /// A file's `i_rwsem`: direct writes hold it alone, looking for data takes it to read.
    Inode(PathBuf),
    /// The same, with direct reads besides, which share it while they last.
    Convoy(PathBuf),
    /// The `mmap_lock`: changing the protection of much memory holds it alone, `mincore` takes it to read.
    Mmap,
    /// A pipe's mutex: copying much holds it, asking how much there is takes it.
    Pipe,
    /// The `tasklist_lock`, for which tasks spin: `setpgid` takes it alone, by so many threads.
    Tasklist(usize),
    /// A pipe's mutex, by so many threads that all ask how much there is.
    Mutex(usize),
    /// The `i_rwsem` of a file in memory, by so many threads that all write to it, shortly.
    Overwrite(usize),
    /// The lock of a file's position, which each of so many threads holds while it reads past the page cache.
    Position(PathBuf, usize),
    /// Spinlocks that tasks and interrupts fight for: so many threads sleep for 20 to 30 µs, wake each other, and open and close
    /// descriptors of one table.
    Timers(usize),
}

/// A workload, and how long it lasts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// What for.
    pub(crate) work: Work,
    /// How long.
    pub(crate) millis: u64,
    /// The cgroups that it enters first.
    pub(crate) cgroups: Vec<PathBuf>,
}

/// What a workload saw.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Seen {
    /// The thread that holds the lock.
    pub(crate) holder: u32,
    /// The thread that shares it, where there is one.
    pub(crate) sharer: u32,
    /// How long each of the calls that only wait took, ns.
    pub(crate) waits_ns: Vec<u64>,
    /// How many calls the holders made.
    pub(crate) held: u64,
}

impl Seen {
    /// The time of all waits that are long enough to be more than the call itself.
    pub(crate) fn waited_ns(&self, least: Duration) -> u64 {
        self.waits_ns.iter().filter(|&&ns| u128::from(ns) >= least.as_nanos()).sum()
    }
}

/// The name of the thread that holds, and of those that wait.
pub(crate) const HOLDER: &str = "osd-holder";
pub(crate) const WAITER: &str = "osd-waiter";
pub(crate) const SHARER: &str = "osd-sharer";

/// A workload process, as the tests see it.
pub(crate) struct Worker {
    /// Its process.
    pub(crate) pid: u32,
    child: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts one; it waits for [`Worker::go`].
    pub(crate) fn start(work: Work, millis: u64) -> Worker {
        Worker::planned(&Plan { work, millis, cgroups: Vec::new() })
    }

    /// The same, with everything that can be said.
    pub(crate) fn planned(plan: &Plan) -> Worker {
        let mut child = Command::new(std::env::current_exe().expect("the tests have a path"))
            .arg("--lab-locks")
            .arg(serde_json::to_string(plan).expect("a plan is plain data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests can start themselves");
        let words = child.stdin.take().expect("its input is a pipe");
        let answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let mut worker = Worker { pid: child.id(), child, words, answers };
        assert_eq!(worker.line(), "ready");
        worker
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the workload answers");
        line.trim().to_owned()
    }

    /// Lets it begin.
    pub(crate) fn go(&mut self) {
        self.words.write_all(b"go\n").expect("the workload listens");
    }

    /// Lets it work, and waits for what it saw. It lives on until this is dropped.
    pub(crate) fn work(&mut self) -> Seen {
        self.go();
        serde_json::from_str(&self.line()).expect("what it saw is plain data")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The workload process.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    die_with_parent();
    let text = arguments.next().expect("a plan");
    let plan: Plan = serde_json::from_str(text.to_str().expect("a plan is UTF-8")).expect("a plan is valid");
    for group in &plan.cgroups {
        std::fs::write(group.join("cgroup.procs"), "0").expect("a process can move");
    }
    println!("ready");
    let mut words = std::io::stdin().lines();
    if words.next().is_none() {
        return ExitCode::FAILURE;
    }
    let seen = work(&plan.work, Duration::from_millis(plan.millis));
    println!("{}", serde_json::to_string(&seen).expect("what it saw is plain data"));
    words.next();
    ExitCode::SUCCESS
}

/// A thread that does the same again and again until it is told to stop.
struct Turning<T> {
    thread: thread::JoinHandle<(u32, T)>,
}

impl<T: Send + 'static> Turning<T> {
    fn new(name: &str, cpu: usize, body: impl FnOnce() -> T + Send + 'static) -> Turning<T> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            pin(cpu);
            // SAFETY: gettid has no preconditions.
            (unsafe { libc::gettid() }.unsigned_abs(), body())
        });
        Turning { thread: thread.expect("threads start") }
    }

    fn end(self) -> (u32, T) {
        self.thread.join().expect("no workload panics")
    }
}

fn work(work: &Work, lasting: Duration) -> Seen {
    if let Work::Overwrite(threads) = work {
        return overwriting(*threads, lasting);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let until = |mut step: Turn| {
        let stop = Arc::clone(&stop);
        move || {
            let mut times = 0u64;
            while !stop.load(Ordering::Relaxed) {
                step();
                times += 1;
            }
            times
        }
    };
    if let Work::Tasklist(threads)
    | Work::Mutex(threads)
    | Work::Timers(threads)
    | Work::Position(_, threads) = work
    {
        let shared =
            if let Work::Position(path, _) = work { open(path, libc::O_RDONLY | libc::O_DIRECT) } else { -1 };
        let asked = pipe();
        let step = |number: usize| -> Turn {
            match work {
                Work::Mutex(_) => Box::new(move || ask(asked)),
                Work::Timers(_) => timing(number, asked[0]),
                Work::Position(..) => reading_on(shared),
                _ => Box::new(set_group),
            }
        };
        let turning: Vec<_> =
            (0..*threads).map(|number| Turning::new(WAITER, number % 2, until(step(number)))).collect();
        thread::sleep(lasting);
        stop.store(true, Ordering::Relaxed);
        let held = turning.into_iter().map(|turning| turning.end().1).sum();
        return Seen { held, ..Seen::default() };
    }
    let (hold, wait): (Turn, Turn) = match work {
        Work::Inode(path) | Work::Convoy(path) => (appending(path), seeking(path)),
        Work::Mmap => (protecting(), looking()),
        Work::Pipe
        | Work::Tasklist(_)
        | Work::Mutex(_)
        | Work::Overwrite(_)
        | Work::Timers(_)
        | Work::Position(..) => copying(),
    };
    let holder = Turning::new(HOLDER, 0, until(hold));
    let sharer = match work {
        Work::Convoy(path) => Some(Turning::new(SHARER, 0, until(reading(path)))),
        _ => None,
    };
    let told = Arc::clone(&stop);
    let mut wait = wait;
    let waiter = Turning::new(WAITER, 1, move || {
        prefer_this_thread();
        let mut waits = Vec::new();
        while !told.load(Ordering::Relaxed) {
            let start = Instant::now();
            wait();
            waits.push(start.elapsed().as_nanos() as u64);
            thread::sleep(Duration::from_micros(200));
        }
        waits
    });
    thread::sleep(lasting);
    stop.store(true, Ordering::Relaxed);
    let (holder, held) = holder.end();
    let waits_ns = waiter.end().1;
    let sharer = sharer.map_or(0, |sharer| sharer.end().0);
    Seen { holder, sharer, waits_ns, held }
}

/// Of the calls only those count in which the thread slept: there is nothing else in them to sleep for.
fn overwriting(threads: usize, lasting: Duration) -> Seen {
    // SAFETY: the name is a C string.
    let file = unsafe { libc::memfd_create(c"overwritten".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(file >= 0, "memfd_create: {}", std::io::Error::last_os_error());
    let stop = Arc::new(AtomicBool::new(false));
    let turn = |number: usize| {
        let stop = Arc::clone(&stop);
        let body = move || {
            let (data, mut waits, mut calls) = ([7u8; 4096], Vec::with_capacity(1 << 16), 0u64);
            let mut before = sleeps();
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                // SAFETY: the buffer is as long as said.
                unsafe { libc::pwrite(file, data.as_ptr().cast(), data.len(), 0) };
                let ns = start.elapsed().as_nanos() as u64;
                calls += 1;
                // Nobody sleeps for less, and asking takes time.
                if ns > 3000 && sleeps() != before {
                    waits.push(ns);
                    before = sleeps();
                }
            }
            (waits, calls)
        };
        Turning::new(WAITER, number % 2, body)
    };
    let turning: Vec<_> = (0..threads).map(turn).collect();
    thread::sleep(lasting);
    stop.store(true, Ordering::Relaxed);
    turning.into_iter().map(|turning| turning.end().1).fold(Seen::default(), |mut seen, (waits, calls)| {
        seen.waits_ns.extend(waits);
        seen.held += calls;
        seen
    })
}

/// How often this thread has gone to sleep.
fn sleeps() -> libc::c_long {
    // SAFETY: rusage is made of numbers, and getrusage fills it in.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_nvcsw
    }
}
