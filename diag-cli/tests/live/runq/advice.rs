//! The advice: what it says is carried out, and what it is against is gone, by the scheduler's own account.

use std::{fs, process::Command, time::Duration};

use super::{
    CROWDED, favoured,
    runner::{Account, Kind, Order, Runner, all},
    trace,
};
use crate::{
    Outcome, Skip, Test,
    lab::{Lab, cgroup::Cgroup, setting::Setting},
    record::Record,
    storm::{self, Storm},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("runq_advice_nice", nice),
    ("runq_advice_weight", weight),
    ("runq_advice_policy", policy),
    ("runq_advice_quota", quota),
    ("runq_advice_affinity", affinity),
    ("runq_advice_autogroup", autogroup),
    ("runq_advice_idle_cpu", idle_cpu),
];

const SPIN: Order = Order::Spin(700);

fn kind(comm: &str, cgroup: Option<&Cgroup>) -> Kind {
    let cgroup = cgroup.map(|cgroup| cgroup.path().to_owned());
    Kind { comm: comm.into(), cpu: Some(CROWDED), cgroup, ..Kind::default() }
}

/// The text of a piece of advice.
fn advice<'a>(summary: &'a Record, rule: &str) -> Option<&'a str> {
    let all = summary.0["verdict"]["advice"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|advice| advice["rule"] == rule)?["text"].as_str()
}

/// The command that a piece of advice names: from its first word up to the end of the clause.
fn carry_out(summary: &Record, rule: &str, first: &str) {
    let text = advice(summary, rule).unwrap_or_else(|| panic!("no {rule} in {}", summary.0["verdict"]));
    let from = &text[text.rfind(first).unwrap_or_else(|| panic!("no {first:?} in {text:?}"))..];
    let end =
        [", and ", " takes it", " lifts it", " lets them", ";"].iter().filter_map(|end| from.find(end)).min();
    let command = &from[..end.unwrap_or(from.len())];
    let done = Command::new("sh").args(["-c", command]).output().expect("there is a shell");
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
}

/// How long one waits for each ns that it runs.
fn ratio(account: Account) -> f64 {
    account.delay_ns as f64 / account.run_ns.max(1) as f64
}

/// One that does something on a CPU where another spins all the time; carries out what is advised to the one, and says how long
/// it waited before and after.
fn before_and_after(victim: &Kind, rival: &Kind, order: &Order, rule: &str, first: &str) -> (f64, f64) {
    before_and_after_of(Runner::start(victim), Runner::start(rival), order, rule, first)
}

fn before_and_after_of(
    mut victim: Runner,
    mut rival: Runner,
    order: &Order,
    rule: &str,
    first: &str,
) -> (f64, f64) {
    let session = trace(&["-p", &victim.pid.to_string()]);
    rival.order(&Order::Spin(10_000));
    let mut turn = || {
        victim.order(order);
        ratio(victim.answer()[0])
    };
    let before = turn();
    let summary = session.interrupt().summary();
    carry_out(&summary, rule, first);
    (before, turn())
}

fn nice() -> Outcome {
    let lab = Lab::new();
    let both = favoured(&lab)?;
    // All threads of the rival matter, not its first alone.
    let rival = Kind { threads: 2, ..kind("rival", Some(&both)) };
    let (before, after) =
        before_and_after(&kind("victim", Some(&both)), &rival, &SPIN, "culprit-nice", "renice");
    assert!(before > 0.7 && after < before / 2.0, "{before} before, {after} after");
    Ok(())
}

fn weight() -> Outcome {
    let lab = Lab::new();
    let parent = favoured(&lab)?;
    if parent.path().join("cgroup.controllers").exists() {
        parent.set("cgroup.subtree_control", "+cpu")?;
    }
    let (one, other) = (parent.child("one")?, parent.child("other")?);
    let (victim, rival) = (kind("victim", Some(&one)), kind("rival", Some(&other)));
    let (before, after) = before_and_after(&victim, &rival, &SPIN, "culprit-weight", "echo");
    assert!(before > 0.7 && after < before / 2.0, "{before} before, {after} after");
    Ok(())
}

/// Two sessions, each a group of its own to the scheduler as long as their tasks are in the root cgroup.
fn autogroup() -> Outcome {
    let enabled = fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled").unwrap_or_default();
    if enabled.trim() != "1" {
        return Err(Skip::because("the kernel makes no groups of sessions, or is told not to"));
    }
    let member = |comm: &str| {
        let runner = Runner::start(&Kind { session: true, ..kind(comm, None) });
        // Before all others, so that these two have the CPU for themselves also on a busy machine.
        let group = format!("/proc/{}/autogroup", runner.pid);
        fs::write(&group, "-20").unwrap_or_else(|error| panic!("{group}: {error}"));
        runner
    };
    let (victim, rival) = (member("victim"), member("rival"));
    let (before, after) = before_and_after_of(victim, rival, &SPIN, "culprit-autogroup", "echo");
    assert!(before > 0.7 && after < before / 2.0, "{before} before, {after} after");
    Ok(())
}

/// Two threads that wake each other on CPUs that are idle each time: where these do not halt at once, a round trip is shorter,
/// by the threads' own count.
fn idle_cpu() -> Outcome {
    let governor =
        fs::read_to_string("/sys/devices/system/cpu/cpuidle/current_governor_ro").unwrap_or_default();
    if governor.trim() != "haltpoll" {
        return Err(Skip::because(format!("the governor of idle CPUs is {governor:?}, and not haltpoll")));
    }
    let lab = Lab::new();
    let _none = Setting::change(&lab, "/sys/module/haltpoll/parameters/guest_halt_poll_ns", "0")?;
    let mut storm = Storm::ready(storm::Kind::Pipes, None);
    let mut turn = || storm.rage(Duration::from_millis(1_000));
    let session = trace(&["--slow", "0", "--comm", storm::COMM]);
    let before = turn();
    let summary = session.interrupt().summary();
    if summary.verdict_group().reason() != Some("idle-cpu") {
        return Err(Skip::because(format!("the CPUs were not idle: {}", summary.0["verdict"])));
    }
    carry_out(&summary, "idle-wake-up", "echo");
    let after = turn();
    println!("{before} round trips before, {after} after");
    assert!(after > before / 4 * 5, "{before} round trips before, {after} after");
    Ok(())
}

/// The policies of all threads of a process, by their numbers.
fn policies(pid: u32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let numbers = threads.flatten().filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    // SAFETY: it takes a number.
    numbers.map(|tid: i32| unsafe { libc::sched_getscheduler(tid) }).collect()
}

fn policy() -> Outcome {
    let fifo = Some((libc::SCHED_FIFO, 10));
    let mut victim = Runner::start(&kind("victim", None));
    let mut rival = Runner::start(&Kind { policy: fifo, threads: 2, ..kind("rival", None) });
    let victim_pid = victim.pid;
    let session = trace(&["-p", &victim_pid.to_string()]);
    rival.order(&Order::Spin(10_000));
    // From the order on: it waits most until it can begin.
    let mut turn = || {
        let waited = || Account::read(victim_pid, victim_pid).delay_ns;
        let earlier = waited();
        victim.order(&Order::Serve(500, 4_000, 30));
        victim.answer();
        waited() - earlier
    };
    let before = turn();
    let summary = session.interrupt().summary();
    assert!(policies(rival.pid).iter().all(|&policy| policy == libc::SCHED_FIFO), "no rivals of that policy");
    carry_out(&summary, "real-time-policy", "chrt -a -o");
    assert_eq!(policies(rival.pid), vec![libc::SCHED_OTHER; 3]);
    let after = turn();
    assert!(before > 300_000_000 && after < before / 3 * 2, "{before} ns before, {after} ns after");
    Ok(())
}

fn quota() -> Outcome {
    let lab = Lab::new();
    let group = favoured(&lab)?;
    let v1 = group.set("cpu.cfs_quota_us", "20000").is_ok();
    if !v1 {
        group.set("cpu.max", "20000 100000")?;
    }
    let held = || group.stat("cpu.stat", "nr_throttled");
    let mut runner = Runner::start(&kind("held", Some(&group)));
    let session = trace(&["-p", &runner.pid.to_string()]);
    runner.order(&SPIN);
    runner.answer();
    if held()? == 0 {
        return Err(Skip::because("the quota held nobody"));
    }
    let summary = session.interrupt().summary();
    carry_out(&summary, "quota", "echo");
    let before = held()?;
    runner.order(&SPIN);
    runner.answer();
    assert_eq!(held()?, before, "it is still held");
    Ok(())
}

fn affinity() -> Outcome {
    let mut both = [Runner::start(&kind("victim", None)), Runner::start(&kind("rival", None))];
    let session = trace(&["-p", &both[0].pid.to_string()]);
    let before = ratio(all(&mut both, &SPIN)[0]);
    let summary = session.interrupt().summary();
    if advice(&summary, "free-cpus").is_none() {
        return Err(Skip::because("no CPU of this machine was free"));
    }
    carry_out(&summary, "free-cpus", "taskset");
    let after = ratio(all(&mut both, &SPIN)[0]);
    assert!(before > 0.7 && after < before / 2.0, "{before} before, {after} after");
    Ok(())
}
