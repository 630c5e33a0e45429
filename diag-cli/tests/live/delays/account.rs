//! Threads that are there all the time: how long they were, ran and waited for a CPU, by the scheduler's own account.

use std::fs;

use super::{assert_near, record::Time, trace};
use crate::{
    Outcome, Test,
    lab::Lab,
    osdiag::{Session, tool},
    record::{Record, number},
    runq::{
        record::Group,
        runner::{Account, Kind, Order, Runner, all},
    },
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("delays_running_and_existing_against_schedstat", running),
    ("delays_run_queue_against_schedstat", contention),
    ("delays_by_every_key", by_every_key),
    ("delays_intervals_add_up", intervals_add_up),
    ("delays_never_switching", never_switching),
    ("delays_forgotten_wakeups", forgotten_wakeups),
    ("delays_folded", folded),
];

/// The CPU that tests crowd.
const CROWDED: usize = 1;
/// How much of time that is there throughout may be missing where a session begins and ends.
const ALL: f64 = 0.001;

fn crew(comm: &str, number: usize, cpu: Option<usize>) -> Vec<Runner> {
    let kind = Kind { comm: comm.into(), cpu, ..Kind::default() };
    (0..number).map(|_| Runner::start(&kind)).collect()
}

fn pids(crew: &[Runner]) -> Vec<String> {
    crew.iter().map(|one| format!("--pid={}", one.pid)).collect()
}

fn trace_of(pids: &[String], by: &str) -> Session {
    trace(&["--by", by].into_iter().chain(pids.iter().map(String::as_str)).collect::<Vec<_>>())
}

fn accounts(crew: &[Runner]) -> Vec<Account> {
    crew.iter().map(|runner| Account::read(runner.pid, runner.pid)).collect()
}

/// What each has had since.
fn since(crew: &[Runner], before: &[Account]) -> Vec<Account> {
    let now = accounts(crew).into_iter().zip(before);
    now.map(|(now, before)| Account {
        run_ns: now.run_ns - before.run_ns,
        delay_ns: now.delay_ns - before.delay_ns,
        ..now
    })
    .collect()
}

/// They sleep before the session and after it: all that the scheduler counts of them is in it.
fn running() -> Outcome {
    let mut crew = crew("dl-crew", 3, None);
    let before = accounts(&crew);
    let pids = pids(&crew);
    let sessions = ["comm", "process"].map(|by| trace_of(&pids, by));
    all(&mut crew, &Order::Serve(2_000, 3_000, 250));
    let accounts = since(&crew, &before);
    let [by_comm, by_process] = sessions.map(|session| session.interrupt().summary());
    for record in [&by_comm, &by_process] {
        record.assert_complete();
    }
    let time = by_comm.time("dl-crew");
    assert_eq!(time.thread_count(), 3, "{}", time.0.0);
    assert_near("existing", time.thread_ns(), 3 * by_comm.duration_ns(), ALL, 0);
    let run_ns = accounts.iter().map(|account| account.run_ns).sum();
    assert_near("running", time.on_cpu_ns(), run_ns, 0.02, slack_ns(&by_comm));
    for (runner, account) in crew.iter().zip(&accounts) {
        let time = by_process.time(&runner.pid.to_string());
        assert_near("one existing", time.thread_ns(), by_process.duration_ns(), ALL, 0);
        assert_near("one running", time.on_cpu_ns(), account.run_ns, 0.02, slack_ns(&by_process));
    }
    let of_each: u64 = crew.iter().map(|one| by_process.time(&one.pid.to_string()).on_cpu_ns()).sum();
    let slack = slack_ns(&by_comm) + slack_ns(&by_process);
    assert_near("running by process and by comm", of_each, time.on_cpu_ns(), 0.005, slack);
    Ok(())
}

/// A run that the kernel did not tell of may take as much as a time slice or two.
fn slack_ns(summary: &Record) -> u64 {
    summary.missed() * 8_000_000
}

fn contention() -> Outcome {
    let mut crew = crew("dl-crowd", 3, Some(CROWDED));
    let before = accounts(&crew);
    let session = trace_of(&pids(&crew), "process");
    all(&mut crew, &Order::Spin(2_000));
    let accounts = since(&crew, &before);
    let summary = session.interrupt().summary();
    summary.assert_complete();
    for (runner, account) in crew.iter().zip(&accounts) {
        assert!(account.delay_ns > account.run_ns, "no crowd: {account:?}");
        let time = summary.time(&runner.pid.to_string());
        let ran_ns = time.on_cpu_ns() + time.layer_ns("hypervisor");
        assert_near("runnable", time.runnable_ns(), account.delay_ns, 0.02, slack_ns(&summary));
        assert_near("running", ran_ns, account.run_ns, 0.02, slack_ns(&summary));
        assert_near("existing", time.thread_ns(), summary.duration_ns(), ALL, 0);
    }
    Ok(())
}

/// The same time, whatever it is grouped by.
fn by_every_key() -> Outcome {
    let mut crew = crew("dl-keys", 2, None);
    let pids = pids(&crew);
    let keys = ["comm", "process", "thread", "cgroup", "container"];
    let sessions = keys.map(|by| (by, trace_of(&pids, by)));
    let before = accounts(&crew);
    all(&mut crew, &Order::Serve(1_000, 2_000, 300));
    let run_ns: u64 = since(&crew, &before).iter().map(|account| account.run_ns).sum();
    for (by, session) in sessions {
        let summary = session.interrupt().summary();
        summary.assert_complete();
        assert_near(by, sum(&summary, Time::thread_ns), 2 * summary.duration_ns(), ALL, 0);
        // Each of them takes its stamps while the scheduler charges the others' programs to the thread.
        assert_near(by, sum(&summary, Time::on_cpu_ns), run_ns, 0.05, 0);
        assert_eq!(sum(&summary, Time::thread_count), 2, "by {by}");
    }
    Ok(())
}

fn intervals_add_up() -> Outcome {
    let mut crew = crew("dl-parts", 3, Some(CROWDED));
    let session = trace(&["-i", "150ms", "--by", "comm"]);
    all(&mut crew, &Order::Serve(3_000, 1_000, 120));
    let mut records = session.interrupt().records();
    let summary = records.pop().expect("a summary");
    assert!(records.len() >= 4, "{} intervals", records.len());
    let total = summary.time("dl-parts");
    let parts: Vec<_> =
        records.iter().flat_map(Record::groups).filter(|group| group.key() == "dl-parts").map(Time).collect();
    assert_eq!(parts.len(), records.len(), "it is in each interval");
    for (at, (what, whole)) in numbers(total).into_iter().enumerate() {
        let sum = parts.iter().map(|part| numbers(*part)[at].1).sum();
        assert_near(what, sum, whole, 0.001, 0);
    }
    assert_near(
        "all",
        records.iter().map(|record| sum(record, Time::thread_ns)).sum(),
        sum(&summary, Time::thread_ns),
        0.001,
        0,
    );
    Ok(())
}

/// What has to add up.
fn numbers(time: Time<'_>) -> [(&'static str, u64); 5] {
    let waits = time.list("causes").iter().map(|cause| number(&cause["wait_count"])).sum();
    [
        ("existing", time.thread_ns()),
        ("running", time.on_cpu_ns()),
        ("runnable", time.runnable_ns()),
        ("asleep", time.asleep_ns()),
        ("waits", waits),
    ]
}

/// Of all groups.
fn sum<'a>(record: &'a Record, of: fn(Time<'a>) -> u64) -> u64 {
    record.groups().into_iter().map(|group| of(Time(group))).sum()
}

/// A thread that keeps its CPU through whole intervals is in each of them, as much as the scheduler says in all.
fn never_switching() -> Outcome {
    let mut hog = Runner::start(&Kind {
        comm: "dl-lone".into(),
        cpu: Some(CROWDED),
        policy: Some((libc::SCHED_FIFO, 1)),
        ..Kind::default()
    });
    let session = trace(&["-i", "100ms", "--by", "thread", "-p", &hog.pid.to_string()]);
    hog.order(&Order::Spin(800));
    let account = hog.answer()[0];
    let mut records = session.interrupt().records();
    let summary = records.pop().expect("a summary");
    let key = hog.pid.to_string();
    let running = records.iter().map(|record| (record.time(&key).on_cpu_ns(), record.duration_ns()));
    let running: Vec<_> = running.skip_while(|(ns, _)| *ns == 0).collect();
    let last = running.iter().rposition(|(ns, _)| *ns > 0).expect("it is in one of them");
    assert!(last > 1, "of {account:?} in {running:?}");
    // Between the first interval and the last it is in each; the kernel may take the CPU for a moment.
    for (ns, whole) in &running[1..last] {
        assert_near("of an interval", *ns, *whole, 0.02, 0);
    }
    let time = summary.time(&key);
    assert_near("running", time.on_cpu_ns() + time.layer_ns("hypervisor"), account.run_ns, 0.02, 0);
    Ok(())
}

/// Threads are there by their births and deaths, whatever they do: an account of what they do that forgets the end of one sleep in a
/// thousand differs from that, and says so itself.
fn forgotten_wakeups() -> Outcome {
    let mut crew = crew("dl-forget", 2, None);
    let pids = pids(&crew);
    let sound = trace_of(&pids, "comm");
    let mut command = tool("delays", &["--json", "--by", "comm"]);
    command.args(&pids).env("OSDIAG_WITHOUT", "some-wakeups");
    let mutated = Session::counting(command);
    all(&mut crew, &Order::Sleep(100, 8_000));
    let (sound, mutated) = (sound.interrupt().summary(), mutated.interrupt());
    // What is true of every record is not of this one.
    let text = String::from_utf8_lossy(&mutated.out);
    let mutated = Record(serde_json::from_str(text.lines().last().expect("a record")).expect("JSON"));
    for record in [&sound, &mutated] {
        let time = record.time("dl-forget");
        assert_near("existing", time.thread_ns(), 2 * record.duration_ns(), ALL, 0);
    }
    let unaccounted_ns = |record: &Record| {
        let time = record.time("dl-forget");
        time.0.0["unaccounted_ns"].as_i64().expect("a number").unsigned_abs() as f64 / time.thread_ns() as f64
    };
    let shares = [&sound, &mutated].map(unaccounted_ns);
    println!("unaccounted for: {shares:?}");
    assert!(shares[0] <= ALL && shares[1] > ALL, "{shares:?}");
    assert_eq!(mutated.0["verdict"]["status"], "inconsistent", "{}", mutated.0["verdict"]);
    Ok(())
}

/// `group;place;function;… NS`: each group's stacks stand for no more than it has slept.
fn folded() -> Outcome {
    let lab = Lab::new();
    let path = lab.path("folded");
    let text = path.to_string_lossy();
    let mut crew = crew("dl-fold", 2, None);
    let session = trace(&["--by", "comm", "--folded", &text]);
    all(&mut crew, &Order::PingPong(800));
    let summary = session.interrupt().summary();
    let folded = fs::read_to_string(&path).expect("it writes the file");
    let lines: Vec<(Vec<&str>, u64)> = folded
        .lines()
        .map(|line| {
            let (frames, ns) = line.rsplit_once(' ').expect("a line ends with its time");
            (frames.split(';').collect(), ns.parse().expect("a time"))
        })
        .collect();
    assert!(lines.iter().all(|(frames, ns)| frames.len() >= 2 && *ns > 0), "{folded}");
    assert!(
        lines.iter().any(|(frames, _)| frames[..2] == ["dl-fold", "read"] && frames.len() > 3),
        "{folded}"
    );
    for group in summary.groups().iter().filter(|group| group.0["group"]["type"] == "comm") {
        let ns: u64 =
            lines.iter().filter(|(frames, _)| frames[0] == Group::key(group)).map(|(_, ns)| ns).sum();
        assert!(ns <= Time(*group).thread_ns(), "{ns} of {}", group.0);
    }
    Ok(())
}
