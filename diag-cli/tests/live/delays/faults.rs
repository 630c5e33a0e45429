//! Faults side by side: each group has its own, as much as its workload's clocks say.

use std::time::{Duration, Instant};

use super::{
    record::{Time, path},
    trace,
};
use crate::{
    Outcome, Test,
    hung::one_write,
    lab::{Lab, cgroup::Cgroup, disk::SlowDisk, fault::Frozen, image::PlainDisk},
    runq::runner::{Account, Kind, Order, Runner, all},
    workload::{Call, Desk, Job, Open, Plan, Report, Samples, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[("delays_two_faults_beside_one", two_beside_one)];

/// How far a share may be from that of the workload's clocks.
const POINTS: f64 = 0.05;
/// The CPU that hogs crowd.
const CROWDED: usize = 1;
const LASTING_MS: u64 = 2_500;

/// That the causes of a group have these shares of its time, and nothing else of what it lost has one.
fn assert_shares(time: Time<'_>, whole_ns: u64, truth: &[(&str, u64)]) {
    let mut others = 0.0;
    for cause in time.list("causes") {
        let share = cause["share"].as_f64().expect("a share");
        let name = path(cause);
        match truth.iter().find(|(known, _)| *known == name) {
            Some((_, ns)) => {
                let theirs = *ns as f64 / whole_ns as f64;
                println!("{name}: {share:.4} of {theirs:.4}");
                assert!((share - theirs).abs() <= POINTS, "{name}: {share} of {theirs}: {}", time.0.0);
            }
            None if cause["class"] == "lost" => others += share,
            None => {}
        }
    }
    assert!(truth.iter().all(|(name, _)| time.cause_ns(name) > 0), "{}", time.0.0);
    assert!(others <= POINTS, "{others} for other reasons: {}", time.0.0);
}

/// A cgroup of which one process reads a slow disk and two crowd one CPU, and beside it one that writes to a frozen file system.
fn two_beside_one() -> Outcome {
    let lab = Lab::new();
    let slow = SlowDisk::new(&lab, 64 << 20)?;
    let data = slow.mount.file("data", 16 << 20);
    let plain = PlainDisk::new(&lab, 64 << 20)?;
    let log = plain.mount.file("log", 4096);
    let above = Cgroup::of(&lab, "memory")?;
    let (two, one) = (above.child("two")?, above.child("one")?);
    slow.delay(Duration::from_millis(10));
    let desk = Desk::new(&lab);
    let start = |cgroup: &Cgroup, job: Job| {
        desk.start(&Plan { cgroups: vec![cgroup.path().to_owned()], ..desk.plan(vec![job]) })
    };
    let reads = Job::new(&data, Step::transfer(Call::Pread, 4096, 16 << 20), 0)
        .open(Open { direct: true, ..Open::default() })
        .lasting(Duration::from_millis(LASTING_MS));
    let mut reader = start(&two, reads);
    let mut writer = start(&one, one_write(&log, 1));
    let kind = Kind {
        comm: "dl-hog".into(),
        cpu: Some(CROWDED),
        cgroup: Some(two.path().to_owned()),
        ..Kind::default()
    };
    let mut hogs = [(); 2].map(|()| Runner::start(&kind));
    let frozen = Frozen::new(plain.mount.path())?;

    let session = trace(&["--by", "cgroup", "--cgroup", &above.path().to_string_lossy()]);
    let begun = Instant::now();
    reader.go();
    writer.go();
    let accounts = all(&mut hogs, &Order::Spin(LASTING_MS));
    let read = reader.report();
    let reader_ns = begun.elapsed().as_nanos() as u64;
    drop(frozen);
    let wrote = writer.report();
    let writer_ns = begun.elapsed().as_nanos() as u64;
    let summary = session.interrupt().summary();

    let all_ns = summary.duration_ns();
    let of = |name: &str| summary.time(&format!("/{}/{name}", lab.name()));
    let samples =
        |report: &Report| -> Samples { report.samples.values().next().expect("calls of one kind").clone() };
    let (read, wrote) = (samples(&read), samples(&wrote));
    let sum = |of: fn(&Account) -> u64| accounts.iter().map(of).sum::<u64>();
    // A workload is a thread that waits for another, which does the job.
    assert_shares(
        of("two"),
        3 * all_ns + reader_ns,
        &[
            ("block.device", read.sum() - read.run_delay_ns - read.on_cpu_ns),
            ("cpu.runqueue", sum(|account| account.delay_ns) + read.run_delay_ns),
            ("cpu.run", sum(|account| account.run_ns) + read.on_cpu_ns),
        ],
    );
    assert_shares(of("one"), all_ns + writer_ns, &[("filesystem.freeze", wrote.sum())]);
    reader.end();
    writer.end();
    Ok(())
}
