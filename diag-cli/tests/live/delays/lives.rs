//! Threads that are not there all the time, or not in one group: for how long they were.

use std::{
    collections::HashMap,
    fs, thread,
    time::{Duration, Instant, SystemTime},
};

use super::{assert_near, record::path, trace};
use crate::{
    Outcome, Test,
    hung::{one_write, wall},
    lab::{Lab, cgroup::Cgroup, fault::Frozen, image::PlainDisk, wait_until},
    record::{Record, number},
    runq::runner::{Kind, Order, Runner},
    workload::{Desk, Plan},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("delays_short_processes", short_processes),
    ("delays_stuck_since_before", stuck_since_before),
    ("delays_killed_in_a_wait_since_before", killed),
    ("delays_moved_between_cgroups", moved),
];

const MS: Duration = Duration::from_millis(1);
/// What the wall clock and the clock of the session may be apart, and a signal or a move may take to be done.
const SLACK_NS: u64 = 20_000_000;

/// How many processes a parent starts, and how many live at once.
const CHILDREN: usize = 5_000;
const AT_ONCE: usize = 50;

/// Zeroes that are shared with processes that fork off.
fn shared(words: usize) -> &'static mut [u64] {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping of so many words, which nothing else knows of and nothing unmaps.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), 8 * words, protection, flags, -1, 0);
        assert_ne!(start, libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
        std::slice::from_raw_parts_mut(start.cast(), words)
    }
}

fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place is valid.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Starts a process that sleeps for 20 ms and ends, and says by its own clock how long that took.
fn start_child(took_ns: &mut u64) -> libc::pid_t {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    // SAFETY: the child makes three system calls and allocates nothing.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let begun = now_ns();
        // SAFETY: the time is valid; nothing runs after _exit.
        unsafe {
            libc::nanosleep(&raw const pause, std::ptr::null_mut());
            *took_ns = now_ns() - begun;
            libc::_exit(0)
        }
    }
    assert!(child > 0, "no process");
    child
}

/// What the parents' and the children's clocks say, ns: the parents' lives, the least that the children lived, and the most.
fn brood(took_ns: &mut [u64]) -> [u64; 3] {
    let life = now_ns();
    let mut alive = HashMap::new();
    let mut most_ns = 0;
    let mut reap = |alive: &mut HashMap<libc::pid_t, u64>, flags| {
        // SAFETY: no place for a status is given. The children are those of this thread alone.
        let child = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WNOTHREAD | flags) };
        let begun = alive.remove(&child);
        most_ns += begun.map_or(0, |begun| now_ns() - begun);
        begun.is_some()
    };
    for place in &mut *took_ns {
        while reap(&mut alive, libc::WNOHANG) {}
        if alive.len() == AT_ONCE {
            assert!(reap(&mut alive, 0), "not a child of this thread");
        }
        let begun = now_ns();
        alive.insert(start_child(place), begun);
    }
    while !alive.is_empty() {
        assert!(reap(&mut alive, 0), "not a child of this thread");
    }
    [now_ns() - life, took_ns.iter().sum(), most_ns]
}

/// A process is a thread from before its own clock begins until after it ends, but not before its parent calls fork, and it is none
/// after its parent has waited for it, but for the last switch.
fn short_processes() -> Outcome {
    let session = trace(&["--by", "comm", "--comm", "dl-brood"]);
    let parents: Vec<_> = (0..2)
        .map(|_| {
            let took_ns = shared(CHILDREN);
            let parent = thread::Builder::new().name("dl-brood".to_owned());
            parent.spawn(move || brood(took_ns)).expect("a thread")
        })
        .collect();
    let clocks = parents.into_iter().map(|parent| parent.join().expect("no thread panics"));
    let [lives_ns, least_ns, most_ns] =
        clocks.fold([0; 3], |sum, clock| std::array::from_fn(|at| sum[at] + clock[at]));
    let summary = session.interrupt().summary();
    summary.assert_complete();
    let time = summary.time("dl-brood");
    let ours_ns = time.thread_ns() - lives_ns;
    println!("{ours_ns}: {least_ns} to {most_ns} ns; {} threads", time.thread_count());
    assert!(ours_ns as f64 >= 0.995 * least_ns as f64, "{ours_ns} of {least_ns}: {}", time.0.0);
    assert!(ours_ns as f64 <= 1.005 * most_ns as f64, "{ours_ns} of {most_ns}: {}", time.0.0);
    let born = 2 * CHILDREN as u64 + 2;
    assert!((born..=born + 10).contains(&time.thread_count()), "{} of {born} threads", time.thread_count());
    Ok(())
}

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
