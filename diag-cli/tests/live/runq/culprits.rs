//! Who is blamed: for long waits beside short runs, by one of the same name, by one's own threads, in another cgroup.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    CROWDED, favoured,
    record::Group,
    runner::{Kind, Order, Runner, all},
    trace,
};
use crate::{
    Outcome, Skip, Test,
    lab::{Lab, cgroup::Cgroup},
    osdiag::{Session, tool},
    record::{Record, number},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("runq_long_waits_beside_short_runs", long_waits_beside_short_runs),
    ("runq_two_of_one_name", two_of_one_name),
    ("runq_own_threads", own_threads),
    ("runq_rival_cgroups", rival_cgroups),
    ("runq_held_since_before", held_since_before),
    ("runq_whole_time_of_each_cpu", whole_time_of_each_cpu),
    ("runq_wake_up_of_an_idle_cpu", wake_up_of_an_idle_cpu),
    ("runq_short_processes", short_processes),
];

fn on_crowded(comm: &str) -> Kind {
    Kind { comm: comm.into(), cpu: Some(CROWDED), ..Kind::default() }
}

fn statement(summary: &Record) -> &str {
    summary.0["verdict"]["statement"].as_str().expect("a verdict says something")
}

/// Two threads that wake each other have the CPU all the time, in runs of which the last hundred take a millisecond; who waits
/// for it for many of them waited for these two.
fn long_waits_beside_short_runs() -> Outcome {
    let lab = Lab::new();
    let both = favoured(&lab)?;
    let inside = |comm: &str| Kind { cgroup: Some(both.path().to_owned()), ..on_crowded(comm) };
    let mut pair = Runner::start(&inside("pair"));
    let mut low = Runner::start(&Kind { policy: Some((libc::SCHED_IDLE, 0)), ..inside("low") });
    let session = trace(&["-p", &low.pid.to_string()]);
    pair.order(&Order::PingPong(1_800));
    thread::sleep(Duration::from_millis(50));
    low.order(&Order::Spin(1_500));
    let had = pair.answer()[0].run_ns;
    let waited = low.answer()[0].delay_ns;
    assert!(had > 900_000_000 && waited > 500_000_000, "no crowd: {had} and {waited} ns");
    let summary = session.interrupt().summary();
    let group = summary.group("low");
    let slack = summary.unseen() * 8_000_000;
    assert!(group.unattributed_ns() <= group.delay_ns() / 20 + slack, "{}", group.0);
    // On a busy machine others run there as well, and are named as well.
    let ns = group.waited_for(pair.pid);
    assert!(ns + slack >= had.min(waited) / 10 * 7, "{ns} of {had} ns that the pair ran: {}", group.0);
    assert!(statement(&summary).contains("pair"), "{}", summary.0["verdict"]);
    Ok(())
}

/// A process is not its own rival because another one has its name.
fn two_of_one_name() -> Outcome {
    let mut service = Runner::start(&on_crowded("python3"));
    let mut hog = Runner::start(&on_crowded("python3"));
    let session = trace(&["--comm", "python3"]);
    hog.order(&Order::Spin(1_500));
    service.order(&Order::Serve(500, 4_000, 200));
    service.answer();
    hog.answer();
    let summary = session.interrupt().summary();
    let group = summary.group("python3");
    assert_eq!(group.reason(), Some("others"), "{}", group.0);
    assert_eq!(summary.verdict_group().0["group"]["comm"], "python3");
    assert!(group.waited_for(hog.pid) > 0 && group.waited_for(service.pid) > 0, "{}", group.0);
    Ok(())
}

/// Threads of one process crowd each other, whatever they are grouped by.
fn own_threads() -> Outcome {
    let lab = Lab::new();
    let cgroup = favoured(&lab)?;
    let kind = Kind { threads: 3, cgroup: Some(cgroup.path().to_owned()), ..on_crowded("crowd") };
    let mut crowd = Runner::start(&kind);
    let pid = crowd.pid.to_string();
    let sessions: Vec<(&str, Session)> = ["comm", "process", "thread", "cpu"]
        .into_iter()
        .map(|by| (by, trace(&["--by", by, "-p", &pid])))
        .collect();
    crowd.order(&Order::Spin(600));
    crowd.answer();
    for (by, session) in sessions {
        let summary = session.interrupt().summary();
        let group = summary.verdict_group();
        assert_eq!(group.reason(), Some("itself"), "by {by}: {}", group.0);
        assert!(statement(&summary).contains(" threads of "), "by {by}: {}", statement(&summary));
    }
    Ok(())
}

/// Two cgroups of the cpu controller are two groups, by the paths that this controller has; whose weights decide is said by
/// files that are there.
fn rival_cgroups() -> Outcome {
    let lab = Lab::new();
    let parent = favoured(&lab)?;
    let v2 = parent.path().join("cgroup.controllers").exists();
    if v2 {
        parent.set("cgroup.subtree_control", "+cpu")?;
    }
    let (one, other) = (parent.child("one")?, parent.child("other")?);
    let inside = |comm: &str, cgroup: &Cgroup| {
        Runner::start(&Kind { cgroup: Some(cgroup.path().to_owned()), ..on_crowded(comm) })
    };
    let mut both = [inside("victim", &one), inside("rival", &other)];
    let session = trace(&["--by", "cgroup", "-p", &both[0].pid.to_string()]);
    all(&mut both, &Order::Spin(600));
    let summary = session.interrupt().summary();
    let group = summary.verdict_group();
    assert_eq!(number(&group.0["group"]["cgroup_id"]), one.id(), "{}", group.0);
    assert_eq!(group.reason(), Some("others"), "{}", group.0);
    let named = |path: &Path| path.to_string_lossy().rsplit('/').take(2).collect::<Vec<_>>().join("/");
    let path = |value: &Value| named(Path::new(value.as_str().expect("a path")));
    assert_eq!(path(&group.0["group"]["cgroup"]), named(one.path()));
    let culprit = group.culprits().iter().find(|culprit| culprit["task"]["pid"] == both[1].pid);
    assert_eq!(path(&culprit.expect("it ran")["task"]["cgroup"]), named(other.path()));
    let advice = summary.0["verdict"]["advice"].to_string();
    let file = other.path().join(if v2 { "cpu.weight" } else { "cpu.shares" });
    assert!(file.exists() && advice.contains(&*file.to_string_lossy()), "{advice}");
    Ok(())
}

/// A quota that held a task before the session began is not known to hold it, nor known not to.
fn held_since_before() -> Outcome {
    let lab = Lab::new();
    let group = Cgroup::of(&lab, "cpu")?;
    if group.set("cpu.cfs_period_us", "1000000").is_ok() {
        group.set("cpu.cfs_quota_us", "20000")?;
    } else {
        group.set("cpu.max", "20000 1000000")?;
    }
    let mut held = Runner::start(&Kind { cgroup: Some(group.path().to_owned()), ..on_crowded("held") });
    held.order(&Order::Spin(4_000));
    thread::sleep(Duration::from_millis(150));
    for _ in 0..4 {
        let session = Session::start(tool("runq", &["--json", "-d", "150ms", "-p", &held.pid.to_string()]));
        let summary = session.finish().summary();
        for task in summary.waiting() {
            let wrong = task["since_known"] == false && task["throttled"] == false;
            assert!(!wrong, "{task}");
        }
        if let Some(task) = summary.waiting().first() {
            assert_eq!(summary.0["verdict"]["status"], "found", "{}", summary.0["verdict"]);
            // Beside other work a longer wait can have ended in the session: then it is the task's group that the verdict is about.
            let ended = summary.groups().iter().any(|group| {
                group.delay_ns() + number(&group.0["throttled_ns"]) >= number(&task["waited_ns"])
            });
            let subject = &summary.0["verdict"]["subject"]["task"]["pid"];
            assert!(ended || *subject == task["task"]["pid"], "{}", summary.0);
        }
    }
    Ok(())
}

/// Each CPU was busy or idle all the time, also one that does not switch for long.
fn whole_time_of_each_cpu() -> Outcome {
    let policy = Some((libc::SCHED_FIFO, 50));
    let mut hog = Runner::start(&Kind { policy, ..on_crowded("lone") });
    hog.order(&Order::Spin(900));
    for _ in 0..3 {
        let summary = Session::start(tool("runq", &["--json", "-d", "100ms"])).finish().summary();
        let lasted = number(&summary.0["duration_ns"]);
        for cpu in summary.cpus() {
            let known = number(&cpu["busy_ns"]) + number(&cpu["idle_ns"]);
            assert!(known.abs_diff(lasted) <= lasted / 50, "{known} of {lasted} ns: {cpu}");
        }
    }
    hog.answer();
    Ok(())
}

/// From being woken to being queued, and from there to running: both are in the wait, the first also in `wake_ns`.
fn wake_up_of_an_idle_cpu() -> Outcome {
    if thread::available_parallelism().map_or(1, std::num::NonZero::get) < 2 {
        return Err(Skip::because("there is one CPU only"));
    }
    let mut sleeper = Runner::start(&on_crowded("sleeper"));
    let session = trace(&["-p", &sleeper.pid.to_string()]);
    sleeper.order(&Order::Sleep(300, 2_000));
    let account = sleeper.answer()[0];
    let summary = session.interrupt().summary();
    let group = summary.group("sleeper");
    assert!(group.wake_ns() > 0 && group.wake_ns() < group.delay_ns(), "{}", group.0);
    let queued = group.delay_ns() - group.wake_ns();
    // The scheduler's own account begins no later, and often does not see what the switch itself takes.
    assert!(queued + 20_000_000 >= account.delay_ns, "{queued} ns, {account:?}");
    Ok(())
}

/// Short processes fill the tables long before a session ends; none of their waits is missing, and the tool does not keep
/// them all.
fn short_processes() -> Outcome {
    let mut forker = Runner::start(&Kind { comm: "forker".into(), ..Kind::default() });
    let mut session = trace(&["--by", "process", "-i", "1s", "-p", &forker.pid.to_string()]);
    let began = Instant::now();
    let rss = |session: &mut Session| {
        let path = format!("/proc/{}/statm", session.pid());
        let pages = fs::read_to_string(path).expect("it runs");
        pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number") * 4096
    };
    let mut sizes = Vec::new();
    // By the first time the tool remembers as many as it ever does.
    for _ in 0..2 {
        forker.order(&Order::Fork(24_000));
        forker.answer();
        sizes.push(rss(&mut session));
    }
    let summary = session.interrupt().summary();
    for lost in ["cells", "identities"] {
        assert_eq!(number(&summary.0["lost"][lost]), 0, "after {:?}: {}", began.elapsed(), summary.0["lost"]);
    }
    let waits: u64 = summary.groups().iter().map(Group::count).sum();
    assert!(waits >= 48_000, "{waits} waits of 48,000 processes");
    assert!(sizes[1] <= sizes[0] + (8 << 20), "{sizes:?} bytes");
    Ok(())
}
