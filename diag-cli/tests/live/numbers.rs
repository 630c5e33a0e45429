//! Counts, sums and percentiles against the workload's own clock.

use std::time::Duration;

use crate::{
    Outcome, Test,
    lab::{
        Lab,
        image::{PlainDisk, warm},
    },
    osdiag::{Trace, trace},
    record::{device_of, within},
    workload::{Call, Desk, Job, Open, Plan, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("numbers_of_cached_reads", cached_reads),
    ("numbers_of_cold_reads", cold_reads),
    ("numbers_of_buffered_writes_and_fsync", buffered_writes_and_fsync),
    ("numbers_of_direct_io", direct_io),
    ("numbers_of_eight_threads_direct", eight_threads_direct),
    ("numbers_of_eight_threads_cached", eight_threads_cached),
    ("numbers_of_intervals_add_up", intervals_add_up),
];

const MIB: usize = 1 << 20;
/// How large a file is that is worked on.
const SPAN: u64 = 64 << 20;

/// How far the sums may be apart.
const SUM: f64 = 0.02;

/// Compares what osdiag says of a device with what the workload says, call by call.
fn compare(traced: &Trace, device: &str, sum: f64) {
    let summary = traced.finished.summary();
    summary.assert_complete();
    let mut calls: Vec<&str> = summary.on(device).iter().map(|operation| operation.call()).collect();
    calls.sort_unstable();
    let mut made: Vec<&str> = traced.report.samples.keys().map(|call| call.name()).collect();
    made.sort_unstable();
    assert_eq!(calls, made, "{}", summary.outline());
    for (call, own) in &traced.report.samples {
        let operation = summary.operation(call.name(), device);
        let p99 = own.percentile(99.0);
        println!(
            "{}: {} calls, sum {} of {} ns ({:+.2} %), p99 {} of {} ns ({:+.2} %), {} ns of run delay",
            call.name(),
            own.ns.len(),
            operation.sum(),
            own.sum(),
            100.0 * (operation.sum() as f64 / own.sum() as f64 - 1.0),
            operation.latency("p99_ns"),
            p99,
            100.0 * (operation.latency("p99_ns") as f64 / p99 as f64 - 1.0),
            own.run_delay_ns,
        );
        let made = own.ns.len() as u64;
        assert!(operation.count() <= made, "{made} calls were made: {}", summary.outline());
        let missing = made.saturating_sub(operation.count());
        assert!(missing <= summary.missed(), "{missing} calls of {} are missing", call.name());
        assert!(within(sum, operation.sum(), own.sum()), "sum of {}: {}", call.name(), operation.outline());
        // One call, or one in a thousand, may change places: those that lose the CPU between the two clocks. Where
        // latencies come in steps of a time slice, that can be a step.
        let places = (100.0 / own.ns.len() as f64).max(0.1);
        let measured = operation.latency("p99_ns") as f64;
        let [lower, upper] = [99.0 - places, 99.0 + places].map(|percent| own.percentile(percent) as f64);
        let near = 0.95 * lower..=1.05 * upper;
        assert!(near.contains(&measured), "p99 of {}: {}", call.name(), operation.outline());
        assert!(missing != 0 || operation.bytes() == own.bytes, "bytes of {}", call.name());
    }
}

/// Runs a job on a plain disk under osdiag, and compares. The job gets the file, which is as large as [`SPAN`].
fn measure(preferred: bool, sum: f64, job: impl FnOnce(&std::path::Path) -> Job) -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 4 * SPAN)?;
    let file = disk.mount.file("data", SPAN as usize);
    warm(&file);
    let desk = Desk::new(&lab);
    let plan = Plan { preferred, ..desk.plan(vec![job(&file)]) };
    compare(&trace(&desk, &[], &plan), &device_of(&file), sum);
    Ok(())
}

fn cached_reads() -> Outcome {
    measure(true, SUM, |file| Job::new(file, Step::transfer(Call::Pread, 4 * MIB, SPAN), 1500))
}

fn cold_reads() -> Outcome {
    let (call, block, span) = (Call::Pread, 64 << 10, SPAN);
    let step = Step::Transfer { call, block, span, random: true, evict: true, sync: None };
    measure(true, SUM, |file| Job::new(file, step, 2000))
}

fn buffered_writes_and_fsync() -> Outcome {
    let (call, block, span, sync) = (Call::Pwrite, MIB, SPAN, Some(Call::Fsync));
    let step = Step::Transfer { call, block, span, random: false, evict: false, sync };
    measure(true, SUM, |file| Job::new(file, step, 300))
}

fn direct_io() -> Outcome {
    let open = Open { direct: true, ..Open::default() };
    measure(true, SUM, |file| Job::new(file, Step::transfer(Call::Pread, 64 << 10, SPAN), 3000).open(open))
}

fn eight_threads_direct() -> Outcome {
    let open = Open { direct: true, ..Open::default() };
    let step = Step::transfer(Call::Pread, 64 << 10, SPAN);
    measure(true, SUM, |file| Job::new(file, step, 500).open(open).threads(8))
}

/// Eight threads on fewer CPUs: most of the time they wait for each other, some of it on the way back to user mode.
/// The CPUs are short: a caller can lose its own between the call's end and its look at the clock.
fn eight_threads_cached() -> Outcome {
    measure(false, 2.5 * SUM, |file| {
        Job::new(file, Step::transfer(Call::Pread, MIB, SPAN), 0).threads(8).lasting(SHORT)
    })
}

const SHORT: Duration = Duration::from_millis(1500);

fn intervals_add_up() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 4 * SPAN)?;
    let file = disk.mount.file("data", SPAN as usize);
    let desk = Desk::new(&lab);
    let (call, block, span, sync) = (Call::Pwrite, 64 << 10, SPAN, Some(Call::Fdatasync));
    let step = Step::Transfer { call, block, span, random: true, evict: false, sync };
    let plan = desk.plan(vec![Job::new(&file, step, 0).lasting(Duration::from_millis(2700))]);
    let traced = trace(&desk, &["-i", "500ms"], &plan);
    let records = traced.finished.records();
    let (summary, intervals) = records.split_last().expect("there is a record");
    assert!((4..=9).contains(&intervals.len()), "{} intervals", intervals.len());
    summary.assert_complete();
    let device = device_of(&file);
    for (call, own) in &traced.report.samples {
        let whole = summary.operation(call.name(), &device);
        assert_eq!(whole.count(), own.ns.len() as u64);
        let parts: Vec<_> = intervals
            .iter()
            .flat_map(|interval| interval.on(&device))
            .filter(|operation| operation.call() == call.name())
            .collect();
        let busy = parts.iter().filter(|part| part.count() > 0).count();
        assert!(busy >= 4, "{} happened in {busy} intervals only", call.name());
        assert_eq!(
            parts.iter().map(|part| part.count()).sum::<u64>(),
            whole.count(),
            "count of {}",
            call.name()
        );
        assert_eq!(parts.iter().map(|part| part.sum()).sum::<u64>(), whole.sum(), "sum of {}", call.name());
    }
    Ok(())
}
