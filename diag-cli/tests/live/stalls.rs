//! Attribution where an operation waits for the disk or the file system.

use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test,
    lab::{
        Lab,
        disk::SlowDisk,
        fault::{Frozen, Hogs},
        image::PlainDisk,
        sampler::Sampler,
        wait_until,
    },
    operations::Operation,
    osdiag::{Session, Trace, iolat, trace, trace_with},
    record::{Record, device_of, within},
    workload::{Call, Desk, Job, Open, Plan, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("stall_slow_device_direct", slow_device_direct),
    ("stall_slow_device_buffered", slow_device_buffered),
    ("stall_slow_device_raw_block", slow_device_raw_block),
    ("stall_slow_device_beside_a_busy_one", slow_device_beside_a_busy_one),
    ("stall_journal_commit", journal_commit),
    ("stall_inode_lock", inode_lock),
    ("stall_freeze", freeze),
    ("stall_that_does_not_end", does_not_end),
    ("stall_of_a_command_that_does_not_end", command_does_not_end),
    ("stall_slow_device_and_cpu_hogs", slow_device_and_cpu_hogs),
];

const MS: Duration = Duration::from_millis(1);
/// How long a command may take to get stuck.
const START: Duration = Duration::from_secs(10);
/// How far a share may be off.
const POINTS: f64 = 0.05;
/// How much of the time may be left unexplained.
const OTHER: f64 = 0.02;

/// The operation and its record, with what holds in every fault: nothing lost, little unexplained.
pub(crate) fn explained(traced: &Trace, call: Call, device: &str) -> Record {
    explained_within(0.02, traced, call, device)
}

/// The same where the CPU is short: the caller can lose it between the call's end and its own look at the clock, for a
/// whole time slice or quota period, which then is in its time and in no call.
pub(crate) fn explained_within(sum: f64, traced: &Trace, call: Call, device: &str) -> Record {
    let summary = traced.finished.summary();
    summary.assert_complete();
    let operation = summary.operation(call.name(), device);
    let own = &traced.report.samples[&call];
    println!("{}", summary.outline());
    let made = own.ns.len() as u64;
    let possible = made.saturating_sub(summary.missed())..=made;
    assert!(possible.contains(&operation.count()), "{made} calls were made: {}", operation.outline());
    assert!(within(sum, operation.sum(), own.sum()), "sum {} of {}", operation.sum(), own.sum());
    let unexplained = operation.layer_share("other");
    if unexplained > 0.0 {
        println!("not explained: {unexplained}; the slowest: {:#?}", summary.slowest());
    }
    assert!(unexplained < OTHER, "{}", operation.outline());
    summary
}

/// That the verdict is about this call and names this cause. Of a wait whose end the kernel did not tell, which is
/// counted as missed, no more than its layer may be known, and one such wait can be the slowest of all.
pub(crate) fn assert_verdict(record: &Record, call: Call, device: &str, cause: &str) {
    let verdict = record.verdict().unwrap_or_else(|| panic!("no verdict: {}", record.outline()));
    let says = |key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
    let said = format!("{}.{}", says("layer"), says("cause"));
    let layer = cause.split('.').next().expect("a cause has a layer");
    let known = if record.missed() > 0 && said == format!("{layer}.wait") { &said } else { cause };
    let subject = &verdict["subject"];
    let name = subject["name"].as_str().unwrap_or_default();
    assert_eq!(said, known, "{}", record.outline());
    assert!(name.starts_with(&format!("{} on ", call.name())), "{}", record.outline());
    assert_eq!((&subject["type"], &subject["device"]["id"]), (&"operation".into(), &device.into()));
    assert!(says("statement").len() > 20, "a statement is a sentence: {verdict}");
}

/// That a cause has about the share that it is known to have.
pub(crate) fn assert_share(operation: Operation<'_>, cause: &str, known: f64) {
    let share = operation.share(cause);
    println!("{cause}: {:.1} % of {:.1} % known", 100.0 * share, 100.0 * known);
    let off = (share - known).abs();
    assert!(off <= POINTS, "{cause} is {share:.3}, known {known:.3}: {}", operation.outline());
}

/// That the lab did bring its fault about, by a truth that does not come from osdiag.
pub(crate) fn happened(what: &str, known: f64, least: f64) {
    println!("{what}: {:.1} % known", 100.0 * known);
    assert!(known >= least, "the fault did not happen: {what} is {known:.3} of the time");
}

fn share(part: Duration, traced: &Trace, call: Call) -> f64 {
    part.as_nanos() as f64 / traced.report.samples[&call].sum() as f64
}

/// What is known of the slow disk's reads, from its own clock and from the block layer's. The file system writes meanwhile.
#[derive(Debug)]
struct Disk {
    requests: u64,
    served: Duration,
    counted: Duration,
}

impl Disk {
    fn of(disk: &SlowDisk) -> Disk {
        let served = disk.served();
        Disk {
            requests: served.requests,
            served: Duration::from_nanos(served.ns),
            counted: disk.device.reading(),
        }
    }

    fn since(&self, before: &Disk) -> Disk {
        Disk {
            requests: self.requests - before.requests,
            served: self.served - before.served,
            counted: self.counted - before.counted,
        }
    }

    fn happened(&self, traced: &Trace, call: Call, least: f64) {
        happened("the disk's share by its own clock", share(self.served, traced, call), least);
        happened("the disk's share by the block layer's", share(self.counted, traced, call), least);
    }

    /// The device has at least what the server took. The kernel's way there and back counts as well, up to what the
    /// block layer counts from a request's making to its end, which all of the layer's causes together have.
    fn assert_share(&self, operation: Operation<'_>, traced: &Trace, call: Call) {
        let [served, counted] = [self.served, self.counted].map(|part| share(part, traced, call));
        let device = operation.share("block.device");
        let known = format!("block.device is {device:.3}, known {served:.3} to {counted:.3}");
        println!("{known}");
        let holds = device > served - POINTS && device < counted + POINTS;
        assert!(holds, "{known}: {}", operation.outline());
        let off = (operation.layer_share("block") - counted).abs();
        assert!(off <= POINTS, "block is not {counted:.3}: {}", operation.outline());
    }
}

/// Reads on a device that takes 15 ms for each request: what the server took is the device's share.
fn slow_reads(open: Open, evict: bool, raw: bool) -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 32 << 20);
    let file = if raw { disk.device.node().to_owned() } else { file };
    let desk = Desk::new(&lab);
    let (call, block, span) = (Call::Pread, 4096, 32 << 20);
    let step = Step::Transfer { call, block, span, random: true, evict, sync: None };
    let plan = desk.preferred(vec![Job::new(&file, step, 120).open(open)]);
    disk.delay(15 * MS);
    let before = Disk::of(&disk);
    let traced = trace(&desk, &[], &plan);
    let known = Disk::of(&disk).since(&before);
    assert!(known.requests >= 120, "not every read reached the disk: {known:?}");
    let device = device_of(&file);
    // On a busy machine the way to the server and back takes longer.
    known.happened(&traced, call, 0.5);
    let summary = explained(&traced, call, &device);
    known.assert_share(summary.operation(call.name(), &device), &traced, call);
    assert_verdict(&summary, call, &device, "block.device");
    Ok(())
}

fn slow_device_direct() -> Outcome {
    slow_reads(Open { direct: true, ..Open::default() }, false, false)
}

fn slow_device_buffered() -> Outcome {
    slow_reads(Open::default(), true, false)
}

fn slow_device_raw_block() -> Outcome {
    slow_reads(Open { direct: true, ..Open::default() }, false, true)
}

/// Another disk's requests end all the while, some of them between the end of a slow one and the wake-up of its reader:
/// they explain no wait for the slow one.
fn slow_device_beside_a_busy_one() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 32 << 20);
    let busy = lab.path("busy");
    fs::write(&busy, vec![1; 32 << 20]).expect("a lab takes a file");
    let desk = Desk::new(&lab);
    let direct = |call, file: &Path| {
        let open = Open { direct: true, ..Open::default() };
        Job::new(file, Step::transfer(call, 4096, 32 << 20), 300).open(open)
    };
    let beside = direct(Call::Preadv, &busy).threads(3).lasting(2500 * MS);
    let plan = desk.preferred(vec![direct(Call::Pread, &file), beside]);
    disk.delay(8 * MS);
    let before = Disk::of(&disk);
    let traced = trace(&desk, &[], &plan);
    let known = Disk::of(&disk).since(&before);
    let made = traced.report.samples[&Call::Preadv].ns.len();
    assert!(made > 5000, "the other disk was not busy: {made} reads");
    let device = device_of(&file);
    let summary = explained_within(0.05, &traced, Call::Pread, &device);
    let operation = summary.operation(Call::Pread.name(), &device);
    known.assert_share(operation, &traced, Call::Pread);
    let wait = operation.share("block.wait");
    assert!(wait < 0.005, "wait {wait:.3}: {}", operation.outline());
    Ok(())
}

/// Eight threads change attributes and sync: nothing but the journal has to reach the disk.
fn journal_commit() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let desk = Desk::new(&lab);
    let open = Open { each: true, ..Open::default() };
    let job =
        Job::new(&disk.mount.path().join("data"), Step::Touch, 0).open(open).threads(8).lasting(3000 * MS);
    disk.delay(5 * MS);
    let mut waited = Duration::ZERO;
    let traced = trace_with(&desk, &[], &desk.preferred(vec![job]), |pid| {
        let sampler = Sampler::watch(pid, &["jbd2_log_wait_commit"]);
        thread::sleep(3200 * MS);
        waited = sampler.stop();
    });
    let known = share(waited, &traced, Call::Fsync);
    happened("the journal's share", known, 0.7);
    let device = device_of(disk.mount.path());
    let summary = explained(&traced, Call::Fsync, &device);
    let operation = summary.operation("fsync", &device);
    assert_share(operation, "filesystem.journal", known);
    assert_verdict(&summary, Call::Fsync, &device, "filesystem.journal");
    let journal = operation.share("filesystem.journal");
    let via = operation.share_via("filesystem.journal", "block.device");
    assert!(via > 0.7 * journal, "the journal waits for the slow device: {}", operation.outline());
    Ok(())
}

/// Four threads append to one file past the cache: one waits for the device, the others for its inode's lock.
fn inode_lock() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let desk = Desk::new(&lab);
    let open = Open { direct: true, append: true, ..Open::default() };
    let file = disk.mount.file("data", 0);
    let step = Step::transfer(Call::Write, 4096, 4096);
    let job = Job::new(&file, step, 0).open(open).threads(4).lasting(2500 * MS);
    disk.delay(10 * MS);
    let mut waited = Duration::ZERO;
    let traced = trace_with(&desk, &[], &desk.preferred(vec![job]), |pid| {
        let sampler = Sampler::watch(pid, &["^ext4_file_write_iter"]);
        thread::sleep(2700 * MS);
        waited = sampler.stop();
    });
    let known = share(waited, &traced, Call::Write);
    happened("the lock's share", known, 0.7);
    let device = device_of(&file);
    let summary = explained(&traced, Call::Write, &device);
    let operation = summary.operation("write", &device);
    assert_share(operation, "filesystem.inode-lock", known);
    assert_verdict(&summary, Call::Write, &device, "filesystem.inode-lock");
    Ok(())
}

/// A file system that is frozen for a second while it is written to.
fn freeze() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 8 << 20);
    let desk = Desk::new(&lab);
    let job = Job::new(&file, Step::transfer(Call::Pwrite, 1 << 20, 8 << 20), 0).lasting(1800 * MS);
    // How long it was frozen at least, and at most: freezing takes its own time, in which the writer meets it somewhere.
    let mut frozen = Ok([Duration::ZERO; 2]);
    let traced = trace_with(&desk, &[], &desk.plan(vec![job]), |_| {
        thread::sleep(300 * MS);
        let start = Instant::now();
        frozen = Frozen::new(disk.mount.path()).map(|guard| {
            let begun = Instant::now();
            thread::sleep(1000 * MS);
            let least = begun.elapsed();
            drop(guard);
            [least, start.elapsed()]
        });
    });
    let [least, most] = frozen?.map(|time| share(time, &traced, Call::Pwrite));
    let longest = traced.report.samples[&Call::Pwrite].ns.iter().max().copied().unwrap_or_default();
    happened("the freeze's share", least, 0.4);
    assert!(longest > 900_000_000, "the longest write took {longest} ns only");
    let device = device_of(&file);
    let summary = explained(&traced, Call::Pwrite, &device);
    assert_verdict(&summary, Call::Pwrite, &device, "filesystem.freeze");
    let operation = summary.operation("pwrite64", &device);
    let freeze = operation.share("filesystem.freeze");
    let holds = freeze > least - POINTS && freeze < most + POINTS;
    assert!(holds, "the freeze is {freeze:.3}, known {least:.3} to {most:.3}: {}", operation.outline());
    let slowest = &summary.slowest()[0];
    assert!(within(0.01, slowest["latency_ns"].as_u64().unwrap_or_default(), longest), "{slowest}");
    assert_eq!(slowest["file"].as_str(), file.to_str());
    Ok(())
}

/// A write that does not return while the session lasts is named, and in none of the numbers.
fn does_not_end() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let path = disk.mount.file("data", 1 << 20);
    let mut file = fs::File::options().write(true).open(&path).expect("the file is there");
    let frozen = Frozen::new(disk.mount.path())?;
    let (say, hear) = mpsc::channel();
    let writer = thread::spawn(move || {
        // SAFETY: gettid has no preconditions.
        say.send(unsafe { libc::gettid() }).expect("somebody listens");
        file.write_all(b"x").expect("the file can be written");
    });
    let tid = hear.recv().expect("the writer speaks");
    thread::sleep(100 * MS);
    let finished = Session::tracing(iolat(&["--json", "-d", "300ms"])).finish();
    drop(frozen);
    writer.join().expect("the writer goes on");
    let summary = finished.summary();
    let own = summary.pending().iter().find(|pending| pending["task"]["tid"] == tid);
    let own = own.unwrap_or_else(|| panic!("{tid} is not among {:?}", summary.pending()));
    assert_eq!((own["op"].as_str(), own["file"].as_str()), (Some("write"), path.to_str()));
    assert_eq!((own["layer"].as_str(), own["cause"].as_str()), (Some("filesystem"), Some("freeze")), "{own}");
    assert!(summary.on(&device_of(&path)).is_empty(), "{}", summary.outline());
    Ok(())
}

/// A traced command that is stuck when its session ends, by its duration or by a signal: it is what one traced it for.
fn command_does_not_end() -> Outcome {
    for by_signal in [false, true] {
        let lab = Lab::new();
        let disk = PlainDisk::new(&lab, 64 << 20)?;
        let path = disk.mount.file("data", 1 << 20);
        let frozen = Frozen::new(disk.mount.path())?;
        let mut command = iolat(&["--json"]);
        if !by_signal {
            command.args(["-d", "500ms"]);
        }
        command.args(["--", "dd", "if=/dev/zero", "bs=4k", "count=1", "conv=notrunc", "status=none"]);
        command.arg(format!("of={}", path.display()));
        let session = Session::counting(command);
        let is_stuck = || session.children().iter().any(|&child| state_of(child) == Some('D'));
        assert!(wait_until(START, is_stuck), "dd is not stuck");
        let stuck = session.children();
        let finished = if by_signal { session.interrupt() } else { session.finish() };
        drop(frozen);
        assert_eq!(finished.status.code(), Some(128 + libc::SIGKILL), "{}", finished.err);
        let records = finished.any_records();
        let summary = records.last().unwrap_or_else(|| panic!("no summary: {}", finished.err));
        let [own] = summary.pending() else { panic!("one is stuck: {:?}", summary.pending()) };
        assert_eq!(own["task"]["comm"], "dd", "{own}");
        assert!(stuck.iter().any(|&child| own["task"]["pid"] == child), "{own} is none of {stuck:?}");
        assert_eq!((own["cause"].as_str(), own["file"].as_str()), (Some("freeze"), path.to_str()), "{own}");
    }
    Ok(())
}

/// The state of a process, as ps(1) shows it.
fn state_of(pid: u32) -> Option<char> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("State:"))?.trim().chars().next()
}

/// Two faults at once, each with a truth of its own: the server's clock, and the scheduler's count.
fn slow_device_and_cpu_hogs() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 32 << 20);
    let desk = Desk::new(&lab);
    let step = Step::transfer(Call::Pread, 4096, 32 << 20);
    let job = Job::new(&file, step, 150).open(Open { direct: true, ..Open::default() });
    let plan = Plan { cpu: Some(1), nice: 10, ..desk.plan(vec![job]) };
    disk.delay(8 * MS);
    let before = Disk::of(&disk);
    let traced = {
        let _hogs = Hogs::on(1, 3);
        trace(&desk, &[], &plan)
    };
    let known = Disk::of(&disk).since(&before);
    known.happened(&traced, Call::Pread, 0.1);
    let waited = traced.report.samples[&Call::Pread].run_delay_ns;
    let waited = share(Duration::from_nanos(waited), &traced, Call::Pread);
    happened("the run queue's share", waited, 0.05);
    let device = device_of(&file);
    let summary = explained_within(0.05, &traced, Call::Pread, &device);
    let operation = summary.operation("pread64", &device);
    known.assert_share(operation, &traced, Call::Pread);
    assert_share(operation, "cpu.runqueue", waited);
    Ok(())
}
