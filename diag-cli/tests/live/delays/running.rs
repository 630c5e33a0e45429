//! Threads that run, wait for a CPU, are born, die and move.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::{
    record::{groups, named},
    trace,
};
use crate::{
    Outcome, Test,
    lab::{Lab, cgroup::Cgroup},
    record::{Record, number, within},
    runq::runner::{Account, Kind, Order, Runner, all},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("delays_hogs_against_schedstat", hogs_against_schedstat),
    ("delays_intervals_add_up", intervals_add_up),
    ("delays_short_processes", short_processes),
    ("delays_moved_between_cgroups", moved_between_cgroups),
    ("delays_never_switching", never_switching),
];

/// The CPU that tests crowd.
const CROWDED: usize = 1;

fn hogs(count: usize) -> Vec<Runner> {
    let kind = Kind { comm: "delay-hog".to_owned(), cpu: Some(CROWDED), ..Kind::default() };
    (0..count).map(|_| Runner::start(&kind)).collect()
}

/// What the scheduler says of some threads since they began.
fn accounts(runners: &[Runner]) -> (u64, u64) {
    let accounts: Vec<Account> = runners.iter().map(|runner| Account::read(runner.pid, runner.pid)).collect();
    (
        accounts.iter().map(|account| account.run_ns).sum(),
        accounts.iter().map(|account| account.delay_ns).sum(),
    )
}

/// A run that the kernel did not tell of may take as much as a time slice or two.
fn slack(summary: &Record) -> u64 {
    summary.missed() * 8_000_000
}

/// Running and waiting for a CPU are what the scheduler says, and the threads were there all the time.
fn hogs_against_schedstat() -> Outcome {
    let mut hogs = hogs(3);
    let session = trace(&["--by", "comm", "--comm", "delay-hog"]);
    let before = accounts(&hogs);
    all(&mut hogs, &Order::Spin(1_500));
    let after = accounts(&hogs);
    let summary = session.interrupt().summary();
    summary.assert_complete();
    let group = named(&summary, "delay-hog");
    let (ran, queued) = (after.0 - before.0, after.1 - before.1);
    assert!(queued > ran, "no crowd: ran {ran}, waited {queued}");
    let close = |ours: u64, theirs: u64| ours.abs_diff(theirs) <= theirs / 50 + slack(&summary);
    assert!(close(group.ns("cpu", "run") + group.ns("hypervisor", "steal"), ran), "{ran} in {}", group.0);
    assert!(close(group.ns("cpu", "runqueue"), queued), "{queued} in {}", group.0);
    assert_eq!(group.thread_count(), 3);
    let there = 3 * number(&summary.0["duration_ns"]);
    assert!(within(0.001, group.thread_ns(), there), "{} of {there} ns", group.thread_ns());
    Ok(())
}

/// Intervals have all of the time that the summary has.
fn intervals_add_up() -> Outcome {
    let mut hogs = hogs(2);
    let session = trace(&["-i", "200ms", "--by", "process", "--comm", "delay-hog"]);
    all(&mut hogs, &Order::Spin(1_100));
    let mut records = session.interrupt().records();
    let summary = records.pop().expect("a summary");
    assert!(records.len() >= 5, "{} intervals", records.len());
    for hog in &hogs {
        let of = |record: &Record| {
            let found = groups(record).into_iter().find(|group| group.0["group"]["pid"] == hog.pid);
            found.map_or((0, 0), |group| (group.thread_ns(), group.waits("cpu", "runqueue")))
        };
        let parts: Vec<(u64, u64)> = records.iter().map(of).collect();
        let (whole, waits) = of(&summary);
        let sum: u64 = parts.iter().map(|part| part.0).sum();
        assert!(within(0.001, sum, whole), "{sum} of {whole} ns in {parts:?}");
        assert_eq!(parts.iter().map(|part| part.1).sum::<u64>(), waits);
    }
    Ok(())
}

/// Each process is counted from its birth to its death: their number by count, and their time against the parent's clock, which waits
/// for each of them.
fn short_processes() -> Outcome {
    const PROCESSES: u64 = 5_000;
    let mut parent =
        Runner::start(&Kind { comm: "delay-parent".to_owned(), cpu: Some(CROWDED), ..Kind::default() });
    let session = trace(&["--by", "comm"]);
    let start = Instant::now();
    parent.order(&Order::Fork(PROCESSES));
    parent.answer();
    let took = u64::try_from(start.elapsed().as_nanos()).expect("it is short");
    let summary = session.interrupt().summary();
    summary.assert_complete();
    let group = named(&summary, "delay-parent");
    let born = group.thread_count();
    assert!((PROCESSES..=PROCESSES + 10).contains(&born), "{born} threads");
    // The parent itself is there all the time, and so is, while it waits, one child.
    let parents = number(&summary.0["duration_ns"]);
    let children = group.thread_ns().saturating_sub(parents);
    assert!(children <= took, "children were there for {children} of {took} ns");
    assert!(children >= took / 4, "children were there for only {children} of {took} ns");
    Ok(())
}

/// A thread that moves counts for one cgroup up to the move, and for the other from there on.
fn moved_between_cgroups() -> Outcome {
    let lab = Lab::new();
    let above = Cgroup::of(&lab, "cpu")?;
    let (from, to) = (above.child("from")?, above.child("to")?);
    let kind =
        Kind { comm: "delay-mover".to_owned(), cgroup: Some(from.path().to_owned()), ..Kind::default() };
    let mut mover = Runner::start(&kind);
    let session = trace(&["--by", "cgroup"]);
    mover.order(&Order::Serve(500, 1_500, 900));
    thread::sleep(Duration::from_millis(700));
    fs::write(to.path().join("cgroup.procs"), mover.pid.to_string()).expect("a task can be moved");
    mover.answer();
    let summary = session.interrupt().summary();
    let time = |cgroup: &Cgroup| {
        let id = cgroup.id();
        let found = groups(&summary).into_iter().find(|group| group.0["group"]["cgroup_id"] == id);
        found.map_or(0, |group| group.thread_ns())
    };
    let (before, after) = (time(&from), time(&to));
    let whole = number(&summary.0["duration_ns"]);
    assert!(before > 500_000_000 && after > 500_000_000, "{before} and {after} ns");
    assert!((before + after).abs_diff(whole) <= 5_000_000, "{before} and {after} of {whole} ns");
    Ok(())
}

/// A thread that keeps its CPU through whole intervals is in each of them.
fn never_switching() -> Outcome {
    let mut hog = Runner::start(&Kind {
        comm: "delay-lone".to_owned(),
        cpu: Some(CROWDED),
        policy: Some((libc::SCHED_FIFO, 1)),
        ..Kind::default()
    });
    let session = trace(&["-i", "100ms", "--by", "thread", "--comm", "delay-lone"]);
    hog.order(&Order::Spin(600));
    let ran = hog.answer()[0].run_ns;
    let records = session.interrupt().records();
    let full = records.iter().filter(|record| record.text("type") == "interval").filter(|record| {
        let whole = number(&record.0["duration_ns"]);
        groups(record).first().is_some_and(|group| group.ns("cpu", "run") > whole / 10 * 8)
    });
    assert!(full.count() >= 3, "of {ran} ns too few intervals are full");
    Ok(())
}
