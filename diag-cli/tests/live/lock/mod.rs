//! `osdiag lock` against workloads that time their own waits.

mod bench;
mod calls;
mod events;
mod nested;
mod perf;
mod record;
mod storm;
mod unfinished;
pub(crate) mod work;

use std::{process::Command, time::Duration};

use serde_json::json;

pub(crate) use self::{bench::BENCHES, record::check};
use self::{
    record::Lock,
    work::{HOLDER, Plan, SHARER, Seen, WAITER, Work, Worker},
};
use crate::{
    Outcome, Skip, Test,
    lab::{Lab, attempt, cgroup::Cgroup, disk::SlowDisk, image::PlainDisk, peer::Peer},
    osdiag::{Finished, Session, tool},
    record::{Record, number, within},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("lock_inode", inode),
    ("lock_inode_convoy", convoy),
    ("lock_mmap", mmap),
    ("lock_mmap_raw_hooks", mmap_raw),
    ("lock_pipe", pipe),
    ("lock_handed_over", handed_over),
    ("lock_spinning", spinning),
    ("lock_nested", nested::nested),
    ("lock_storm", storm::storm),
    ("lock_beside_perf", perf::beside_perf),
    ("lock_freed_while_waited_for", unfinished::freed),
    ("lock_wait_that_does_not_end", unfinished::does_not_end),
    ("lock_privileges", unfinished::privileges),
    ("lock_cgroup_target", cgroup_target),
    ("lock_intervals_add_up", intervals),
];

const MS: Duration = Duration::from_millis(1);

/// Traces a workload's process while it works.
fn trace(worker: &mut Worker, flags: &[&str], hooks: Option<&str>) -> (Finished, Seen) {
    let mut command = tool("lock", &["--json", "-p", &worker.pid.to_string()]);
    command.args(flags);
    if let Some(hooks) = hooks {
        command.env("OSDIAG_HOOKS", hooks);
    }
    let session = Session::tracing(command);
    let seen = worker.work();
    (session.interrupt(), seen)
}

/// Nothing of a wait is lost but what the kernel itself withheld: a wait for each end that it left out.
fn complete(record: &Record) {
    println!("{}", record.lock_outline());
    let mut lost = record.0["lost"].clone();
    let missed = number(&lost["missed_runs"]);
    assert!(number(&lost["lock_waits"]) <= missed, "lost waits in {lost}");
    lost["lock_waits"] = json!(0);
    Record(json!({ "lost": lost })).assert_complete();
}

/// That the waits of a lock are those that the workload saw: as long as its own calls were.
fn assert_waited(lock: Lock<'_>, seen: &Seen, least: Duration, tolerance: f64) {
    let known = seen.waited_ns(least);
    println!(
        "{} waits, {} ns of {known} ns that {} calls took",
        lock.count(),
        lock.sum(),
        seen.waits_ns.len()
    );
    assert!(known > 100_000_000, "nobody had to wait: {known} ns");
    let waiter = lock.list("waiters").iter().find(|waiter| waiter["task"]["comm"] == WAITER);
    let waits = waiter.map_or(0, |waiter| number(&waiter["wait_count"]));
    // Ending, the thread gives memory back as well.
    assert!(waits <= seen.waits_ns.len() as u64 + 10, "{waits} waits are more than there were calls");
    assert!(within(tolerance, lock.sum(), known), "{} ns of {known}", lock.sum());
    let mine = lock.share("waiters", |waiter| waiter["task"]["comm"] == WAITER);
    assert!(mine > 0.95, "the waiter is not told: {}", lock.0);
}

/// The share of time in which the thread that holds the lock is said to.
fn held_by(lock: Lock<'_>, tid: u32) -> f64 {
    lock.share("owners", |owner| owner["task"]["tid"] == tid)
}

fn inode() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    disk.delay(10 * MS);
    let mut worker = Worker::start(Work::Inode(file), 2000);
    let (finished, seen) = trace(&mut worker, &[], None);
    let summary = finished.summary();
    complete(&summary);
    let lock = summary.lock("rwsem-read", "inode i_rwsem");
    assert_waited(lock, &seen, MS, 0.03);
    assert!(held_by(lock, seen.holder) > 0.9, "{}", lock.0);
    let by_holder =
        |owner: &serde_json::Value| owner["task"]["comm"] == HOLDER && owner["task"]["pid"] == worker.pid;
    assert!(lock.share("owners", by_holder) > 0.9, "{}", lock.0);
    let asleep = |owner: &serde_json::Value| owner["state"] == "blocked-io" || owner["state"] == "blocked";
    assert!(lock.share("owners", asleep) > 0.5, "the holder waits for the disk: {}", lock.0);
    let longest = lock.list("owners").iter().find(|owner| asleep(owner)).expect("checked above");
    if summary.0["probes"][0]["hook"] == "tp_btf" && longest["stack"].is_array() {
        assert!(longest["stack"].to_string().contains("ext4_file_write_iter"), "{longest}");
    }
    let verdict = &summary.0["verdict"];
    assert_eq!(
        (&verdict["status"], &verdict["subject"]["type"]),
        (&json!("found"), &json!("lock")),
        "{verdict}"
    );
    assert_eq!(
        (&verdict["layer"], &verdict["cause"]),
        (&json!("filesystem"), &json!("inode-lock")),
        "{verdict}"
    );
    Ok(())
}

/// A writer, a direct reader and one that only looks: both sides of one lock.
fn convoy() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    disk.delay(5 * MS);
    let mut worker = Worker::start(Work::Convoy(file), 2000);
    let (finished, seen) = trace(&mut worker, &[], None);
    let summary = finished.summary();
    complete(&summary);
    let [read, write] = ["rwsem-read", "rwsem-write"].map(|kind| summary.lock(kind, "inode i_rwsem"));
    assert_eq!(read.0["address"], write.0["address"], "one lock, two sides");
    let waits = |comm: &str| read.share("waiters", |waiter| waiter["task"]["comm"] == comm);
    assert!(waits(WAITER) > 0.0 && waits(SHARER) > 0.0, "{}", read.0);
    assert!(write.share("waiters", |waiter| waiter["task"]["comm"] == HOLDER) > 0.95, "{}", write.0);
    let readers = write.share("owners", |owner| owner["reader"] == true);
    assert!(readers > 0.5, "a writer waits for readers: {}", write.0);
    // The last reader to come is not the one that reads for long, as often as not: then nobody is named.
    let named = |owner: &serde_json::Value| owner["reader"] == true && owner["task"]["tid"].is_u64();
    let strangers = write.list("owners").iter().filter(|owner| named(owner));
    let known = [SHARER, WAITER, HOLDER];
    for owner in strangers {
        assert!(known.iter().any(|comm| owner["task"]["comm"] == *comm), "{owner}");
    }
    // Who is named did hold it where a reader takes itself out, which needs this function.
    let symbols = std::fs::read_to_string("/proc/kallsyms").expect("root can read the kernel's symbols");
    let kept = symbols.lines().any(|line| line.ends_with(" is_rwsem_reader_owned"));
    let missing = summary.0["unavailable"].to_string().contains("rwsem-readers");
    assert_eq!(missing, !kept, "{}", summary.0["unavailable"]);
    assert!(kept || write.list("owners").iter().all(|owner| !named(owner)), "{}", write.0);
    // Behind a writer in the queue, one who wants to look waits for the readers before it as well.
    let readers = read.share("owners", |owner| owner["reader"] == true);
    let holder = held_by(read, seen.holder);
    assert!(holder > 0.0 && holder + readers > 0.9, "{}", read.0);
    Ok(())
}

fn mmap_with(hooks: Option<&str>) -> Outcome {
    let mut worker = Worker::start(Work::Mmap, 2000);
    let (finished, seen) = trace(&mut worker, &[], hooks);
    let summary = finished.summary();
    complete(&summary);
    let lock = summary.lock("rwsem-read", "mmap_lock");
    assert_waited(lock, &seen, MS / 20, 0.1);
    assert!(held_by(lock, seen.holder) > 0.8, "{}", lock.0);
    let runs = lock.share("owners", |owner| owner["state"] == "running" || owner["state"] == "runnable");
    assert!(runs > 0.8, "the holder runs: {}", lock.0);
    if let Some(hooks) = hooks {
        let hook = summary.0["probes"][0]["hook"].as_str().unwrap_or_default();
        assert!(hook.starts_with(hooks), "{hook}");
    }
    Ok(())
}

fn mmap() -> Outcome {
    mmap_with(None)
}

fn mmap_raw() -> Outcome {
    mmap_with(Some("raw"))
}

fn pipe() -> Outcome {
    let mut worker = Worker::start(Work::Pipe, 2000);
    let (finished, seen) = trace(&mut worker, &[], None);
    let summary = finished.summary();
    complete(&summary);
    let lock = summary.lock("mutex", "pipe mutex");
    assert_waited_mutex(lock, &seen);
    Ok(())
}

/// The holder of a mutex can have to wait, too, where the waiter takes it in between.
fn assert_waited_mutex(lock: Lock<'_>, seen: &Seen) {
    let known = seen.waited_ns(Duration::from_micros(5));
    let waiter = lock.list("waiters").iter().find(|waiter| waiter["task"]["comm"] == WAITER);
    let waiter = waiter.unwrap_or_else(|| panic!("the waiter is not told: {}", lock.0));
    let ns = number(&waiter["ns"]);
    println!("{} waits, {ns} ns of {known} ns", waiter["wait_count"]);
    assert!(known > 50_000_000, "nobody had to wait: {known} ns");
    // Such waits are short: of each call the way in and out, the tool's own work and the waker's are outside of the wait.
    let outside = 20_000 * number(&waiter["wait_count"]);
    assert!(ns <= known + known / 50 && known <= ns + outside && known < 2 * ns, "{ns} ns of {known}");
    let held = held_by(lock, seen.holder) * lock.sum() as f64;
    assert!(held > 0.8 * ns as f64, "{}", lock.0);
}

/// A holder does not wait for the lock that it holds: whoever sleeps in the lock's own function was handed it, and has yet to run.
fn handed_over() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 64 << 10);
    disk.delay(MS);
    let mut worker = Worker::start(Work::Position(file, 3), 2500);
    let (finished, _) = trace(&mut worker, &[], None);
    let summary = finished.summary();
    complete(&summary);
    let lock = summary.lock("mutex", "file f_pos_lock");
    let share = |state: &str| lock.share("owners", |owner| owner["state"] == state);
    println!(
        "handed over {:.3}, in I/O {:.3}, asleep {:.3}",
        share("handed-over"),
        share("blocked-io"),
        share("blocked")
    );
    assert!(lock.sum() > 500_000_000, "nobody had to wait: {}", lock.0);
    let in_queue = |owner: &serde_json::Value| {
        owner["stack"][0].as_str().is_some_and(|function| function.contains("fdget_pos"))
    };
    assert!(lock.share("owners", in_queue) == 0.0, "a holder waits for its own lock: {}", lock.0);
    assert!(share("handed-over") + share("blocked-io") > 0.5, "{}", lock.0);
    Ok(())
}

/// As many waits for a spinning lock as another counter has.
fn spinning() -> Outcome {
    let mut worker = Worker::start(Work::Tasklist(4), 1500);
    let pid = worker.pid.to_string();
    let event = "lock:contention_begin";
    let count = ["stat", "-x,", "-e", event, "--filter", "flags == 3 || flags == 5", "-p", &pid];
    attempt("perf", &[&count[..6], &["true"]].concat())
        .map_err(|Skip(why)| Skip::because(format!("perf: {why}")))?;
    let session = Session::tracing(tool("lock", &["--json", "-p", &pid]));
    let perf = Peer::start(Command::new("perf").args(count).stderr(std::process::Stdio::piped()));
    let perf = perf.expect("it ran above");
    std::thread::sleep(300 * MS);
    let seen = worker.work();
    let told = String::from_utf8_lossy(&perf.end().stderr).into_owned();
    let line = told.lines().find(|line| line.contains("contention_begin")).unwrap_or_default();
    let known: u64 = line.split(',').next().and_then(|count| count.parse().ok()).unwrap_or(0);
    let summary = session.interrupt().summary();
    complete(&summary);
    let spins = summary
        .locks()
        .filter(|lock| lock.0["lock_type"].as_str().is_some_and(|kind| kind.starts_with("rwlock")));
    let waits: u64 = spins.map(Lock::count).sum();
    println!("{waits} waits of {known} in 1.5 s, {} calls, lost {}", seen.held, summary.0["lost"]);
    assert!(known > 10_000, "nobody had to wait: {told}");
    let missed = number(&summary.0["lost"]["missed_runs"]);
    // The two do not begin and end with the same wait.
    assert!(waits.abs_diff(known) <= missed + known / 10_000, "{waits} of {known}, {missed} missed");
    assert!(summary.lock("rwlock-write", "tasklist_lock").count() > known / 2);
    Ok(())
}

/// Contention outside of the target adds nothing, and holders may be outside.
fn cgroup_target() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let group = Cgroup::of(&lab, "memory")?;
    drop(disk);
    let plan = Plan { work: Work::Mmap, millis: 800, cgroups: vec![group.path().to_owned()] };
    let mut mine = Worker::planned(&plan);
    let mut other = Worker::start(Work::Pipe, 1000);
    let path = group.path().to_string_lossy().into_owned();
    let session = Session::tracing(tool("lock", &["--json", "--cgroup", &path]));
    other.go();
    let seen = mine.work();
    let summary = session.interrupt().summary();
    summary.assert_complete();
    let strangers =
        |lock: &Lock<'_>| lock.list("waiters").iter().any(|waiter| waiter["task"]["pid"] != mine.pid);
    let foreign: Vec<_> = summary.locks().filter(strangers).map(|lock| lock.0.to_string()).collect();
    assert!(foreign.is_empty(), "{foreign:#?}");
    let lock = summary.lock("rwsem-read", "mmap_lock");
    assert!(lock.sum() > 0 && held_by(lock, seen.holder) > 0.5, "{}", lock.0);
    let waiter = &lock.list("waiters")[0];
    assert!(
        waiter["task"]["cgroup"].as_str().is_some_and(|cgroup| path.ends_with(cgroup)),
        "{waiter} in {path}"
    );
    Ok(())
}

fn intervals() -> Outcome {
    let mut worker = Worker::start(Work::Pipe, 1200);
    let (finished, _) = trace(&mut worker, &["-i", "250ms"], None);
    let mut records = finished.records();
    let summary = records.pop().expect("there is a summary");
    assert!(records.len() >= 4, "{} intervals", records.len());
    let total = |record: &Record| {
        record.locks().fold((0, 0), |(ns, waits), lock| (ns + lock.sum(), waits + lock.count()))
    };
    let (ns, waits) = records.iter().map(total).fold((0, 0), |(a, b), (ns, waits)| (a + ns, b + waits));
    assert_eq!((ns, waits), total(&summary), "intervals do not add up");
    assert!(waits > 0);
    Ok(())
}
