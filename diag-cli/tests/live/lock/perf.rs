//! `osdiag lock` beside `perf lock contention -b`, which few distributions build perf with.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::{
    bench::programs,
    complete,
    record::Lock,
    work::{Work, Worker},
};
use crate::{
    Outcome, Skip,
    lab::{Lab, disk::SlowDisk, peer::Peer, wait_until},
    osdiag::{Session, tool},
    record::{number, within},
};

/// What perf aggregates in the kernel, by caller.
pub(super) const BPF: &[&str] = &["lock", "contention", "-ab"];
/// The same by lock, as `contended, total wait, max wait, avg wait, address, symbol, type`.
const BY_LOCK: &[&str] = &["lock", "contention", "-abl", "-x,"];

/// Whether perf can do something here.
pub(super) fn works(flags: &[&str]) -> bool {
    let directory = std::env::temp_dir();
    let output = Command::new("perf").args(flags).args(["--", "true"]).current_dir(directory).output();
    output.is_ok_and(|output| output.status.success())
}

/// Waits until perf has its programs.
pub(super) fn attached(perf: &Peer) {
    wait_until(Duration::from_secs(5), || programs(perf.pid()).len() >= 2);
    thread::sleep(Duration::from_millis(300));
}

/// Perf while it counts by lock, into a file.
fn counting(report: &Path) -> Peer {
    let report = File::create(report).expect("a lab takes a file");
    let perf = Peer::start(Command::new("perf").args(BY_LOCK).stdout(Stdio::null()).stderr(report));
    let perf = perf.expect("it ran a moment ago");
    attached(&perf);
    perf
}

/// As many waits for a rwsem and for a mutex as perf counts, and as long.
pub(super) fn beside_perf() -> Outcome {
    if !works(BPF) {
        return Err(Skip::because("perf: it is not there, or not built with BUILD_BPF_SKEL=1"));
    }
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    disk.delay(Duration::from_millis(1));
    let report = lab.path("perf");
    for (work, kind, name) in
        [(Work::Inode(file), "rwsem-read", "inode i_rwsem"), (Work::Mutex(4), "mutex", "pipe mutex")]
    {
        let mut worker = Worker::start(work, 1500);
        let perf = counting(&report);
        let session = Session::tracing(tool("lock", &["--json"]));
        worker.work();
        let summary = session.interrupt().summary();
        drop(perf);
        let told = fs::read_to_string(&report).expect("perf has its file");
        complete(&summary);
        let missed = number(&summary.0["lost"]["missed_runs"]);
        let address = summary.lock(kind, name).0["address"].as_str().unwrap_or_default().to_owned();
        let same = || summary.locks().filter(|lock| lock.0["address"] == address.as_str());
        let [waits, ns] = [Lock::count, Lock::sum].map(|of| same().map(of).sum::<u64>());
        let address = address.trim_start_matches("0x");
        let line = told.lines().find(|line| line.contains(address));
        let line = line.unwrap_or_else(|| panic!("perf does not know {name} at {address}: {told}"));
        let known: Vec<u64> = line.split(',').map_while(|word| word.trim().parse().ok()).take(4).collect();
        let [known_waits, known_ns, ..] = known[..] else { panic!("perf says {line}") };
        println!("{name}: {waits} waits of {known_waits}, {ns} ns of {known_ns}");
        assert!(known_waits > 500, "nobody had to wait: {line}");
        assert!(waits.abs_diff(known_waits) <= missed + known_waits / 1000, "{waits} of {known_waits}");
        // Of a short wait, the time that the other's programs take is a part: perf's have a stack to take.
        if kind == "rwsem-read" {
            assert!(within(0.02, ns, known_ns), "{ns} ns of {known_ns}");
        }
    }
    Ok(())
}
