//! A lock that is waited for within the wait for another one, against every event that perf recorded of the same threads.

use super::{
    Worker, complete,
    events::{By, Recording, Wait},
    record::Lock,
    work::Work,
};
use crate::{
    Outcome, Skip,
    lab::Lab,
    osdiag::{Session, tool},
    record::{number, within},
};

const THREADS: usize = 8;

/// No rwsem is larger (include/linux/rwsem.h, 6.18: 40 bytes without debugging).
const RWSEM: u64 = 128;

/// Threads that wait for a file's rwsem, and in that wait for the spinlock inside of it.
pub(super) fn nested() -> Outcome {
    let lab = Lab::new();
    let mut worker = Worker::start(Work::Overwrite(THREADS), 1500);
    let pid = worker.pid.to_string();
    // First: at each event perf then looks at the clock before osdiag does, and what osdiag does at the end of a wait is
    // not in perf's.
    let perf = Recording::start(&lab, &["-p", &pid])?;
    let session = Session::tracing(tool("lock", &["--json", "-p", &pid]));
    let seen = worker.work();
    let summary = session.interrupt().summary();
    let truth = perf.waits(By::Thread);
    complete(&summary);
    let known = |fits: &dyn Fn(&Wait) -> bool| {
        truth.iter().filter(|wait| fits(wait)).fold((0, 0), |(waits, ns), wait| (waits + 1u64, ns + wait.ns))
    };
    let missed = number(&summary.0["lost"]["missed_runs"]);

    let outer = summary.lock("rwsem-write", "inode i_rwsem");
    let rwsem = address(outer);
    let (waits, ns) = known(&|wait| wait.lock == rwsem);
    let own: u64 = seen.waits_ns.iter().sum();
    println!(
        "outer: {} waits of {waits}, {} ns of {ns}, calls that slept {own} ns",
        outer.count(),
        outer.sum()
    );
    assert!(own > 500_000_000, "nobody had to wait: {own} ns");
    assert!(outer.count().abs_diff(waits) <= missed, "{} of {waits}, {missed} missed", outer.count());
    assert!(within(0.01, outer.sum(), ns), "{} ns of {ns}", outer.sum());
    // A call has its wait inside it, and besides spins before it queues and can lose its CPU on the way out. Who gets the
    // lock before it sleeps has waited, too, but not for long.
    let share = outer.sum() as f64 / own as f64;
    assert!((0.8..1.02).contains(&share), "{share} of what the calls took");

    let total: u64 = summary.locks().map(Lock::count).sum();
    println!("total: {total} waits of {}, {missed} missed", truth.len());
    // perf leaves a thread that ends before its last waits.
    let tolerance = missed + 4 * THREADS as u64;
    assert!(total.abs_diff(truth.len() as u64) <= tolerance, "{total} of {}", truth.len());

    let inside = |wait: &Wait| wait.spins && wait.lock > rwsem && wait.lock - rwsem < RWSEM;
    let (waits, _) = known(&inside);
    let (nested, _) = known(&|wait| inside(wait) && wait.within == Some(rwsem));
    let (_, within_ns) = known(&|wait| wait.within == Some(rwsem));
    println!(
        "inner: {waits} waits, {nested} of them nested; {within_ns} ns within the outer ones, {} ns apart",
        ns.abs_diff(outer.sum())
    );
    if nested == 0 {
        return Err(Skip::because("no CPU queued for a wait_lock: spinlocks are not paravirtual here"));
    }
    let inner = summary.lock("spinlock", "wait_lock of inode i_rwsem");
    let at = address(inner);
    assert!(at > rwsem && at - rwsem < RWSEM, "{at:x} is not inside of {rwsem:x}");
    assert!(inner.count().abs_diff(waits) <= missed, "{} of {waits}, {missed} missed", inner.count());
    Ok(())
}

fn address(lock: Lock<'_>) -> u64 {
    let text = lock.0["address"].as_str().expect("one lock has an address");
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("an address is hexadecimal")
}
