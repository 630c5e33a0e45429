//! Real-time and idle policies, and what happens to a task that waits: it is moved, killed, or still waiting in the end.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    CROWDED,
    runner::{Account, Kind, Order, Runner, move_to},
    trace,
};
use crate::{Outcome, Skip, Test, record::number};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("runq_moved_while_waiting", moved_while_waiting),
    ("runq_fifo_behind_fifo", fifo_behind_fifo),
    ("runq_idle_policy_behind_a_hog", idle_policy),
    ("runq_killed_while_waiting", killed_while_waiting),
    ("runq_still_waiting_in_the_end", still_waiting),
];

/// How long a hog of a real-time policy has its CPU; less than what the kernel lets it have at a stretch.
const HOG_MS: u64 = 500;
/// When something happens meanwhile.
const MEANWHILE: Duration = Duration::from_millis(300);

fn hog() -> Outcome<Runner> {
    if thread::available_parallelism().map_or(1, std::num::NonZero::get) < 2 {
        return Err(Skip::because("there is one CPU only"));
    }
    let policy = Some((libc::SCHED_FIFO, 50));
    Ok(Runner::start(&Kind { comm: "fifo-hog".into(), cpu: Some(CROWDED), policy, ..Kind::default() }))
}

fn waiter(policy: Option<(i32, i32)>) -> Runner {
    Runner::start(&Kind { comm: "waiter".into(), cpu: Some(CROWDED), policy, ..Kind::default() })
}

/// Makes one wait for the other; for how long at least, ns.
fn behind(hog: &mut Runner, waiter: &mut Runner) -> u64 {
    let began = Instant::now();
    hog.order(&Order::Spin(HOG_MS));
    thread::sleep(Duration::from_millis(20));
    waiter.order(&Order::Spin(10));
    (HOG_MS * MS).saturating_sub(began.elapsed().as_nanos() as u64)
}

const MS: u64 = 1_000_000;

/// Its wait lasts from the wake-up to the run on the other CPU, and was for who had the first.
fn moved_while_waiting() -> Outcome {
    let (mut hog, mut waiter) = (hog()?, waiter(None));
    let session = trace(&[]);
    behind(&mut hog, &mut waiter);
    let told = Instant::now();
    thread::sleep(MEANWHILE);
    move_to(waiter.pid, 0);
    let moved_ns = told.elapsed().as_nanos() as u64;
    waiter.answer();
    hog.answer();
    let summary = session.interrupt().summary();
    let group = summary.group("waiter");
    assert!(group.max_ns() + 20 * MS >= moved_ns, "{moved_ns} ns: {}", group.0);
    // A busy machine may let it wait on the other CPU as well.
    let waited_for = group.waited_for(hog.pid);
    let expected = moved_ns.min(HOG_MS * MS);
    assert!(waited_for.abs_diff(expected) <= 40 * MS, "{waited_for} of {expected} ns: {}", group.0);
    assert!(group.unattributed_ns() <= group.delay_ns() / 20, "{}", group.0);
    Ok(())
}

fn fifo_behind_fifo() -> Outcome {
    let (mut hog, mut waiter) = (hog()?, waiter(Some((libc::SCHED_FIFO, 1))));
    let session = trace(&["--by", "process", "-p", &waiter.pid.to_string()]);
    let least = behind(&mut hog, &mut waiter);
    let account = waiter.answer()[0];
    hog.answer();
    let summary = session.interrupt().summary();
    let group = summary.group(&waiter.pid.to_string());
    assert!(group.max_ns() + 20 * MS >= least, "{least} ns, {account:?}: {}", group.0);
    assert!(group.waited_for(hog.pid) >= group.delay_ns() / 10 * 9, "{}", group.0);
    assert_eq!(summary.verdict_group().reason(), Some("real-time"), "{}", group.0);
    Ok(())
}

/// `SCHED_IDLE` gets a third of a percent beside an ordinary hog.
fn idle_policy() -> Outcome {
    let mut idle = waiter(Some((libc::SCHED_IDLE, 0)));
    let mut hog = Runner::start(&Kind { comm: "hog".into(), cpu: Some(CROWDED), ..Kind::default() });
    let session = trace(&["--by", "thread"]);
    let before = Account::read(idle.pid, idle.pid);
    hog.order(&Order::Spin(1_200));
    thread::sleep(Duration::from_millis(20));
    idle.order(&Order::Spin(1_000));
    let account = idle.answer()[0];
    let hog_ran = hog.answer()[0].run_ns;
    let summary = session.interrupt().summary();
    let after = Account::read(idle.pid, idle.pid);
    let group = summary.group(&idle.pid.to_string());
    let slack = (1 + summary.unseen()) * 8 * MS;
    // Its own account is of what it was told to do. On a busy machine it also waits to be told, and after it has answered.
    let whole = after.delay_ns - before.delay_ns;
    // A wait whose end the kernel did not report is lost, and it has few of them, which are long.
    let all_seen = summary.unseen() == 0;
    let least = if all_seen { account.delay_ns / 50 * 49 } else { 0 };
    let most = whole / 50 * 51;
    let waited = group.delay_ns();
    assert!(
        waited + slack >= least && waited <= most + slack,
        "{least} to {most} ns, {account:?}: {}",
        group.0
    );
    // On a busy machine more has run meanwhile than is remembered.
    let explained = group.waited_for(hog.pid) + group.unattributed_ns();
    assert!(!all_seen || explained + slack >= hog_ran / 10 * 8, "{explained} of {hog_ran} ns: {}", group.0);
    Ok(())
}

/// Who is killed has to get a CPU to die, so its wait ends like any other.
fn killed_while_waiting() -> Outcome {
    let (mut hog, mut waiter) = (hog()?, waiter(None));
    let session = trace(&[]);
    let least = behind(&mut hog, &mut waiter);
    thread::sleep(MEANWHILE);
    waiter.kill();
    hog.answer();
    drop(waiter);
    let summary = session.interrupt().summary();
    summary.assert_complete();
    let group = summary.group("waiter");
    assert!(group.max_ns() + 20 * MS >= least, "{least} ns: {}", group.0);
    Ok(())
}

/// No wait has ended, so no number has it; it is told all the same, and since when.
fn still_waiting() -> Outcome {
    let (mut hog, mut waiter) = (hog()?, waiter(None));
    let session = trace(&["--comm", "waiter"]);
    hog.order(&Order::Spin(900));
    thread::sleep(Duration::from_millis(20));
    waiter.order(&Order::Spin(10));
    thread::sleep(MEANWHILE);
    let summary = session.interrupt().summary();
    let told: Vec<_> = summary.waiting().iter().filter(|task| task["task"]["tid"] == waiter.pid).collect();
    assert_eq!(told.len(), 1, "{:?}", summary.waiting());
    let waited_ns = number(&told[0]["waited_ns"]);
    if told[0]["since_known"] == true {
        assert!((280 * MS..900 * MS).contains(&waited_ns), "{:?}", told[0]);
    }
    assert_eq!(told[0]["task"]["comm"], "waiter");
    waiter.answer();
    hog.answer();
    Ok(())
}
