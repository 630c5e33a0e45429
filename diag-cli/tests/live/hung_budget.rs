//! That `osdiag hung` keeps to its share of a CPU, whatever crowd is stuck, and that it says how late that makes it.

use std::{
    fs, process, thread,
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test,
    hung::{MS, Weather, hung, hung_of, lateness, one_write, writer_on_a_disk},
    lab::{Lab, crowd::Unanswered, fault::Frozen, image::PlainDisk},
    osdiag::{Finished, Session},
    record::{Record, number},
    workload::Desk,
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("hung_budget_beside_a_crowd", beside_a_crowd),
    ("hung_budget_beside_five_thousand_threads", beside_five_thousand_threads),
    ("hung_budget_where_a_crowd_is_stuck_anew", stuck_anew),
];

/// The share of one CPU that osdiag may have.
const SHARE: f64 = 0.05;
/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(12);
/// How late an event may be beside what the looks were late: a turn of the session's loop, and describing a crowd.
const LATE: Duration = Duration::from_millis(1000);

/// CPU time of a process so far, in user and kernel mode, in the ticks of proc_pid_stat(5).
fn cpu_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(") ").expect("a name is in parentheses");
    let ticks = rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u32>().expect("a number"));
    // SAFETY: sysconf takes a number.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Duration::from_secs(1) * ticks.sum::<u32>() / u32::try_from(per_second).expect("a rate")
}

/// CPU time of all children that have ended and been waited for.
fn cpu_of_children() -> Duration {
    // SAFETY: an integer, and room for what is told.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage), 0);
        usage
    };
    let time = |time: libc::timeval| {
        Duration::new(time.tv_sec.unsigned_abs(), 1000 * u32::try_from(time.tv_usec).expect("below a second"))
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// A session that has seen a task stuck, and so has read the kernel's symbols, which is done once.
struct Watched {
    session: Session,
    weather: Weather,
    spent_before: Duration,
    began: Instant,
    spent_at_start: Duration,
}

impl Watched {
    /// Watches one that has just told of a task.
    fn new(session: Session, spent_at_start: Duration) -> Watched {
        let spent_before = cpu_of(session.pid());
        Watched { session, weather: Weather::watch(), spent_before, began: Instant::now(), spent_at_start }
    }

    /// Lets it watch for the rest of the time, and checks what it took, and its record.
    fn check(self) -> Finished {
        thread::sleep(WATCHED.saturating_sub(self.began.elapsed()));
        let (lasted, spent) = (self.began.elapsed(), cpu_of(self.session.pid()) - self.spent_before);
        let share = spent.as_secs_f64() / lasted.as_secs_f64();
        println!("{:.2} % of a CPU in {lasted:?}", 100.0 * share);
        assert!(share <= SHARE, "{:.2} % of a CPU", 100.0 * share);
        let weather = self.weather.worst();
        let children = cpu_of_children();
        let finished = self.session.interrupt();
        let total = cpu_of_children() - children - self.spent_at_start;
        let summary = finished.summary();
        let own = Duration::from_nanos(number(&summary.0["self"]["cpu_ns"]));
        let delay = Duration::from_nanos(number(&summary.0["looks"]["longest_delay_ns"]));
        println!(
            "{total:?} since it traces, by its record {own:?}; {} looks up to {delay:?} late; weather {weather:?}",
            summary.0["looks"]["count"]
        );
        // A tick is as long as 10 ms, and its last record does not tell of what writing that takes, and ending.
        let end = 150 * MS;
        assert!(
            own <= total + 20 * MS && total <= own + end,
            "{own:?} by the record, {total:?} by the kernel"
        );
        let records = finished.records();
        let events: Vec<&Record> = records.iter().filter(|record| record.text("type") == "event").collect();
        let late = events.iter().flat_map(|event| {
            let stuck = event.stuck().iter().filter(|task| task["resolved_at"].is_null());
            stuck.map(|task| (lateness(event, task), number(&event.0["looks"]["longest_delay_ns"])))
        });
        let (late, of_look) = late.max().expect("tasks were stuck");
        println!(
            "{} events up to {late:?} late, of a look that was late by {:?}",
            events.len(),
            Duration::from_nanos(of_look)
        );
        assert!(late <= delay + LATE + 2 * weather, "told of {late:?} late");
        finished
    }
}

/// So many threads that are stuck, each behind another one, after a single task was.
fn pairs(count: u64) -> Outcome {
    let lab = Lab::new();
    let scene = Unanswered::new(&lab)?;
    let (disk, _, _desk, mut writer) = writer_on_a_disk(&lab)?;
    let (own, writing) = (process::id(), writer.pid);
    let mut session = Session::tracing(hung(&["-p", &format!("{own},{writing}")]));
    let spent_at_start = cpu_of(session.pid());
    let frozen = Frozen::new(disk.mount.path())?;
    writer.go();
    session.wait_for(|record| !record.stuck_of(writing).is_empty());
    drop(frozen);
    writer.report();
    session.wait_for(|record| !record.went_on(writing).is_empty());
    let watched = Watched::new(session, spent_at_start);
    let crowd = scene.crowd(count);
    let asleep = crowd.is_asleep();
    let finished = watched.check();
    crowd.end();
    writer.end();
    assert!(asleep, "one thread of each pair is in uninterruptible sleep");
    assert_eq!(number(&finished.summary().0["task_count"]), count + 1);
    Ok(())
}

/// 500 threads that are stuck behind as many holders that sleep interruptibly.
fn beside_a_crowd() -> Outcome {
    pairs(500)
}

fn beside_five_thousand_threads() -> Outcome {
    pairs(2500)
}

/// 500 threads that go on and are stuck again, all of them, about twice a second: whatever is told of them is paid for as well.
fn stuck_anew() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let desk = Desk::new(&lab);
    let write = one_write(&file, 500).lasting(WATCHED + 3000 * MS);
    let mut writers = desk.start(&desk.plan(vec![write]));
    let pid = writers.pid;
    let mut session = hung_of(pid);
    let spent_at_start = cpu_of(session.pid());
    let frozen = Frozen::new(disk.mount.path())?;
    writers.go();
    session.wait_for(|record| !record.stuck_of(pid).is_empty());
    drop(frozen);
    let watched = Watched::new(session, spent_at_start);
    while watched.began.elapsed() < WATCHED {
        let frozen = Frozen::new(disk.mount.path())?;
        thread::sleep(450 * MS);
        drop(frozen);
        thread::sleep(30 * MS);
    }
    let finished = watched.check();
    writers.report();
    writers.end();
    println!("{} tasks", finished.summary().0["task_count"]);
    Ok(())
}
