//! Attribution where an operation waits before there is a request of it: for a limit of its cgroup, or for one of the few requests that
//! its disk may have at once. What the disk itself took is known from the block layer's own statistics.

use std::time::Duration;

use crate::{
    Outcome, Test,
    lab::{
        Lab,
        cgroup::Cgroup,
        image::{Loop, PlainDisk},
        setting::Setting,
    },
    osdiag::{Trace, trace},
    record::device_of,
    stalls::{assert_share, assert_verdict, explained, happened},
    workload::{Call, Desk, Job, Open, Plan, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("fault_limit_of_writes", limit_of_writes),
    ("fault_limit_of_buffered_reads", limit_of_buffered_reads),
    ("stall_few_tags", few_tags),
];

const KIB: usize = 1 << 10;
const SPAN: u64 = 32 << 20;

/// The share of a call's time in which its requests were not made yet, nor had the CPU: all but what the block layer counts from a
/// request's making to its end, and what the scheduler counts.
fn before_requests(traced: &Trace, call: Call, counted: Duration) -> f64 {
    let own = &traced.report.samples[&call];
    let elsewhere = counted.as_nanos() as u64 + own.run_delay_ns + own.on_cpu_ns;
    1.0 - elsewhere as f64 / own.sum() as f64
}

/// A job in a cgroup that may do so little on its disk: the wait is the limit's, and the verdict says whose.
fn held_back(file: &str, value: &str, job: impl FnOnce(&std::path::Path) -> (Call, Job)) -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 2 * SPAN)?;
    let path = disk.mount.file("data", SPAN as usize);
    let group = Cgroup::v1(&lab, "blkio")?;
    group.set(file, &format!("{} {value}", device_of(disk.device.node())))?;
    let (call, job) = job(&path);
    let desk = Desk::new(&lab);
    let plan = Plan { cgroups: vec![group.path().to_owned()], ..desk.preferred(vec![job]) };
    let before = in_flight(&disk.device);
    let traced = trace(&desk, &[], &plan);
    let known = before_requests(&traced, call, in_flight(&disk.device) - before);
    happened("the share held back", known, 0.7);
    let device = device_of(&path);
    let summary = explained(&traced, call, &device);
    assert_share(summary.operation(call.name(), &device), "block.throttle", known);
    assert_verdict(&summary, call, &device, "block.throttle");
    let statement = summary.0["verdict"]["statement"].as_str().unwrap_or_default();
    for part in [file, &format!("/{}", lab.name()), value] {
        assert!(statement.contains(part), "{part} is not in: {statement}");
    }
    Ok(())
}

/// How long its reads and writes took from their making to their end.
fn in_flight(device: &Loop) -> Duration {
    device.reading() + device.writing()
}

fn limit_of_writes() -> Outcome {
    held_back("blkio.throttle.write_iops_device", "20", |path| {
        let open = Open { direct: true, ..Open::default() };
        (Call::Pwrite, Job::new(path, Step::transfer(Call::Pwrite, 4 * KIB, SPAN), 50).open(open))
    })
}

fn limit_of_buffered_reads() -> Outcome {
    held_back("blkio.throttle.read_bps_device", "1048576", |path| {
        let (call, block, span) = (Call::Pread, 64 * KIB, SPAN);
        let step = Step::Transfer { call, block, span, random: true, evict: true, sync: None };
        (call, Job::new(path, step, 30))
    })
}

/// Sixteen readers of a disk that takes four requests at a time: most of the time each waits for a request to be free, which takes less
/// than what osdiag looks at for its length.
fn few_tags() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 2 * SPAN)?;
    let file = disk.mount.file("data", SPAN as usize);
    let queue = format!("/sys/block/{}/queue", disk.device.name());
    let _scheduler = Setting::change(&lab, format!("{queue}/scheduler"), "mq-deadline")?;
    let _few = Setting::change(&lab, format!("{queue}/nr_requests"), "4")?;
    let desk = Desk::new(&lab);
    let (call, block, span) = (Call::Pread, 4 * KIB, SPAN);
    let step = Step::Transfer { call, block, span, random: true, evict: false, sync: None };
    let open = Open { direct: true, ..Open::default() };
    let plan = desk.preferred(vec![Job::new(&file, step, 400).open(open).threads(16)]);
    let before = disk.device.reading();
    let traced = trace(&desk, &[], &plan);
    let known = before_requests(&traced, call, disk.device.reading() - before);
    happened("the share waiting for a request to be free", known, 0.4);
    let device = device_of(&file);
    let summary = explained(&traced, call, &device);
    let operation = summary.operation(call.name(), &device);
    let queue = operation.share("block.queue");
    println!("block.queue: {queue:.3} of at least {known:.3} known");
    // A request waits in the scheduler's queue, too, once it is made.
    assert!(queue > known - 0.05, "{}", operation.outline());
    assert!(operation.share("block.wait") < 0.05, "{}", operation.outline());
    Ok(())
}
