//! Tasks that crowd one CPU.

use std::fs;

use serde_json::json;

use super::{
    CROWDED,
    record::Group,
    runner::{Account, Kind, Order, Runner, all},
    trace,
};
use crate::{
    Outcome, Test,
    lab::{Lab, cgroup::Cgroup},
    osdiag::{Session, tool},
    record::{Record, number},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("runq_hogs_against_schedstat", hogs_against_schedstat),
    ("runq_hogs_through_raw_hooks", hogs_through_raw_hooks),
    ("runq_utilization", utilization),
    ("runq_intervals_add_up", intervals_add_up),
    ("runq_by_every_key", by_every_key),
    ("runq_throttled", throttled),
    ("runq_cgroup_and_its_neighbour", cgroup_and_neighbour),
    ("runq_renamed_and_exec", renamed_and_exec),
];

const SPIN: Order = Order::Spin(1_500);

fn hogs() -> Vec<Runner> {
    let kind = |number| Kind { comm: format!("hog-{number}"), cpu: Some(CROWDED), ..Kind::default() };
    (0..3).map(|number| Runner::start(&kind(number))).collect()
}

/// Each hog's waiting and running are what the scheduler says, and who had its CPU are the other two, as long as they ran.
fn assert_hogs(summary: &Record, hogs: &[Runner], accounts: &[Account]) {
    summary.assert_complete();
    // A run that the kernel did not tell of may take as much as a time slice or two.
    let slack = summary.unseen() * 8_000_000;
    let close = |ours: u64, theirs: u64, share: f64| {
        ours.abs_diff(theirs) as f64 <= share * theirs as f64 + slack as f64
    };
    for (hog, account) in hogs.iter().zip(accounts) {
        let group = summary.group(&hog.pid.to_string());
        // The scheduler's account begins where the task is on the queue.
        let queued_ns = group.delay_ns() - group.wake_ns();
        assert!(close(queued_ns, account.delay_ns, 0.02), "{account:?} against {}", group.0);
        assert!(close(group.run_ns(), account.run_ns, 0.02), "{account:?} against {}", group.0);
        for (other, account) in hogs.iter().zip(accounts).filter(|(other, _)| other.pid != hog.pid) {
            let ns = group.waited_for(other.pid);
            assert!(close(ns, account.run_ns, 0.06), "{ns} for {account:?} in {}", group.0);
        }
        assert!(close(group.delay_ns() - group.unattributed_ns(), group.delay_ns(), 0.02), "{}", group.0);
    }
}

fn crowd(mut session: impl FnMut() -> Session) {
    let mut hogs = hogs();
    let session = session();
    // As long as the session, so with the waits before and after the order; between orders they sleep.
    let read = |hogs: &[Runner]| hogs.iter().map(|hog| Account::read(hog.pid, hog.pid)).collect::<Vec<_>>();
    let before = read(&hogs);
    all(&mut hogs, &SPIN);
    let summary = session.interrupt().summary();
    let accounts: Vec<_> = read(&hogs).into_iter().zip(before).map(|(now, then)| now.since(then)).collect();
    assert!(accounts.iter().all(|account| account.delay_ns > account.run_ns), "no crowd: {accounts:?}");
    assert_hogs(&summary, &hogs, &accounts);
}

fn hogs_against_schedstat() -> Outcome {
    crowd(|| trace(&["--by", "thread"]));
    Ok(())
}

/// The kind of hook is no matter of the answer.
fn hogs_through_raw_hooks() -> Outcome {
    crowd(|| {
        let mut command = tool("runq", &["--json", "--by", "process"]);
        command.env("OSDIAG_HOOKS", "raw");
        Session::tracing(command)
    });
    Ok(())
}

/// Jiffies that a CPU was idle.
fn idle_ticks(cpu: usize) -> u64 {
    let text = fs::read_to_string("/proc/stat").expect("the kernel keeps statistics");
    let line = text.lines().find(|line| line.starts_with(&format!("cpu{cpu} "))).expect("the CPU is there");
    let fields: Vec<u64> =
        line.split_whitespace().skip(1).map(|field| field.parse().expect("ticks")).collect();
    fields[3] + fields[4]
}

/// A task that runs through a whole interval, without a single switch, keeps its CPU busy in it.
fn utilization() -> Outcome {
    let mut hog = Runner::start(&Kind { comm: "lone".into(), cpu: Some(CROWDED), ..Kind::default() });
    let session = trace(&["-i", "100ms", "--comm", "lone"]);
    hog.order(&Order::Spin(1_200));
    let idle = idle_ticks(CROWDED);
    let account = hog.answer()[0];
    let idle = idle_ticks(CROWDED) - idle;
    let records = session.interrupt().records();
    let share = |record: &Record| {
        let cpu = record.cpus().iter().find(|cpu| cpu["cpu"] == CROWDED).expect("it is listed");
        cpu["busy_share"].as_f64().expect("a share")
    };
    let busy =
        records.iter().filter(|record| record.text("type") == "interval" && share(record) > 0.98).count();
    assert!(busy >= 8, "idle for {idle} ticks, but busy in {busy} intervals only");
    let summary = records.last().expect("a summary");
    let run_ns = summary.group("lone").run_ns();
    let slack = summary.unseen() * 8_000_000;
    assert!(run_ns.abs_diff(account.run_ns) <= account.run_ns / 50 + slack, "{run_ns} for {account:?}");
    Ok(())
}

fn intervals_add_up() -> Outcome {
    let mut hogs = hogs();
    let session = trace(&["-i", "150ms", "--by", "process"]);
    all(&mut hogs, &Order::Spin(900));
    let mut records = session.interrupt().records();
    let summary = records.pop().expect("a summary");
    assert!(records.len() >= 6, "{} intervals", records.len());
    for hog in &hogs {
        let key = hog.pid.to_string();
        let total = summary.group(&key);
        let parts: Vec<_> =
            records.iter().flat_map(Record::groups).filter(|group| group.key() == key).collect();
        assert_eq!(parts.iter().map(Group::count).sum::<u64>(), total.count());
        assert_eq!(parts.iter().map(Group::delay_ns).sum::<u64>(), total.delay_ns());
        assert_eq!(parts.iter().map(Group::run_ns).sum::<u64>(), total.run_ns());
    }
    for (at, cpu) in summary.cpus().iter().enumerate() {
        for key in ["switch_count", "busy_ns", "idle_ns"] {
            let sum: u64 = records.iter().map(|record| number(&record.cpus()[at][key])).sum();
            assert_eq!(sum, number(&cpu[key]), "{key}");
        }
    }
    Ok(())
}

/// The same waits, whatever they are grouped by. Only the hogs', which are bound to a CPU: by CPU, it is not known who had the one
/// that a task was moved away from while it waited.
fn by_every_key() -> Outcome {
    let mut hogs = hogs();
    let pids: Vec<String> = hogs.iter().map(|hog| format!("--pid={}", hog.pid)).collect();
    let session = |by| {
        let flags = ["--by", by].into_iter().chain(pids.iter().map(String::as_str));
        trace(&flags.collect::<Vec<_>>())
    };
    let sessions: Vec<_> =
        ["comm", "process", "thread", "cgroup", "cpu"].into_iter().map(|by| (by, session(by))).collect();
    let accounts = all(&mut hogs, &Order::Spin(800));
    let waited: u64 = accounts.iter().map(|account| account.delay_ns).sum();
    for (by, session) in sessions {
        let summary = session.interrupt().summary();
        summary.assert_complete();
        let groups = summary.groups();
        let all_ns: u64 = groups.iter().map(Group::delay_ns).sum();
        let slack = summary.unseen() * 16_000_000;
        assert!(all_ns + slack >= waited / 100 * 98, "by {by}: {all_ns} of {waited}");
        let attributed: u64 = groups.iter().map(|group| group.delay_ns() - group.unattributed_ns()).sum();
        assert!(attributed + slack >= all_ns / 100 * 97, "by {by}: {attributed} of {all_ns}");
        let first = match by {
            "comm" => "hog-0".to_owned(),
            "process" | "thread" => hogs[0].pid.to_string(),
            "cpu" => CROWDED.to_string(),
            _ => groups[0].key(),
        };
        assert!(summary.group(&first).delay_ns() >= waited / 4, "by {by}: {first}");
    }
    Ok(())
}

/// One hog for each CPU in a group with a quota.
fn throttled() -> Outcome {
    let lab = Lab::new();
    let v1 = Cgroup::v1(&lab, "cpu");
    let (group, account, unit) = match v1 {
        Ok(group) => {
            group.set("cpu.cfs_period_us", "100000")?;
            group.set("cpu.cfs_quota_us", "20000")?;
            (group, "throttled_time", 1)
        }
        Err(_) => {
            let group = Cgroup::v2(&lab)?;
            group.set("cpu.max", "20000 100000")?;
            (group, "throttled_usec", 1_000)
        }
    };
    let cpus = thread_count();
    let kind = |cpu| Kind {
        comm: "held".into(),
        cpu: Some(cpu),
        cgroup: Some(group.path().to_owned()),
        ..Kind::default()
    };
    let mut hogs: Vec<_> = (0..cpus).map(|cpu| Runner::start(&kind(cpu))).collect();
    let before = group.stat("cpu.stat", account)?;
    let session = trace(&["--comm", "held"]);
    all(&mut hogs, &Order::Spin(2_500));
    let summary = session.interrupt().summary();
    let held_ns = (group.stat("cpu.stat", account)? - before) * unit;
    assert!(held_ns > 0, "the quota held nobody");
    summary.assert_complete();
    let ours = summary.group("held");
    let slack = summary.unseen() * 80_000_000;
    let close = ours.throttled_ns().abs_diff(held_ns) <= held_ns / 100 * 3 + slack;
    assert!(close, "{} of {held_ns} ns: {}", ours.throttled_ns(), ours.0);
    let verdict = &summary.0["verdict"];
    assert_eq!((&verdict["layer"], &verdict["cause"]), (&json!("cpu"), &json!("throttled")), "{verdict}");
    assert_eq!(ours.reason(), Some("quota"), "{}", ours.0);
    Ok(())
}

fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What is outside adds nothing, but is seen as what it is.
fn cgroup_and_neighbour() -> Outcome {
    let lab = Lab::new();
    let group = match Cgroup::v1(&lab, "memory") {
        Ok(group) => group,
        Err(_) => Cgroup::v2(&lab)?,
    };
    let kind = |comm: &str, cgroup| Kind { comm: comm.into(), cpu: Some(CROWDED), cgroup, ..Kind::default() };
    let mine = Runner::start(&kind("mine", Some(group.path().to_owned())));
    let theirs = Runner::start(&kind("theirs", None));
    let session = trace(&["--cgroup", &group.path().to_string_lossy()]);
    let mut both = [mine, theirs];
    let accounts = all(&mut both, &Order::Spin(900));
    let summary = session.interrupt().summary();
    let keys: Vec<_> = summary.groups().iter().map(Group::key).collect();
    assert_eq!(keys, ["mine"]);
    let ours = summary.group("mine");
    let slack = summary.unseen() * 8_000_000;
    assert!(
        ours.delay_ns().abs_diff(accounts[0].delay_ns) <= accounts[0].delay_ns / 50 + slack,
        "{}",
        ours.0
    );
    let theirs = ours.waited_for(both[1].pid);
    assert!(theirs.abs_diff(accounts[1].run_ns) <= accounts[1].run_ns / 10 + slack, "{theirs}: {}", ours.0);
    let verdict = &summary.0["verdict"];
    assert!(verdict["statement"].as_str().is_some_and(|said| !said.contains("mine[")), "{verdict}");
    Ok(())
}

/// What a task is called when it gets its CPU, and what it is called when it leaves it, is what counts.
fn renamed_and_exec() -> Outcome {
    let kind = |comm: &str| Kind { comm: comm.into(), cpu: Some(CROWDED), ..Kind::default() };
    let mut hog = Runner::start(&kind("before"));
    let mut crowd = Runner::start(&kind("crowd"));
    let session = trace(&[]);
    crowd.order(&Order::Spin(1_200));
    hog.order(&Order::Exec("after-exec".into(), 700));
    hog.answer_to_exec();
    let account = hog.answer()[0];
    hog.order(&Order::Rename("renamed".into(), 300));
    let later = hog.answer()[0];
    crowd.answer();
    let summary = session.interrupt().summary();
    let slack = 5_000_000 + summary.unseen() * 8_000_000;
    for (name, account) in [("after-exec", account), ("renamed", later)] {
        let group = summary.group(name);
        assert!(
            group.run_ns().abs_diff(account.run_ns) <= account.run_ns / 20 + slack,
            "{account:?}: {}",
            group.0
        );
        assert!(
            group.delay_ns().abs_diff(account.delay_ns) <= account.delay_ns / 20 + 2 * slack,
            "{account:?}: {}",
            group.0
        );
    }
    Ok(())
}
