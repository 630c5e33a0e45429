//! Processes that are stopped in the midst of their operations: that is no slow I/O. How long they were stopped is known from the one
//! who stopped them, and from the calls' own times which of the stops were in a call.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test,
    lab::{
        Lab,
        cgroup::Cgroup,
        image::{PlainDisk, warm},
        stuck::{FrozenCgroup, Stopped, Traced},
    },
    osdiag::trace_with,
    record::{device_of, number},
    stalls::happened,
    workload::{Call, Desk, Job, Plan, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("fault_stopped_by_a_signal", by_a_signal),
    ("fault_stopped_by_the_freezer", by_the_freezer),
    ("fault_stopped_by_a_tracer", by_a_tracer),
];

const MIB: usize = 1 << 20;
const STOPS: usize = 5;
const STOP: Duration = Duration::from_millis(300);
const BETWEEN: Duration = Duration::from_millis(200);
const OTHER: f64 = 0.01;

/// Stops a process that reads what is cached, again and again, five times.
fn stopped(cgroups: Vec<std::path::PathBuf>, mut stop: impl FnMut(u32) -> Outcome) -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 16 * MIB);
    warm(&file);
    let desk = Desk::new(&lab);
    let job = Job::new(&file, Step::transfer(Call::Pread, MIB, 16 << 20), 0).lasting(Duration::from_secs(3));
    let mut stops = Vec::new();
    let mut outcome = Ok(());
    let traced = trace_with(&desk, &[], &Plan { cgroups, ..desk.plan(vec![job]) }, |pid| {
        for _ in 0..STOPS {
            thread::sleep(BETWEEN);
            let begun = Instant::now();
            outcome = stop(pid);
            stops.push(begun.elapsed());
        }
    });
    outcome?;
    let own = &traced.report.samples[&Call::Pread];
    // A stop begins when its thread has a CPU, and so may be shorter.
    let short_ns = STOP.as_nanos() as u64 / 2;
    let in_calls: Vec<u64> = own.ns.iter().copied().filter(|&ns| ns >= short_ns).collect();
    let (least, most) = (in_calls.len() as u64 * short_ns, in_calls.iter().sum::<u64>());
    happened("the share in which calls were stopped", most as f64 / own.sum() as f64, 0.2);
    let summary = traced.finished.summary();
    let operation = summary.operation("pread64", &device_of(&file));
    println!("{}", summary.outline());
    assert!(operation.latency("max_ns") < short_ns, "{}", operation.outline());
    assert!(operation.layer_share("other") < OTHER, "{}", operation.outline());
    let stopped_ns = number(&operation.0["stopped_ns"]);
    println!("stopped: {stopped_ns} ns of {least} to {most}");
    assert!(stopped_ns >= least && stopped_ns <= most, "{stopped_ns} of {least} to {most}");
    let (sum, known) = (operation.sum() + stopped_ns, own.sum());
    // Its own clock also has what others had the CPU for after a call, before it is read.
    assert!(sum.abs_diff(known) as f64 <= 0.1 * known as f64, "{sum} of {known}");
    let about = summary.verdict().map(|verdict| verdict["layer"].clone());
    assert!(about.is_none_or(|layer| layer != "other"), "{}", summary.outline());
    Ok(())
}

fn by_a_signal() -> Outcome {
    stopped(Vec::new(), |pid| {
        let guard = Stopped::new(pid);
        thread::sleep(STOP);
        drop(guard);
        Ok(())
    })
}

fn by_the_freezer() -> Outcome {
    let lab = Lab::new();
    let frozen = FrozenCgroup(Cgroup::v1(&lab, "freezer")?);
    stopped(vec![frozen.0.path().to_owned()], |_| {
        frozen.freeze()?;
        thread::sleep(STOP);
        frozen.0.release("freezer.state", "THAWED");
        Ok(())
    })
}

fn by_a_tracer() -> Outcome {
    stopped(Vec::new(), |pid| {
        let traced = Traced::new(pid);
        thread::sleep(STOP);
        drop(traced);
        Ok(())
    })
}
