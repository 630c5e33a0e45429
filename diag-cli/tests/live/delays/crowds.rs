//! Many threads, and many cgroups.

use std::{
    ffi::CString,
    fs,
    os::unix::ffi::OsStrExt as _,
    thread,
    time::{Duration, Instant},
};

use super::{assert_near, record::Time, trace, watch::Watch};
use crate::{
    Outcome, Skip, Test,
    lab::{Lab, cgroup::Cgroup, fault::die_with_parent, wait_until},
    record::{Record, number},
    runq::runner::{Kind, Order, Runner},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("delays_twenty_thousand_sleepers", twenty_thousand_sleepers),
    ("delays_cgroups_that_come_and_go", cgroups_that_come_and_go),
];

/// Threads of a process: each takes four mappings, of 65,530.
pub(super) const THREADS: usize = 10_000;

/// A process with so many threads, which all sleep until it is dropped.
pub(super) fn sleepers() -> Outcome<Runner> {
    let read = |path: &str| fs::read_to_string(path).expect("the kernel has it");
    let limit: usize = read("/proc/sys/kernel/pid_max").trim().parse().expect("a number");
    let there = fs::read_dir("/proc").expect("it is mounted").count();
    if limit < there + THREADS + 1_000 {
        return Err(Skip::because(format!("{limit} threads are too few")));
    }
    let mut runner =
        Runner::start(&Kind { comm: "dl-asleep".to_owned(), threads: THREADS, ..Kind::default() });
    runner.order(&Order::Sleep(600_000_000, 1));
    let tasks = format!("/proc/{}/task", runner.pid);
    let all = || fs::read_dir(&tasks).is_ok_and(|list| list.count() == THREADS + 1);
    assert!(wait_until(Duration::from_secs(60), all), "not all threads are there");
    // The last of them lets all go on.
    thread::sleep(Duration::from_secs(1));
    Ok(runner)
}

/// How long a session takes to begin, and its summary after a second.
pub(super) fn second(flags: &[&str]) -> (Duration, Record) {
    let start = Instant::now();
    let session = trace(flags);
    let took = start.elapsed();
    thread::sleep(Duration::from_secs(1));
    (took, session.interrupt().summary())
}

/// The kernel's memory for a session, bytes.
pub(super) fn kernel_bytes(record: &Record) -> u64 {
    number(&record.0["self"]["kernel_bytes"])
}

fn twenty_thousand_sleepers() -> Outcome {
    let flags = ["--by", "comm"];
    let (took_before, before) = second(&flags);
    let crowd = [sleepers()?, sleepers()?];
    let (took, summary) = second(&flags);
    println!("begins after {took_before:?} and {took:?}");
    println!("{} and {} bytes in the kernel", kernel_bytes(&before), kernel_bytes(&summary));
    let time = summary.time("dl-asleep");
    let sleepers = (crowd.len() * THREADS) as u64;
    let count = sleepers + crowd.len() as u64;
    assert_eq!(time.thread_count(), count);
    assert_near("existing", time.thread_ns(), count * summary.duration_ns(), 0.001, 0);
    assert_near("asleep", time.cause_ns("idle.timer"), sleepers * summary.duration_ns(), 0.001, 0);
    assert!(took < took_before + Duration::from_secs(1), "it takes {took:?} to begin");
    let each = (kernel_bytes(&summary).saturating_sub(kernel_bytes(&before))) / count;
    assert!((300..=512).contains(&each), "{each} bytes in the kernel for each thread");
    Ok(())
}

const CGROUPS: u64 = 2_000;

/// A process that enters a cgroup, sleeps and ends.
pub(super) fn enter(cgroup: &Cgroup, stay: libc::timespec) -> libc::pid_t {
    let path = cgroup.path().join("cgroup.procs");
    let path = CString::new(path.as_os_str().as_bytes()).expect("no zero");
    // SAFETY: the child makes system calls alone, with values that are valid.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        let child = libc::fork();
        if child == 0 {
            die_with_parent();
            let entered = libc::write(file, c"0".as_ptr().cast(), 1) == 1;
            libc::nanosleep(&raw const stay, std::ptr::null_mut());
            libc::_exit(i32::from(!entered));
        }
        assert!(child > 0, "no process");
        libc::close(file);
        child
    }
}

/// Waits until it has ended; its status.
pub(super) fn reap(child: libc::pid_t) -> libc::c_int {
    let mut status = -1;
    // SAFETY: a child of the tests, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}

/// Each has its name, though it is gone when the record is written, and what is not listed is in the rest.
fn cgroups_that_come_and_go() -> Outcome {
    let lab = Lab::new();
    let above = Cgroup::of(&lab, "memory")?;
    let session = trace(&["--by", "cgroup", "--cgroup", &above.path().to_string_lossy()]);
    let watch = Watch::begin(&[session.pid()]);
    for number in 0..CGROUPS {
        let cgroup = above.child(&format!("visited-{number}"))?;
        let child = enter(&cgroup, libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 });
        assert_eq!(reap(child), 0, "it did not enter its cgroup");
    }
    let [memory] = watch.end();
    let summary = session.interrupt().summary();
    summary.assert_complete();
    let groups = || summary.groups().into_iter().filter(|group| group.key() != "rest");
    for group in groups() {
        let name = group.0["group"]["cgroup"].as_str().unwrap_or_default();
        assert!(name.starts_with(&format!("/{}/visited-", lab.name())), "{}", group.0["group"]);
        assert_eq!(Time(group).thread_count(), 1, "{}", group.0);
        assert!(Time(group).thread_ns() >= 1_000_000, "{}", group.0);
    }
    let (listed, rest) = (groups().count() as u64, summary.time("rest"));
    assert_eq!(listed, 200);
    assert_eq!(number(&summary.0["groups_omitted"]["count"]), CGROUPS - listed);
    assert_eq!(rest.thread_count(), CGROUPS - listed);
    assert_eq!(number(&summary.0["groups_omitted"]["ns"]), rest.thread_ns());
    assert!(rest.thread_ns() >= 1_000_000 * rest.thread_count(), "{}", rest.0.0);
    memory.assert_at_most(32 << 20);
    Ok(())
}
