//! Spinning waits of tasks and of the interrupts that interrupt them, against every event that perf recorded of all CPUs.

use super::{
    events::{By, Recording},
    record::Lock,
    work::{Work, Worker},
};
use crate::{
    Outcome,
    lab::Lab,
    osdiag::{Session, tool},
    record::{number, within},
};

const THREADS: usize = 8;
const MILLIS: u64 = 8000;

fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills in the struct.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    (now.tv_sec * 1_000_000_000 + now.tv_nsec).unsigned_abs()
}

/// Whether a type of locks is one whose waiters spin.
fn spins(lock: &Lock<'_>) -> bool {
    matches!(lock.0["lock_type"].as_str(), Some("spinlock" | "rwlock-read" | "rwlock-write"))
}

/// No wait is invented where the kernel leaves programs out: as long as perf's, and together as long.
pub(super) fn storm() -> Outcome {
    let lab = Lab::new();
    let mut worker = Worker::start(Work::Timers(THREADS), MILLIS);
    let perf = Recording::start(&lab, &["-a"])?;
    let session = Session::counting(tool("lock", &["--json"]));
    let begin = now_ns();
    worker.work();
    let end = now_ns();
    let summary = session.interrupt().summary();
    let truth = perf.waits(By::Cpu);
    println!("{}", summary.lock_outline());
    let truth = truth.iter().filter(|wait| wait.since >= begin && wait.since + wait.ns <= end);
    let (waits, ns, longest) = truth
        .fold((0u64, 0, 0), |(waits, ns, longest), wait| (waits + 1, ns + wait.ns, wait.ns.max(longest)));
    let mine = || summary.locks().filter(spins);
    let (told, told_ns): (u64, u64) = (mine().map(Lock::count).sum(), mine().map(Lock::sum).sum());
    let told_longest = mine().map(|lock| number(&lock.0["wait"]["max_ns"])).max().unwrap_or(0);
    println!(
        "{told} waits of {waits}, {told_ns} ns of {ns}, longest {told_longest} of {longest}, lost {}",
        summary.0["lost"]
    );
    assert!(waits > 1_000, "few had to wait: {waits}");
    assert!(
        told_longest <= 2 * longest && longest <= 2 * told_longest,
        "{told_longest} ns, perf's longest {longest}"
    );
    assert!(within(0.1, told_ns, ns), "{told_ns} ns of {ns}");
    assert!(within(0.02, told, waits), "{told} waits of {waits}");
    Ok(())
}
