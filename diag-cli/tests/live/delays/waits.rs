//! Threads that wait for one thing each: named by the thing, in the place where they wait.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::trace;
use crate::{Outcome, Test, workload::set_comm};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[("delays_one_cause_for_each_wait", one_cause_each)];

const LASTING: Duration = Duration::from_millis(1_500);
const PAUSE: Duration = Duration::from_millis(7);

/// Again and again, for so long.
fn again(mut work: impl FnMut()) {
    let begun = Instant::now();
    while begun.elapsed() < LASTING {
        work();
    }
}

/// A thread of the tests with a name.
pub(super) fn named(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).expect("a thread")
}

/// How often a thread was given what it waits for.
type Given = Arc<AtomicU64>;

/// A thread that does `wake` after each pause.
fn waker(mut wake: impl FnMut() + Send + 'static) -> (Given, JoinHandle<()>) {
    let given = Given::default();
    let count = Given::clone(&given);
    let thread = named("dl-waker", move || {
        again(|| {
            thread::sleep(PAUSE);
            wake();
            count.fetch_add(1, Ordering::Relaxed);
        });
    });
    (given, thread)
}

/// A thread that reads from a stream until it ends, and its waker.
fn reading(
    name: &str,
    mut from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
) -> (Given, [JoinHandle<()>; 2]) {
    let reader = named(name, move || while matches!(from.read(&mut [0; 8]), Ok(1..)) {});
    let (given, waker) = waker(move || to.write_all(&[1]).expect("a stream works"));
    (given, [reader, waker])
}

/// A process that sleeps for a pause and ends.
fn child() {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: PAUSE.as_nanos() as libc::c_long };
    // SAFETY: the child makes three system calls and allocates nothing; the parent waits for it.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            set_comm(b"dl-grandchild");
            libc::nanosleep(&raw const pause, std::ptr::null_mut());
            libc::_exit(0);
        }
        assert!(child > 0 && libc::waitpid(child, std::ptr::null_mut(), 0) == child, "no process");
    }
}

fn poll(stream: &UnixStream) {
    let mut poll = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which is valid.
    unsafe { libc::poll(&raw mut poll, 1, PAUSE.as_millis() as libc::c_int) };
}

fn tcp() -> [TcpStream; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let ours = TcpStream::connect(listener.local_addr().expect("it has an address")).expect("it listens");
    [ours, listener.accept().expect("it was called").0]
}

fn one_cause_each() -> Outcome {
    let session = trace(&["--by", "comm", "-p", &std::process::id().to_string()]);
    let (wake, woken) = mpsc::channel::<()>();
    let (silent, polled) = UnixStream::pair().expect("sockets exist");
    let (_, waker) = waker(move || wake.send(()).expect("it listens"));
    let mut threads = vec![
        named("dl-timer", || again(|| thread::sleep(PAUSE))),
        named("dl-futex", move || while woken.recv().is_ok() {}),
        waker,
        named("dl-child", || again(child)),
        named("dl-poll", move || again(|| poll(&polled))),
    ];
    let (from, to) = std::io::pipe().expect("pipes exist");
    let (pipe, readers) = reading("dl-pipe", from, to);
    threads.extend(readers);
    let [from, to] = tcp();
    let (tcp, readers) = reading("dl-tcp", from, to);
    threads.extend(readers);
    let (from, to) = UnixStream::pair().expect("sockets exist");
    let (unix, readers) = reading("dl-unix", from, to);
    threads.extend(readers);
    for thread in threads {
        thread.join().expect("no thread panics");
    }
    drop(silent);
    let summary = session.interrupt().summary();
    for (name, place, cause) in [
        ("dl-timer", "clock_nanosleep", "idle.timer"),
        ("dl-futex", "futex", "lock.user"),
        ("dl-pipe", "read", "ipc.pipe"),
        ("dl-child", "wait4", "ipc.child"),
        ("dl-poll", "poll", "idle.poll"),
        ("dl-tcp", "recvfrom", "network.socket"),
        ("dl-unix", "recvfrom", "network.socket"),
    ] {
        let time = summary.time(name);
        let (there_ns, asleep_ns) = (time.at(place, cause), time.asleep_ns());
        println!("{name}: {there_ns} of {asleep_ns} ns");
        assert!(asleep_ns > LASTING.as_nanos() as u64 / 3, "{name} hardly sleeps: {}", time.0.0);
        // One of them forks: it holds the mmap lock for that, and a page fault of another thread waits for the lock, in whatever call it
        // happens. On a busy machine a thread also waits for others as it begins: elsewhere.
        let for_the_fork = time.at(place, "lock.mmap");
        assert_eq!(there_ns + for_the_fork, time.at_any(place), "other causes at {place}: {}", time.0.0);
        assert!(there_ns as f64 >= 0.9 * asleep_ns as f64, "{there_ns} of {asleep_ns}: {}", time.0.0);
    }
    // Each is woken by what it is given, but for the last time: then by the stream's end.
    for (name, given, cause) in [
        ("dl-pipe", pipe, "ipc.pipe"),
        ("dl-tcp", tcp, "network.socket"),
        ("dl-unix", unix, "network.socket"),
    ] {
        let (waits, given) = (summary.time(name).waits(cause), given.load(Ordering::Relaxed));
        println!("{name}: {waits} waits, woken {given} times");
        // On a busy machine the next one can be there before it sleeps again.
        let of_given = given - given / 10..=given + 3;
        assert!(of_given.contains(&(waits + 1)), "{waits} waits of {name}, woken {given} times");
    }
    Ok(())
}
