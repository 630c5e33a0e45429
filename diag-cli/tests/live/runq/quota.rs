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

/// How far the accounts may be apart: each takes its own look at the clock at either end of a hold.
const APART: f64 = 0.001;
/// How much of the reads may be in no operation: seldom a hold begins when the operation has ended (docs/principles.md, Known drift).
const SEEN: f64 = 0.05;
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
/// task was. With one task on one CPU these are the same, and the account is read when that task is gone: no hold is under way.
///
/// A hold begins where a task goes back to user mode, at the end of a read or between two. The latter is in no operation, and seldom
/// one of the former comes when the operation has ended: there can be no more of both than the time in which the process, by this
/// clock, was in no operation.
///
/// In a read that takes more CPU than its period has, the refill comes periods later, and each of them counts as held
/// (`nr_throttled`, `do_sched_cfs_period_timer`): so there are no more operations with holds than periods, and no fewer than the
/// longest reads that together are as long as what was held.
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
    visitor.end();
    let took_ns = begun.elapsed().as_nanos() as u64;
    let after = account(&group)?;
    let [runq, iolat] = sessions.map(|session| session.interrupt().summary());

    let [held_ns, periods] = [after[0] - before[0], after[1] - before[1]];
    let own = &report.samples[&Call::Pread];
    happened("the share without quota", held_ns as f64 / own.sum() as f64, 0.2);
    let operation = iolat.operation("pread64", &device_of(&file));
    let (iolat_ns, held_operations) = operation.cause("cpu.throttled");
    let runq_ns = runq.group("held").throttled_ns();
    let outside_ns = took_ns.saturating_sub(operation.sum());
    println!(
        "held for {held_ns} ns in {periods} periods, at most {outside_ns} ns of it outside of reads, {} ns by the reader's clock: \
         runq {runq_ns} ns, iolat {iolat_ns} ns in {held_operations} operations",
        took_ns.saturating_sub(own.sum())
    );
    for record in [&runq, &iolat] {
        record.assert_complete();
    }
    assert!(within(APART, runq_ns, held_ns), "{runq_ns} of {held_ns} ns: {}", runq.group("held").0);
    assert!(within(SEEN, operation.sum(), own.sum()), "{} of {} ns", operation.sum(), own.sum());
    let apart = (APART * held_ns as f64) as u64;
    let in_reads = held_ns.saturating_sub(outside_ns + apart)..=held_ns + apart;
    assert!(in_reads.contains(&iolat_ns), "{iolat_ns} is not in {in_reads:?} ns: {}", operation.outline());
    let possible = fewest(&own.ns, *in_reads.start())..=periods;
    assert!(
        possible.contains(&held_operations),
        "{held_operations} of {possible:?}: {}",
        operation.outline()
    );
    Ok(())
}

/// How many calls there were at least in so much time.
fn fewest(calls: &[u64], ns: u64) -> u64 {
    let mut longest = calls.to_vec();
    longest.sort_unstable_by(|one, other| other.cmp(one));
    let mut sum = 0;
    let shorter = |call: &&u64| {
        let is_short = sum < ns;
        sum += **call;
        is_short
    };
    longest.iter().take_while(shorter).count() as u64
}

fn alone() -> Outcome {
    compare(0)
}

/// After each refill it waits for the others, which is no time under the quota: a tool that takes it for that has more than the
/// kernel.
fn beside_hogs() -> Outcome {
    compare(2)
}
