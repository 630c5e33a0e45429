//! Threads that are not there all the time, or not in one group: for how long they were.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::{assert_near, record::path, trace};
use crate::{
    Outcome, Skip, Test,
    hung::{one_write, wall},
    lab::{Lab, cgroup::Cgroup, fault::Frozen, image::PlainDisk, stuck::children, wait_until},
    record::{Record, number},
    runq::runner::{Kind, Order, Runner},
    workload::{Desk, Plan},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("delays_stuck_since_before", stuck_since_before),
    ("delays_killed_in_a_wait_since_before", killed),
    ("delays_killed_while_stuck", killed_while_stuck),
    ("delays_stuck_at_its_end", stuck_at_its_end),
    ("delays_moved_between_cgroups", moved),
];

const MS: Duration = Duration::from_millis(1);
/// What the wall clock and the clock of the session may be apart, and a signal or a move may take to be done.
const SLACK_NS: u64 = 20_000_000;

fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A writer on a file system that was frozen before: in one session it does not go on, in the other it does, and ends.
fn stuck_since_before() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let desk = Desk::new(&lab);
    let plan = Plan { comm: Some(b"dl-parent".to_vec()), ..desk.plan(vec![one_write(&file, 1)]) };
    let mut writer = desk.start(&plan);
    let frozen = Frozen::new(disk.mount.path())?;
    let went = Instant::now();
    writer.go();
    let stuck = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", writer.pid)).into_iter().flatten().flatten();
        let mut tids = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
        tids.find(|&tid| state(tid) == Some('D'))
    };
    assert!(wait_until(Duration::from_secs(5), || stuck().is_some()), "it does not get stuck");
    let tid = stuck().expect("it stays stuck");
    let pid = writer.pid.to_string();
    thread::sleep(200 * MS);
    let before = Instant::now();
    let [still, ended] = [(); 2].map(|()| trace(&["--by", "thread", "-p", &pid]));
    thread::sleep(700 * MS);
    let still = still.interrupt().summary();
    let at_most = went.elapsed();
    drop(frozen);
    let report = writer.report();
    let end = epoch_ns();
    writer.end();
    let ended = ended.finish().summary();
    let call_ns = report.samples.values().flat_map(|samples| &samples.ns).max().expect("a call");
    let key = tid.to_string();

    let time = still.time(&key);
    assert_near("existing", time.thread_ns(), still.duration_ns(), 0.001, 0);
    assert_near("frozen", time.at("pwrite64", "filesystem.freeze"), still.duration_ns(), 0.001, 0);
    assert_eq!(still.0["verdict"]["cause"], "freeze", "{}", still.0["verdict"]);
    let wait = still.longest_of(&key, tid);
    assert_eq!((path(wait).as_str(), &wait["open"]), ("filesystem.freeze", &true.into()), "{wait}");
    let before = before.duration_since(went).as_nanos() as u64;
    println!("{wait}: frozen for {before} ns before, {at_most:?} in all");
    let ns = number(&wait["ns"]);
    assert!(ns >= still.duration_ns() + before - SLACK_NS, "{ns} is not the whole wait");
    assert!(ns <= at_most.as_nanos() as u64, "{ns} is more than the wait");

    let wait = ended.longest_of(&key, tid);
    assert_eq!((path(wait).as_str(), &wait["open"]), ("filesystem.freeze", &false.into()), "{wait}");
    assert_near("the whole wait", number(&wait["ns"]), *call_ns, 0.01, SLACK_NS);
    let time = ended.time(&key);
    assert_near("its life", time.thread_ns(), from_start(&ended, end), 0.01, SLACK_NS);
    assert_near("of its life", time.cause_ns("filesystem.freeze"), time.thread_ns(), 0.01, SLACK_NS);
    Ok(())
}

fn epoch_ns() -> i128 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("a time after the epoch").as_nanos().cast_signed()
}

/// What lies between the beginning of a record and a moment, ns.
fn from_start(record: &Record, moment: i128) -> u64 {
    u64::try_from(moment - wall(&record.0["start"])).expect("a moment of the record")
}

/// That a time ended between two moments, if it began with the record.
#[track_caller]
fn assert_between(what: &str, ns: u64, record: &Record, before: i128, after: i128) {
    let [least_ns, most_ns] = [before, after].map(|moment| from_start(record, moment));
    println!("{what}: {ns}, {least_ns} to {most_ns} ns");
    assert!(ns + SLACK_NS >= least_ns && ns <= most_ns + SLACK_NS, "{what}: {ns}, {least_ns} to {most_ns}");
}

/// A reader of a pipe to which nothing is written.
fn killed() -> Outcome {
    let runner = Runner::start(&Kind { comm: "dl-killed".into(), ..Kind::default() });
    let session = trace(&["--by", "comm"]);
    thread::sleep(500 * MS);
    let before = epoch_ns();
    runner.kill();
    assert!(wait_until(Duration::from_secs(5), || state(runner.pid) == Some('Z')), "it does not end");
    let after = epoch_ns();
    let summary = session.interrupt().summary();
    let time = summary.time("dl-killed");
    for (what, ns) in [("existing", time.thread_ns()), ("reading", time.at("read", "ipc.pipe"))] {
        assert_between(what, ns, &summary, before, after);
    }
    Ok(())
}

/// A process that a signal cannot end as long as it is stuck: it is there until the file system goes on.
fn killed_while_stuck() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let frozen = Frozen::new(disk.mount.path())?;
    let script = format!("echo > {}", file.display());
    let mut writer = Command::new("sh").args(["-c", &script]).spawn().expect("there is a shell");
    let pid = writer.id();
    assert!(wait_until(Duration::from_secs(5), || state(pid) == Some('D')), "it does not get stuck");
    let session = trace(&["--by", "process", "-p", &pid.to_string()]);
    thread::sleep(300 * MS);
    writer.kill().expect("it has not ended");
    thread::sleep(500 * MS);
    assert_eq!(state(pid), Some('D'), "a signal ends it");
    let before = epoch_ns();
    drop(frozen);
    writer.wait().expect("it is a child");
    let after = epoch_ns();
    let summary = session.finish().summary();
    let time = summary.time(&pid.to_string());
    assert_between("existing", time.thread_ns(), &summary, before, after);
    assert_between("frozen", time.cause_ns("filesystem.freeze"), &summary, before, after);
    Ok(())
}

/// `PF_EXITING` (include/linux/sched.h, 6.18).
const EXITING: u64 = 4;

/// Whether a process is within its end: the seventh field after its state has its flags.
fn exits(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let flags = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & EXITING != 0)
}

/// The first process of a container is killed, and waits within its end, after `sched_process_exit`, for another one that is stuck: it
/// is a thread until that goes on.
fn stuck_at_its_end() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let frozen = Frozen::new(disk.mount.path())?;
    let script = format!("(echo > {}) & sleep 600", file.display());
    let mut outside = Command::new("unshare")
        .args(["--pid", "--fork", "sh", "-c", &script])
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Skip::because(format!("unshare: {error}")))?;
    let first = || children(outside.id()).first().copied();
    assert!(wait_until(Duration::from_secs(5), || first().is_some()), "it has no first process");
    let pid = first().expect("it is still there");
    let stuck = || children(pid).into_iter().any(|child| state(child) == Some('D'));
    assert!(wait_until(Duration::from_secs(5), stuck), "no process of it is stuck");
    // That of the target which does not end keeps the session going.
    let session = trace(&["--by", "process", "-p", &pid.to_string(), "-p", &outside.id().to_string()]);
    thread::sleep(200 * MS);
    let killed = Instant::now();
    // SAFETY: two numbers; the process has not been waited for.
    unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) };
    thread::sleep(700 * MS);
    assert!(exits(pid) && state(pid) == Some('S'), "its end is not held up");
    let (before, at_least) = (epoch_ns(), killed.elapsed().as_nanos() as u64);
    drop(frozen);
    outside.wait().expect("it is a child");
    let (after, at_most) = (epoch_ns(), killed.elapsed().as_nanos() as u64);
    let summary = session.finish().summary();
    let time = summary.time(&pid.to_string());
    let waited = time.at("exit", "ipc.child");
    println!("at its end: {waited}, {at_least} to {at_most} ns");
    assert!(waited + SLACK_NS >= at_least && waited <= at_most, "{waited}: {}", time.0.0);
    assert_between("existing", time.thread_ns(), &summary, before, after);
    Ok(())
}

/// A thread that sleeps again and again, and is moved to another cgroup meanwhile, in each hierarchy.
fn moved() -> Outcome {
    let lab = Lab::new();
    let tops = [Cgroup::v1(&lab, "memory"), Cgroup::v1(&lab, "cpu"), Cgroup::v2(&lab)];
    let tops: Vec<_> = tops.into_iter().flatten().collect();
    let below = |name| tops.iter().map(|top| top.child(name)).collect::<Outcome<Vec<_>>>();
    let groups = [below("one")?, below("two")?];
    let mut runner = Runner::start(&Kind { comm: "dl-moved".into(), ..Kind::default() });
    let enter = |groups: &[Cgroup]| {
        groups.iter().try_for_each(|group| group.set("cgroup.procs", &runner.pid.to_string()))
    };
    enter(&groups[0])?;
    let session = trace(&["--by", "cgroup", "-p", &runner.pid.to_string()]);
    let pid = runner.pid;
    let order = Order::Sleep(1_000, 800);
    runner.order(&order);
    thread::sleep(400 * MS);
    let before = epoch_ns();
    groups[1].iter().try_for_each(|group| group.set("cgroup.procs", &pid.to_string()))?;
    let after = epoch_ns();
    runner.answer();
    let summary = session.interrupt().summary();
    let key = |name| format!("/{}/{name}", lab.name());
    let [one, two] = ["one", "two"].map(|name| summary.time(&key(name)).thread_ns());
    assert_near("both", one + two, summary.duration_ns(), 0.0, 5_000_000);
    assert_between("the first", one, &summary, before, after);
    Ok(())
}
