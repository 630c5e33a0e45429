//! Time under a quota: `runq`, `iolat` and the kernel's own account of one and the same workload.

use std::time::{Duration, Instant};

use super::CROWDED;
use crate::{
    Outcome, Test,
    lab::{
        Lab,
        cgroup::Cgroup,
        fault::Hogs,
        image::{PlainDisk, warm},
    },
    osdiag::{Session, tool},
    record::{device_of, within},
    stalls::happened,
    workload::{Call, Desk, Job, Plan, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("runq_and_iolat_see_the_quota_that_the_kernel_accounts", alone),
    ("runq_and_iolat_tell_the_quota_from_the_wait_after_it", beside_hogs),
];

/// How far the accounts may be apart.
const APART: f64 = 0.05;
/// The longer a read takes, the fewer holds fall between two.
const READ: usize = 16 << 20;

/// What the kernel says of a cgroup: time that its queues were held, ns, and periods in which one was.
fn account(group: &Cgroup) -> Outcome<[u64; 2]> {
    let held_ns = match group.stat("cpu.stat", "throttled_time") {
        Ok(ns) => ns,
        Err(_) => 1_000 * group.stat("cpu.stat", "throttled_usec")?,
    };
    Ok([held_ns, group.stat("cpu.stat", "nr_throttled")?])
}

fn limited(lab: &Lab) -> Outcome<Cgroup> {
    let group = Cgroup::of(lab, "cpu")?;
    if group.set("cpu.cfs_period_us", "100000").is_ok() {
        group.set("cpu.cfs_quota_us", "10000")?;
    } else {
        group.set("cpu.max", "10000 100000")?;
    }
    Ok(group)
}

/// A thread that reads cached data on one CPU, under a quota, while both tools trace it.
///
/// The kernel counts how long each CPU's queue of the cgroup was held, from the moment that the first task of it is taken off the
/// CPU up to the refill (`record_throttle_clock` and `unthrottle_cfs_rq`, kernel/sched/fair.c, 6.18); the tools count how long each
/// task was. With one task on one CPU these are the same. It counts a period once, at its end, if a queue is held then
/// (`nr_throttled`, `do_sched_cfs_period_timer`): with one CPU nothing refills a queue before, so that is the number of holds. `iolat`
/// counts operations that were held, each of which takes less CPU than a period has.
fn compare(hogs: usize) -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", READ);
    warm(&file);
    let group = limited(&lab)?;
    let desk = Desk::new(&lab);
    let step = Step::transfer(Call::Pread, READ, READ as u64);
    let job = Job::new(&file, step, 0).lasting(Duration::from_secs(6));
    let mut visitor = desk.start(&Plan {
        cgroups: vec![group.path().to_owned()],
        comm: Some(b"held".to_vec()),
        cpu: Some(CROWDED),
        ..desk.plan(vec![job])
    });
    let pid = visitor.pid.to_string();
    let sessions = ["runq", "iolat"].map(|name| Session::tracing(tool(name, &["--json", "-p", &pid])));
    let _hogs = Hogs::on(CROWDED, hogs);
    let before = account(&group)?;
    let begun = Instant::now();
    visitor.go();
    let report = visitor.report();
    let took_ns = begun.elapsed().as_nanos() as u64;
    let after = account(&group)?;
    let [runq, iolat] = sessions.map(|session| session.interrupt().summary());
    visitor.end();

    let [held_ns, holds] = [after[0] - before[0], after[1] - before[1]];
    let own = &report.samples[&Call::Pread];
    happened("the share without quota", held_ns as f64 / own.sum() as f64, 0.2);
    let operation = iolat.operation("pread64", &device_of(&file));
    let (iolat_ns, held_operations) = operation.cause("cpu.throttled");
    let runq_ns = runq.group("held").throttled_ns();
    // A hold between two reads is in no operation. By the reader's own clock there was no more than this of it.
    let between_ns = took_ns.saturating_sub(own.sum());
    let between = (between_ns * holds).div_ceil(held_ns);
    println!(
        "held for {held_ns} ns, {holds} times, at most {between_ns} ns between reads: \
         runq {runq_ns} ns, iolat {iolat_ns} ns in {held_operations} operations"
    );
    for record in [&runq, &iolat] {
        record.assert_complete();
    }
    assert!(within(APART, runq_ns, held_ns), "{runq_ns} of {held_ns} ns: {}", runq.group("held").0);
    let near = |ours: u64, least: u64, most: u64| {
        (least as f64 * (1.0 - APART)..=most as f64 * (1.0 + APART)).contains(&(ours as f64))
    };
    for whole in [held_ns, runq_ns] {
        let holds = near(iolat_ns, whole.saturating_sub(between_ns), whole);
        assert!(holds, "{iolat_ns} of {whole} ns: {}", operation.outline());
    }
    let counted = near(held_operations, holds.saturating_sub(between), holds);
    assert!(counted, "{held_operations} for {holds}: {}", operation.outline());
    Ok(())
}

fn alone() -> Outcome {
    compare(0)
}

/// After each refill it waits for the others, which is no time under the quota: a tool that takes it for that has more than the
/// kernel.
fn beside_hogs() -> Outcome {
    compare(2)
}
