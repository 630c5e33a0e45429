//! `osdiag hung` while tasks are stuck: who, since when, on what, behind whom.

use std::{
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Outcome, Skip, Test,
    lab::{
        Lab, cgroup::Cgroup, fault::Frozen, image::PlainDisk, setting::Setting, stuck::FrozenCgroup,
        wait_until,
    },
    osdiag::{Session, tool},
    record::{Record, number},
    stuck::{cause, chain, word},
    workload::{Call, Desk, Job, Plan, Step, Visitor},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("hung_frozen_file_system", frozen_file_system),
    ("hung_on_raw_hooks", on_raw_hooks),
    ("hung_already_stuck", already_stuck),
    ("hung_two_thousand_at_once", two_thousand),
    ("hung_targets", targets),
    ("hung_idle_and_frozen_are_no_alarm", idle_and_frozen),
    ("hung_kernel_watchdog", kernel_watchdog),
];

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const THRESHOLD: Duration = Duration::from_millis(300);
/// How late a stuck task may be told of, and its end; what a busy machine adds is measured beside.
const LATE: Duration = Duration::from_millis(200);

/// The tool with the threshold of these tests.
pub(crate) fn hung(flags: &[&str]) -> Command {
    let mut command = tool("hung", &["--json", "--threshold", "300ms"]);
    command.args(flags);
    command
}

/// The tool for one process.
pub(crate) fn hung_of(pid: u32) -> Session {
    Session::tracing(hung(&["-p", &pid.to_string()]))
}

/// One write by each of so many threads.
pub(crate) fn one_write(file: &std::path::Path, threads: usize) -> Job {
    Job::new(file, Step::transfer(Call::Pwrite, 4096, 4096), 1).threads(threads)
}

/// Nanoseconds since the epoch of a time in a record, which is UTC with nine digits.
pub(crate) fn wall(time: &Value) -> i128 {
    let text = time.as_str().expect("a time");
    let digit = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("a time has digits");
    let (year, month, day) = (digit(0..4), digit(5..7), digit(8..10));
    // Days since the epoch by the civil calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let seconds = ((days * 24 + digit(11..13)) * 60 + digit(14..16)) * 60 + digit(17..19);
    i128::from(seconds) * 1_000_000_000 + i128::from(digit(20..29))
}

/// What the machine itself adds to a sleep of 10 ms at worst, from now until it is asked.
pub(crate) struct Weather {
    worst: thread::JoinHandle<Duration>,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Weather {
    pub(crate) fn watch() -> Weather {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let told = stop.clone();
        let worst = thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !told.load(std::sync::atomic::Ordering::Relaxed) {
                let start = Instant::now();
                thread::sleep(10 * MS);
                worst = worst.max(start.elapsed().saturating_sub(10 * MS));
            }
            worst
        });
        Weather { worst, stop }
    }

    pub(crate) fn worst(self) -> Duration {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.worst.join().expect("sleeping does not panic")
    }
}

/// How late an event tells of a task that has just crossed the threshold.
pub(crate) fn lateness(event: &Record, task: &Value) -> Duration {
    let crossed = wall(&task["since"]) + THRESHOLD.as_nanos() as i128;
    Duration::from_nanos((wall(&event.0["end"]) - crossed).max(0) as u64)
}

/// The only call of a workload's only thread, by its own clock.
fn only_call(visitor: &mut Visitor) -> Duration {
    let report = visitor.report();
    let longest = report.samples.values().flat_map(|samples| &samples.ns).max();
    Duration::from_nanos(*longest.expect("it has made a call"))
}

/// That a sleep has the length that its own task's clock has for the call, but for what is before and after it.
pub(crate) fn assert_lasted(task: &Value, call: Duration, weather: Duration) {
    let blocked = Duration::from_nanos(number(&task["blocked_ns"]));
    println!("blocked for {blocked:?} of a call of {call:?}; weather {weather:?}");
    assert!(blocked <= call + 20 * MS, "{blocked:?} is longer than the call, {call:?}");
    assert!(blocked + LATE + 2 * weather >= call, "{blocked:?} of {call:?}");
}

/// A process that will write once, on a disk of its own, which can be frozen meanwhile; the disk, the file and the desk that is
/// to outlive the process come first.
pub(crate) fn writer_on_a_disk(lab: &Lab) -> Outcome<(PlainDisk, PathBuf, Desk, Visitor)> {
    let disk = PlainDisk::new(lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let desk = Desk::new(lab);
    let writer = desk.start(&desk.plan(vec![one_write(&file, 1)]));
    Ok((disk, file, desk, writer))
}

/// A writer on a frozen file system: told of in time and once, with file and place, and again when it goes on.
fn write_while_frozen(hooks: Option<&str>) -> Outcome {
    let lab = Lab::new();
    let (disk, file, _desk, mut writer) = writer_on_a_disk(&lab)?;
    let mut command = hung(&["-p", &writer.pid.to_string()]);
    if let Some(hooks) = hooks {
        command.env("OSDIAG_HOOKS", hooks);
    }
    let mut session = Session::tracing(command);
    let frozen = Frozen::new(disk.mount.path())?;
    let weather = Weather::watch();
    writer.go();
    let pid = writer.pid;
    let event = session.wait_for(|record| !record.stuck_of(pid).is_empty());
    assert_eq!(event.text("type"), "event");
    let task = event.stuck_of(pid)[0];
    let late = lateness(&event, task);
    thread::sleep(400 * MS);
    drop(frozen);
    let call = only_call(&mut writer);
    let resolved = session.wait_for(|record| !record.went_on(pid).is_empty());
    let weather = weather.worst();
    println!("told of {late:?} after the threshold; weather {weather:?}");
    assert!(late <= LATE + 2 * weather, "told of {late:?} late");
    assert_eq!(cause(task), "filesystem.freeze", "{task}");
    assert_eq!(word(task, "file"), file.to_string_lossy(), "{task}");
    assert_eq!(word(&task["device"], "name"), disk.device.name(), "{task}");
    assert_eq!(word(task, "mount"), disk.mount.path().to_string_lossy(), "{task}");
    assert!(chain(task).is_empty(), "nobody holds a freeze: {task}");
    assert_eq!(resolved.text("type"), "event");
    assert_lasted(resolved.went_on(pid)[0], call, weather);
    writer.end();
    let finished = session.finish();
    let records = finished.records();
    let told = |which: fn(&Record, u32) -> usize| -> usize {
        let events = records.iter().filter(|record| record.text("type") == "event");
        events.map(|record| which(record, pid)).sum()
    };
    assert_eq!(told(|record, pid| record.stuck_of(pid).len()), 1, "told of more than once");
    assert_eq!(told(|record, pid| record.went_on(pid).len()), 1, "went on more than once");
    let summary = finished.summary();
    summary.assert_complete();
    assert_lasted(summary.went_on(pid)[0], call, weather);
    let statement = summary.0["verdict"]["statement"].as_str().unwrap_or_default();
    assert!(statement.contains("frozen"), "{statement}");
    Ok(())
}

fn frozen_file_system() -> Outcome {
    write_while_frozen(None)
}

fn on_raw_hooks() -> Outcome {
    write_while_frozen(Some("raw"))
}

/// A task that was stuck for a while before anybody looked: since when is known all the same.
fn already_stuck() -> Outcome {
    let lab = Lab::new();
    let (disk, _, _desk, mut writer) = writer_on_a_disk(&lab)?;
    let frozen = Frozen::new(disk.mount.path())?;
    let weather = Weather::watch();
    let pid = writer.pid;
    let before = Instant::now();
    writer.go();
    assert!(wait_until(Duration::from_secs(10), || asleep(pid) >= 1), "the writer is not stuck");
    let stuck = Instant::now();
    thread::sleep(1500 * MS);
    let mut session = hung_of(pid);
    let event = session.wait_for(|record| !record.stuck_of(pid).is_empty());
    let (at_most, at_least) = (before.elapsed(), stuck.elapsed());
    let task = event.stuck_of(pid)[0];
    let blocked = Duration::from_nanos(number(&task["blocked_ns"]));
    let summary = session.interrupt().summary();
    drop(frozen);
    writer.report();
    writer.end();
    let weather = weather.worst();
    println!("blocked for {blocked:?} of {at_least:?} to {at_most:?}; weather {weather:?}");
    assert!(blocked <= at_most && blocked + LATE + 2 * weather >= at_least, "{blocked:?} of {at_least:?}");
    assert_eq!(summary.stuck_of(pid).len(), 1, "{}", summary.0);
    Ok(())
}

/// Two thousand threads that are stuck in one place: one group.
fn two_thousand() -> Outcome {
    const THREADS: u64 = 2000;
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let desk = Desk::new(&lab);
    let mut writers = desk.start(&desk.plan(vec![one_write(&file, THREADS as usize)]));
    let pid = writers.pid;
    let session = hung_of(pid);
    let screen = Session::tracing({
        let mut command = tool("hung", &["--threshold", "300ms", "-p"]);
        command.arg(pid.to_string());
        command
    });
    let frozen = Frozen::new(disk.mount.path())?;
    writers.go();
    let stuck = wait_until(Duration::from_secs(20), || asleep(pid) >= THREADS as usize);
    assert!(stuck, "only {} threads are asleep", asleep(pid));
    thread::sleep(1000 * MS);
    let summary = session.interrupt().summary();
    let screen = screen.interrupt();
    drop(frozen);
    writers.report();
    writers.end();
    summary.assert_complete();
    let listed = summary.stuck().len() as u64;
    assert!(listed <= 100, "{listed} tasks are in one record");
    assert_eq!(number(&summary.0["task_count"]), THREADS);
    let groups = summary.0["stuck_groups"].as_array().expect("stuck_groups is a list");
    assert_eq!(groups.len(), 1, "one place, one group: {groups:?}");
    assert_eq!((number(&groups[0]["task_count"]), word(&groups[0], "cause")), (THREADS, "freeze"));
    let text = String::from_utf8(screen.out).expect("the screen is UTF-8");
    assert!(text.contains("2,000 tasks"), "{text}");
    assert!(text.lines().count() < 100, "{} lines for one group", text.lines().count());
    Ok(())
}

/// Threads of a process that sleep uninterruptibly, by procfs.
pub(crate) fn asleep(pid: u32) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let state = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('D'))
    };
    threads.filter_map(state).filter(|&asleep| asleep).count()
}

/// Whoever is not in the target is not told of.
fn targets() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let desk = Desk::new(&lab);
    let group = Cgroup::of(&lab, "cpu")?;
    let plan = desk.plan(vec![one_write(&file, 1)]);
    let mine = Plan { comm: Some(b"mine".to_vec()), cgroups: vec![group.path().to_owned()], ..plan.clone() };
    let mut mine = desk.start(&mine);
    let mut other = desk.start(&Plan { comm: Some(b"other".to_vec()), ..plan });
    let frozen = Frozen::new(disk.mount.path())?;
    mine.go();
    other.go();
    thread::sleep(600 * MS);
    let pid = mine.pid.to_string();
    let cgroup = group.path().to_string_lossy().into_owned();
    let summaries: Vec<Record> = [["-p", &pid], ["--comm", "mine"], ["--cgroup", &cgroup]]
        .into_iter()
        .map(|flags| Session::start(hung(&[&flags[..], &["-d", "300ms"]].concat())).finish().summary())
        .collect();
    let all = Session::start(hung(&["-d", "300ms"])).finish().summary();
    drop(frozen);
    for visitor in [&mut mine, &mut other] {
        visitor.report();
    }
    let (own, others) = (mine.pid, other.pid);
    mine.end();
    other.end();
    for summary in summaries {
        assert_eq!(summary.stuck().len(), 1, "{}", summary.0);
        assert_eq!(summary.stuck_of(own).len(), 1, "{}", summary.0);
    }
    assert_eq!((all.stuck_of(own).len(), all.stuck_of(others).len()), (1, 1), "{}", all.0);
    Ok(())
}

/// Idle kernel threads sleep uninterruptibly, and so do tasks that a freezer holds: neither is stuck.
fn idle_and_frozen() -> Outcome {
    let lab = Lab::new();
    let group = FrozenCgroup(Cgroup::v1(&lab, "freezer")?);
    let desk = Desk::new(&lab);
    let plan = Plan { cgroups: vec![group.0.path().to_owned()], ..desk.plan(vec![]) };
    let idler = desk.start(&plan);
    group.freeze()?;
    let text = crate::lab::run("ps", &["-eo", "stat="])?;
    let idle = text.lines().filter(|state| state.trim().starts_with('I')).count();
    println!("{idle} idle kernel threads");
    assert!(idle > 0, "no kernel thread is idle");
    thread::sleep(700 * MS);
    let frozen = Session::start(hung(&["-d", "300ms", "-p", &idler.pid.to_string()])).finish().summary();
    // Nobody is stuck for as long as most of them have been idle.
    let command = tool("hung", &["--json", "--threshold", "20s", "-d", "300ms"]);
    let idlers = Session::start(command).finish().summary();
    drop(group);
    idler.end();
    assert_eq!(frozen.stuck(), [] as [Value; 0], "a frozen task is told of");
    let idle_told: Vec<_> =
        idlers.stuck().iter().filter(|task| word(&task["task"], "comm").starts_with("kworker")).collect();
    assert!(idle_told.is_empty(), "{idle_told:?}");
    Ok(())
}

/// What the kernel's own watchdog complains of is shown when it does.
fn kernel_watchdog() -> Outcome {
    let lab = Lab::new();
    let panics = std::fs::read_to_string("/proc/sys/kernel/hung_task_panic").unwrap_or_default();
    if panics.trim() != "0" {
        return Err(Skip::because("the kernel has no hung-task watchdog, or panics on it"));
    }
    let _warnings = Setting::change(&lab, "/proc/sys/kernel/hung_task_warnings", "10")?;
    let (disk, _, _desk, mut writer) = writer_on_a_disk(&lab)?;
    let pid = writer.pid;
    let mut session = hung_of(pid);
    let frozen = Frozen::new(disk.mount.path())?;
    writer.go();
    session.wait_for(|record| !record.stuck_of(pid).is_empty());
    let timeout = Setting::change(&lab, "/proc/sys/kernel/hung_task_timeout_secs", "1")?;
    let said = |record: &Record| {
        let said = record.0["watchdogs"].as_array().expect("watchdogs is a list");
        said.iter().any(|complaint| word(complaint, "watchdog") == "hung-task")
    };
    let event = session.wait_for(said);
    drop(timeout);
    drop(frozen);
    writer.report();
    writer.end();
    let summary = session.finish().summary();
    println!("{}", event.0["watchdogs"]);
    assert_eq!(event.text("type"), "event");
    assert!(said(&summary), "{}", summary.0["watchdogs"]);
    Ok(())
}
