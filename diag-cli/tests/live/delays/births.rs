//! Processes that come and go: their number and their time, by their own clocks and their parents'.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use super::{assert_near, record::Time, trace, watch::Watch};
use crate::{
    Outcome, Test,
    record::{Record, number},
    runq::runner::{Kind, Order, Runner},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("delays_processes_that_come_and_go", processes_that_come_and_go),
    ("delays_more_processes_than_room", more_processes_than_room),
    ("delays_short_processes", short_processes),
    ("delays_hundred_thousand_processes", hundred_thousand_processes),
];

/// How many parents there are.
const PARENTS: usize = 2;

/// What each parent does.
#[derive(Clone, Copy)]
struct Brood {
    /// How many processes it starts.
    children: usize,
    /// How many of them live at once.
    at_once: usize,
    /// How long each sleeps, ns.
    life_ns: libc::c_long,
}

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

/// Starts a process that sleeps and ends, and says by its own clock how long that took.
fn start_child(life_ns: libc::c_long, took_ns: &mut u64) -> libc::pid_t {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: life_ns };
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

/// What a parent's clock and its children's say, ns: its life, the least that the children lived, and the most.
fn brood(plan: Brood, took_ns: &mut [u64]) -> [u64; 3] {
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
        if alive.len() == plan.at_once {
            assert!(reap(&mut alive, 0), "not a child of this thread");
        }
        let begun = now_ns();
        alive.insert(start_child(plan.life_ns, place), begun);
    }
    while !alive.is_empty() {
        assert!(reap(&mut alive, 0), "not a child of this thread");
    }
    [now_ns() - life, took_ns.iter().sum(), most_ns]
}

/// Lets all parents do that at once, in threads of one name; the sums of what they say.
fn broods(plan: Brood) -> [u64; 3] {
    let parents: Vec<_> = (0..PARENTS)
        .map(|_| {
            let took_ns = shared(plan.children);
            let parent = thread::Builder::new().name("dl-brood".to_owned());
            parent.spawn(move || brood(plan, took_ns)).expect("a thread")
        })
        .collect();
    let clocks = parents.into_iter().map(|parent| parent.join().expect("no thread panics"));
    clocks.fold([0; 3], |sum, clock| std::array::from_fn(|at| sum[at] + clock[at]))
}

/// That the time of children lies between their own clock and their parents'.
#[track_caller]
fn assert_children(ours_ns: u64, [_, least_ns, most_ns]: [u64; 3]) {
    println!("{ours_ns}: {least_ns} to {most_ns} ns");
    assert!(ours_ns as f64 >= 0.995 * least_ns as f64, "{ours_ns} of {least_ns}");
    assert!(ours_ns as f64 <= 1.005 * most_ns as f64, "{ours_ns} of {most_ns}");
}

/// That the time of a group is that of parents and children, and so is the number of its threads; the time of the children.
///
/// A process is a thread from before its own clock begins until after it ends, but not before its parent calls fork, and it is none
/// after its parent has waited for it, but for the last switch.
fn assert_lives(times: &[Time<'_>], plan: Brood, clocks: [u64; 3]) -> u64 {
    let ours_ns = times.iter().map(|time| time.thread_ns()).sum::<u64>() - clocks[0];
    let count: u64 = times.iter().map(|time| time.thread_count()).sum();
    println!("{count} threads");
    assert_children(ours_ns, clocks);
    let born = (PARENTS * plan.children + PARENTS) as u64;
    assert!((born..=born + 10).contains(&count), "{count} of {born} threads");
    ours_ns
}

/// The groups of a record.
fn times(record: &Record) -> Vec<Time<'_>> {
    record.groups().into_iter().map(Time).collect()
}

/// More processes than there is room for at once, each a group: none is without a name while it is counted, and a session does not
/// keep them all.
fn processes_that_come_and_go() -> Outcome {
    let plan = Brood { children: 11_000, at_once: 4, life_ns: 4_000_000 };
    let session = trace(&["--by", "process", "--comm", "dl-brood", "-i", "1s"]);
    let watch = Watch::begin(&[session.pid()]);
    let begun = Instant::now();
    let clocks = broods(plan);
    println!("{:?}", begun.elapsed());
    let [memory] = watch.end();
    let records = session.interrupt();
    memory.assert_grows_by_at_most(16 << 20);
    let summary = records.summary();
    summary.assert_complete();
    assert_eq!(number(&summary.0["lost"]["identities"]), 0, "{}", summary.0["lost"]);
    assert_lives(&times(&summary), plan, clocks);
    let mut intervals = records.records();
    intervals.pop();
    let sum = |records: &[Record]| records.iter().flat_map(times).map(Time::thread_ns).sum::<u64>();
    assert_near("of all intervals", sum(&intervals), sum(&[summary]), 0.001, 1_000_000);
    Ok(())
}

/// A session that is stopped reads nothing, so that the kernel side has no room for what processes did that come and go meanwhile: they
/// are in the rest, and it says so. One that was there before is counted as ever when there is room again.
fn more_processes_than_room() -> Outcome {
    let plan = Brood { children: 15_000, at_once: 100, life_ns: 10_000_000 };
    let mut lasting = Runner::start(&Kind { comm: "dl-brood".into(), ..Kind::default() });
    let session = trace(&["--by", "process", "--comm", "dl-brood", "-i", "1s"]);
    lasting.order(&Order::Sleep(500, 100_000));
    session.signal(libc::SIGSTOP);
    let clocks = broods(plan);
    session.signal(libc::SIGCONT);
    thread::sleep(Duration::from_secs(4));
    let records = session.interrupt();
    let (summary, mut intervals) = (records.summary(), records.records());
    intervals.pop();
    let lost = &summary.0["lost"];
    println!("lost: {lost}");
    assert!(number(&lost["cells"]) > 0, "there was room for all");
    let sum = |records: &[Record]| records.iter().flat_map(times).map(Time::thread_ns).sum::<u64>();
    let all_ns = sum(std::slice::from_ref(&summary));
    assert_children(all_ns - summary.duration_ns() - clocks[0], clocks);
    assert_near("of all intervals", sum(&intervals), all_ns, 0.001, 1_000_000);
    for record in intervals.iter().chain([&summary]) {
        for group in record.groups().into_iter().filter(|group| group.key() != "rest") {
            let (threads, ns) = (Time(group).thread_count(), Time(group).thread_ns());
            assert!(ns <= threads * record.duration_ns(), "{}", group.0);
        }
    }
    let [.., last, _] = intervals.as_slice() else { panic!("no interval is whole") };
    let time = last.time(&lasting.pid.to_string());
    assert_near("existing", time.thread_ns(), last.duration_ns(), 0.001, 0);
    assert!(time.at("clock_nanosleep", "idle.timer") > 2 * last.duration_ns() / 5, "{}", time.0.0);
    Ok(())
}

fn short_processes() -> Outcome {
    let plan = Brood { children: 5_000, at_once: 50, life_ns: 20_000_000 };
    let session = trace(&["--by", "comm", "--comm", "dl-brood"]);
    let clocks = broods(plan);
    let summary = session.interrupt().summary();
    summary.assert_complete();
    assert_lives(&[summary.time("dl-brood")], plan, clocks);
    Ok(())
}

/// By name they are one group. By process there are more groups than there is room for: those that lost least are one group.
fn hundred_thousand_processes() -> Outcome {
    let plan = Brood { children: 50_000, at_once: 600, life_ns: 200_000_000 };
    let [by_comm, by_process] = ["comm", "process"].map(|by| trace(&["--by", by, "--comm", "dl-brood"]));
    let watch = Watch::begin(&[by_comm.pid(), by_process.pid()]);
    let clocks = broods(plan);
    let [memory, of_many] = watch.end();
    let [by_comm, by_process] = [by_comm, by_process].map(|session| session.interrupt().summary());
    let time = by_comm.time("dl-brood");
    by_comm.assert_complete();
    let ours_ns = assert_lives(&[time], plan, clocks);
    // A child that has ended waits for its parent, on a busy machine for long: the truth lies between its own clock and the parent's.
    assert_near("between the clocks", ours_ns, clocks[1].midpoint(clocks[2]), 0.02, 0);
    memory.assert_flat();

    // Where cells had no room, threads went to the rest and back, so that some count twice.
    let lost = &by_process.0["lost"];
    println!("lost by process: {lost}");
    of_many.assert_at_most(64 << 20);
    assert_eq!(number(&lost["identities"]), 0, "{lost}");
    if number(&lost["cells"]) == 0 {
        assert_lives(&times(&by_process), plan, clocks);
    }
    let of_processes_ns = times(&by_process).into_iter().map(Time::thread_ns).sum::<u64>();
    assert_near("by process", of_processes_ns - clocks[0], ours_ns, 0.005, 0);
    Ok(())
}
