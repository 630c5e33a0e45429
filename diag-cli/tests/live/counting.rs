//! What is counted, as what, and what is not.

use std::{
    fs::{self, File},
    os::fd::AsRawFd as _,
    path::Path,
};

use serde_json::json;

use crate::{
    Outcome, Test,
    lab::{
        Lab,
        image::{Mounted, PlainDisk, evict},
    },
    operations::Operation,
    osdiag::{Session, Trace, iolat, trace},
    record::device_of,
    workload::{Call, Desk, Job, Plan, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("counting_every_call_once", every_call_once),
    ("counting_the_same_through_raw_hooks", the_same_through_raw_hooks),
    ("counting_nothing_elsewhere", nothing_elsewhere),
    ("counting_on_tmpfs", on_tmpfs),
    ("counting_on_a_block_device", on_a_block_device),
    ("counting_on_overlayfs", on_overlayfs),
    ("counting_on_xfs", on_xfs),
    ("counting_on_btrfs", on_btrfs),
    ("counting_failed_calls", failed_calls),
];

const ROUNDS: u64 = 7;
const FAILED: u64 = 300;

fn every(file: &Path) -> Job {
    Job::new(file, Step::Every, ROUNDS)
}

/// That each call is there as often as the workload made it: the first of the list [`ROUNDS`] times, the second twice
/// as often, and so on, so that no two can be taken for each other.
fn assert_every(traced: &Trace, device: &str, filesystem: &str) {
    let summary = traced.finished.summary();
    summary.assert_complete();
    assert_eq!(summary.on(device).len(), Call::ALL.len(), "{}", summary.outline());
    for (times, call) in (1u64..).zip(Call::ALL) {
        let operation = summary.operation(call.name(), device);
        assert_eq!(operation.count(), times * ROUNDS, "{}: {}", call.name(), summary.outline());
        assert_eq!(operation.filesystem(), filesystem);
        assert_eq!(operation.bytes(), traced.report.samples[call].bytes, "bytes of {}", call.name());
    }
}

fn every_call_once() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 64 << 10);
    let desk = Desk::new(&lab);
    assert_every(&trace(&desk, &[], &desk.plan(vec![every(&file)])), &device_of(&file), "ext4");
    Ok(())
}

/// The kind of hook is no matter of the answer. `OSDIAG_HOOKS` is for tests alone.
fn the_same_through_raw_hooks() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 64 << 10);
    let desk = Desk::new(&lab);
    let mut command = iolat(&["--json", "--"]);
    command.arg(std::env::current_exe().expect("the tests have a path")).env("OSDIAG_HOOKS", "raw");
    let mut session = Session::start({
        command.args(desk.plan(vec![every(&file)]).arguments());
        command
    });
    let report = session.workload(&desk).through();
    let traced = Trace { finished: session.finish(), report };
    assert_every(&traced, &device_of(&file), "ext4");
    let summary = traced.finished.summary();
    let hooks: Vec<_> =
        summary.0["probes"].as_array().into_iter().flatten().map(|probe| &probe["hook"]).collect();
    assert!(!hooks.is_empty() && hooks.iter().all(|hook| *hook != "tp_btf"), "{hooks:?}");
    Ok(())
}

fn nothing_elsewhere() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 64 << 10);
    let desk = Desk::new(&lab);
    let plan =
        |step: Step| Plan { comm: Some(b"elsewhere".to_vec()), ..desk.plan(vec![Job::new(&file, step, 50)]) };
    // The dynamic loader and the runtime read a few files; the same for both workloads.
    let count = |traced: &Trace| {
        let summary = traced.finished.summary();
        summary.assert_complete();
        for operation in summary.operations() {
            let name = operation.filesystem();
            let known = ["ext4", "xfs", "btrfs", "overlay", "overlayfs", "tmpfs"].contains(&name);
            assert!(known, "{}", operation.outline());
        }
        summary.operations().map(Operation::count).sum::<u64>()
    };
    let still = count(&trace(&desk, &[], &Plan { jobs: vec![], ..plan(Step::Elsewhere) }));
    let elsewhere = count(&trace(&desk, &[], &plan(Step::Elsewhere)));
    assert_eq!(elsewhere, still, "reads and writes outside of files were counted");
    let here = count(&trace(&desk, &[], &plan(Step::transfer(Call::Pread, 4096, 64 << 10))));
    assert_eq!(here, still + 50, "and these are inside");
    Ok(())
}

fn on_tmpfs() -> Outcome {
    let lab = Lab::new();
    let mount = Mounted::mount(lab.directory("tmpfs"), &["-t", "tmpfs", "-o", "size=4m", "osdiag-lab"])?;
    let file = mount.file("data", 64 << 10);
    let desk = Desk::new(&lab);
    assert_every(&trace(&desk, &[], &desk.plan(vec![every(&file)])), &device_of(&file), "tmpfs");
    Ok(())
}

fn on_a_block_device() -> Outcome {
    let lab = Lab::new();
    let device = crate::lab::image::Loop::over_file(&lab, "disk.img", 64 << 20)?;
    let desk = Desk::new(&lab);
    let traced = trace(&desk, &[], &desk.plan(vec![every(device.node())]));
    assert_every(&traced, &device_of(device.node()), "bdev");
    let summary = traced.finished.summary();
    let name = &summary.operation("read", &device_of(device.node())).0["device"]["name"];
    assert_eq!(*name, device.name());
    Ok(())
}

/// A file of an overlay counts once, though two file systems serve it.
fn on_overlayfs() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let part = |name: &str| {
        let path = disk.mount.path().join(name);
        fs::create_dir(&path).expect("the file system takes a directory");
        path.to_string_lossy().into_owned()
    };
    let options = format!("lowerdir={},upperdir={},workdir={}", part("lower"), part("upper"), part("work"));
    let mount = Mounted::mount(lab.directory("overlay"), &["-t", "overlay", "-o", &options, "osdiag-lab"])?;
    let file = mount.file("data", 64 << 10);
    let desk = Desk::new(&lab);
    let traced = trace(&desk, &[], &desk.plan(vec![every(&file)]));
    let calls: u64 = (1..=Call::ALL.len() as u64).sum();
    let summary = traced.finished.summary();
    let devices = [device_of(&file), device_of(disk.device.node())];
    let counted: u64 = devices.iter().flat_map(|device| summary.on(device)).map(Operation::count).sum();
    assert_eq!(counted, calls * ROUNDS, "{}", summary.outline());
    Ok(())
}

fn on_xfs() -> Outcome {
    on_another_file_system("xfs")
}

fn on_btrfs() -> Outcome {
    on_another_file_system("btrfs")
}

/// On one whose tools `cargo xtask setup` installs.
fn on_another_file_system(kind: &str) -> Outcome {
    let lab = Lab::new();
    let device = crate::lab::image::Loop::over_file(&lab, "disk.img", 512 << 20)?;
    let node = device.node().to_string_lossy().into_owned();
    crate::lab::run(&format!("mkfs.{kind}"), &["-q", &node])?;
    let mount = Mounted::mount(lab.directory(kind), &["-t", kind, &node])?;
    let file = mount.file("data", 64 << 10);
    let desk = Desk::new(&lab);
    assert_every(&trace(&desk, &[], &desk.plan(vec![every(&file)])), &device_of(device.node()), kind);
    Ok(())
}

/// Calls that fail at once are counted by how they fail, and make no others look faster: reads that may not wait, of what is not cached, and
/// reads through a descriptor for writing, beside a few that read.
fn failed_calls() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let (cold, warm) = (disk.mount.file("cold", 1 << 20), disk.mount.file("warm", 1 << 20));
    let [cold_file, warm_file] = [&cold, &warm].map(|path| File::open(path).expect("it was made"));
    let writing = File::options().write(true).open(&warm).expect("it was made");
    evict(&cold);
    let pid = std::process::id().to_string();
    let session = Session::tracing(iolat(&["--json", "-p", &pid]));
    let mut buffer = [0u8; 4096];
    let mut read = |file: &File, flags| {
        let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: one part, of memory that is there.
        let got = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, 0, flags) };
        if got < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or_default() } else { 0 }
    };
    let mut would_wait = 0;
    for _ in 0..FAILED {
        // The kernel may begin to read what it does not wait for.
        evict(&cold);
        would_wait += u64::from(read(&cold_file, libc::RWF_NOWAIT) == libc::EAGAIN);
        assert_eq!(read(&writing, 0), libc::EBADF);
    }
    assert!((0..ROUNDS).all(|_| read(&warm_file, 0) == 0), "what is there can be read");
    assert!(would_wait > FAILED / 10, "{would_wait} reads of what is not cached failed");
    let summary = session.interrupt().summary();
    summary.assert_complete();
    let operation = summary.operation("preadv2", &device_of(&warm));
    assert_eq!(operation.count(), ROUNDS + FAILED - would_wait, "{}", operation.outline());
    assert_eq!(operation.0["failed_count"], FAILED + would_wait);
    let classes = [("again", would_wait), ("invalid", FAILED)];
    let classes = classes.map(|(class, count)| json!({ "failure": class, "operation_count": count }));
    assert_eq!(operation.0["failures"], json!(classes));
    Ok(())
}
