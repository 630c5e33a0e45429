//! Threads that sleep, each for a reason that the test knows.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileExt as _, OpenOptionsExt as _},
    },
    process::Command,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    record::{groups, named},
    trace,
};
use crate::{
    Outcome, Test,
    lab::{Lab, disk::SlowDisk, fault::Frozen, image::PlainDisk, stuck::Stopped, wait_until},
    record::{number, within},
    runq::runner::{Kind, Order, Runner},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("delays_what_each_sleeps_for", what_each_sleeps_for),
    ("delays_stopped", stopped),
    ("delays_stuck_from_before", stuck_from_before),
    ("delays_direct_reads", direct_reads),
    ("delays_page_faults", page_faults),
    ("delays_folded_stacks", folded_stacks),
];

/// A thread of the tests with a name, which ends when it is asked to.
pub(super) fn named_thread(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).expect("a thread starts")
}

/// What a call that waits is for is known by the call, or by the stack where one call serves for many things.
fn what_each_sleeps_for() -> Outcome {
    let lasting = Duration::from_millis(1_500);
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("it is bound");
    let mut client = TcpStream::connect(address).expect("it connects");
    let (server, _) = listener.accept().expect("it accepts");
    let (mut quiet, mut loud) = std::io::pipe().expect("a pipe");
    let mut child = Command::new("sleep").arg("60").spawn().expect("sleep starts");
    let pid = child.id();
    let end = Arc::new(AtomicBool::new(false));
    let (done, waiting) = mpsc::channel::<()>();
    let threads = [
        named_thread("d-futex", {
            let pair = pair.clone();
            move || {
                let guard = pair.0.lock().expect("no one panics");
                drop(pair.1.wait_while(guard, |woken| !*woken).expect("no one panics"));
            }
        }),
        named_thread("d-pipe", move || {
            let mut byte = [0];
            while reader.read(&mut byte).is_ok_and(|read| read != 0) {}
        }),
        named_thread("d-socket", move || {
            let mut byte = [0];
            while client.read(&mut byte).is_ok_and(|read| read != 0) {}
        }),
        named_thread("d-timer", {
            let end = end.clone();
            move || {
                while !end.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(20));
                }
            }
        }),
        named_thread("d-poll", move || {
            let mut set = libc::pollfd { fd: quiet.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry.
            unsafe { libc::poll(&raw mut set, 1, -1) };
            quiet.read_exact(&mut [0]).ok();
        }),
        named_thread("d-child", move || {
            child.wait().ok();
            drop(done);
        }),
    ];
    let session = trace(&["--by", "comm", "-p", &std::process::id().to_string()]);
    let start = Instant::now();
    while start.elapsed() < lasting {
        writer.write_all(&[1]).expect("the reader is there");
        (&server).write_all(&[1]).expect("the client is there");
        thread::sleep(Duration::from_millis(10));
    }
    let summary = session.interrupt().summary();
    *pair.0.lock().expect("no one panics") = true;
    pair.1.notify_all();
    drop((writer, server));
    loud.write_all(&[1]).ok();
    end.store(true, Ordering::Relaxed);
    // SAFETY: two numbers.
    unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) };
    waiting.recv().ok();
    for thread in threads {
        thread.join().ok();
    }
    for (comm, layer, cause, places) in [
        ("d-futex", "lock", "user", &["futex"][..]),
        ("d-pipe", "ipc", "pipe", &["read"]),
        ("d-socket", "network", "socket", &["recvfrom", "read"]),
        ("d-timer", "idle", "timer", &["clock_nanosleep", "nanosleep"]),
        ("d-poll", "idle", "poll", &["poll"]),
        ("d-child", "ipc", "child", &["wait4", "waitid"]),
    ] {
        let group = named(&summary, comm);
        let awake = ["run", "runqueue", "throttled"].map(|cause| group.ns("cpu", cause)).iter().sum::<u64>();
        let asleep = group.thread_ns() - awake - group.ns("hypervisor", "steal");
        assert!(within(0.02, group.ns(layer, cause), asleep), "{asleep} ns asleep in {}", group.0);
        let there: u64 = places.iter().map(|place| group.asleep_ns(place)).sum();
        assert!(
            within(0.02, there, asleep),
            "{asleep} ns asleep, {there} in {places:?}: {}",
            group.0["places"]
        );
    }
    // Both are woken by each byte.
    for (comm, layer, cause) in [("d-pipe", "ipc", "pipe"), ("d-socket", "network", "socket")] {
        let waits = named(&summary, comm).waits(layer, cause);
        assert!((50..=160).contains(&waits), "{waits} waits of {comm}");
    }
    Ok(())
}

/// Time in which a process is stopped is no time of waiting for anything.
fn stopped() -> Outcome {
    let mut runner = Runner::start(&Kind { comm: "delay-stopped".to_owned(), ..Kind::default() });
    let session = trace(&["--by", "process", "-p", &runner.pid.to_string()]);
    runner.order(&Order::Serve(200, 800, 1_200));
    thread::sleep(Duration::from_millis(200));
    let guard = Stopped::new(runner.pid);
    let start = Instant::now();
    thread::sleep(Duration::from_millis(800));
    drop(guard);
    let for_so_long = u64::try_from(start.elapsed().as_nanos()).expect("it is short");
    runner.answer();
    let summary = session.interrupt().summary();
    let found = groups(&summary);
    let stopped = found[0].ns("stopped", "signal");
    assert!(stopped.abs_diff(for_so_long) <= for_so_long / 20, "{stopped} of {for_so_long} ns");
    Ok(())
}

/// A thread that was stuck before the session has all of its time in it, and its wait is told of with its whole length.
fn stuck_from_before() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let frozen = Frozen::new(disk.mount.path())?;
    let writer = named_thread("d-stuck", move || {
        fs::OpenOptions::new().append(true).open(file).and_then(|mut file| file.write_all(&[1])).ok();
    });
    let start = Instant::now();
    thread::sleep(Duration::from_millis(1_000));
    let session = trace(&["--by", "comm", "--comm", "d-stuck"]);
    thread::sleep(Duration::from_millis(800));
    let finished = session.interrupt();
    let at_most = start.elapsed();
    drop(frozen);
    writer.join().ok();
    let summary = finished.summary();
    let group = named(&summary, "d-stuck");
    let whole = number(&summary.0["duration_ns"]);
    assert!(within(0.001, group.ns("filesystem", "freeze"), whole), "of {whole} ns in {}", group.0);
    let longest = &group.0["longest"][0];
    assert_eq!((&longest["open"], &longest["cause"]), (&true.into(), &"freeze".into()), "{longest}");
    let ns = Duration::from_nanos(number(&longest["ns"]));
    assert!(ns >= Duration::from_millis(1_700) && ns <= at_most, "{ns:?} of {at_most:?}");
    assert_eq!(summary.0["verdict"]["cause"], "freeze", "{}", summary.0["verdict"]);
    Ok(())
}

/// Reads of a slow disk are waits for the device, as long as the reader's own clock says.
fn direct_reads() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 16 << 20);
    disk.delay(Duration::from_millis(10));
    let (go, begin) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let reader = named_thread("d-reader", move || {
        begin.recv().ok();
        let source = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(file)
            .expect("the file opens");
        let mut page = Page([0; 4096]);
        let mut waited = Duration::ZERO;
        for block in 0..100 {
            let start = Instant::now();
            source.read_exact_at(&mut page.0, block * 4096).expect("a block is read");
            waited += start.elapsed();
        }
        tell.send(waited).ok();
    });
    let session = trace(&["--by", "comm", "-p", &std::process::id().to_string()]);
    go.send(()).ok();
    let waited = u64::try_from(told.recv().expect("it reads").as_nanos()).expect("it is short");
    let summary = session.interrupt().summary();
    reader.join().ok();
    let group = named(&summary, "d-reader");
    let block = group.ns("block", "device") + group.ns("block", "queue") + group.ns("block", "wait");
    let awake = group.ns("cpu", "run") + group.ns("cpu", "runqueue");
    assert!(block <= waited && block + awake >= waited / 100 * 95, "{block} of {waited} ns in {}", group.0);
    assert!(group.ns("block", "device") * 10 >= block * 9, "{}", group.0);
    assert!((95..=105).contains(&group.waits("block", "device")), "{}", group.0);
    assert!(within(0.05, group.asleep_ns("pread64"), block), "{}", group.0["places"]);
    Ok(())
}

/// A page, aligned as direct I/O wants it.
#[repr(align(4096))]
pub(super) struct Page(pub(super) [u8; 4096]);

/// A file that is read through a mapping: each fault is a wait, at a place of its own.
fn page_faults() -> Outcome {
    const PAGES: usize = 60;
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", PAGES * 4096);
    disk.delay(Duration::from_millis(10));
    let (go, begin) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let reader = named_thread("d-faults", move || {
        let source = fs::File::open(file).expect("the file opens");
        // SAFETY: a mapping of its own, which is read within its length; advice takes numbers.
        let start = unsafe {
            libc::posix_fadvise(source.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED);
            let length = PAGES * 4096;
            let at = libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                source.as_raw_fd(),
                0,
            );
            assert_ne!(at, libc::MAP_FAILED);
            libc::madvise(at, length, libc::MADV_RANDOM);
            at.cast::<u8>()
        };
        begin.recv().ok();
        let clock = Instant::now();
        for page in 0..PAGES {
            // SAFETY: within the mapping.
            unsafe { start.add(page * 4096).read_volatile() };
        }
        tell.send(clock.elapsed()).ok();
    });
    let session = trace(&["--by", "comm", "-p", &std::process::id().to_string()]);
    go.send(()).ok();
    let waited = u64::try_from(told.recv().expect("it reads").as_nanos()).expect("it is short");
    let summary = session.interrupt().summary();
    reader.join().ok();
    let group = named(&summary, "d-faults");
    let block = group.ns("block", "device") + group.ns("block", "queue") + group.ns("block", "wait");
    let awake = group.ns("cpu", "run") + group.ns("cpu", "runqueue");
    assert!(block <= waited && block + awake >= waited / 100 * 95, "{block} of {waited} ns in {}", group.0);
    assert!(within(0.05, group.asleep_ns("fault"), block), "{}", group.0["places"]);
    let waits = group.waits("block", "device");
    assert!((PAGES as u64..=PAGES as u64 + 3).contains(&waits), "{waits} waits for {PAGES} pages");
    Ok(())
}

/// Each line is a stack and its time, which is no more than the group's.
fn folded_stacks() -> Outcome {
    let lab = Lab::new();
    let path = lab.path("folded");
    let flags = ["--by", "comm", "--folded", &path.to_string_lossy()];
    let session = trace(&flags);
    thread::sleep(Duration::from_millis(500));
    let summary = session.interrupt().summary();
    assert!(wait_until(Duration::from_secs(5), || path.exists()), "no file");
    let text = fs::read_to_string(&path).expect("it is text");
    let all: u64 = groups(&summary).iter().map(super::record::Group::thread_ns).sum();
    let mut sum = 0;
    for line in text.lines() {
        let (stack, ns) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no time: {line}"));
        assert!(stack.split(';').count() >= 3, "no stack: {line}");
        sum += ns.parse::<u64>().unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert!(sum > 0 && sum <= all, "{sum} of {all} ns");
    Ok(())
}
