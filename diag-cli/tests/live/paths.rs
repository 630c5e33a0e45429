//! Paths of files in records: as the kernel shows them to whoever has them open.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    Outcome, Test,
    lab::{
        Lab,
        image::{Loop, Mounted, PlainDisk, evict},
    },
    osdiag::{Session, tool},
    record::{Record, device_of},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("paths_deleted_file", deleted_file),
    ("paths_mount_point_with_a_space", mount_point_with_a_space),
    ("paths_below_a_cover", below_a_cover),
    ("paths_btrfs_device", btrfs_device),
    ("paths_of_files_closed_at_once", files_closed_at_once),
];

/// Files that are read once each.
const FILES: usize = 40;

/// Writes to a file, after something was `done` to it; returns what the kernel calls it then, and the summary.
fn written(path: &Path, done: impl FnOnce(&Path)) -> (String, Record) {
    let mut file = File::create(path).expect("the file system takes a file");
    done(path);
    let pid = std::process::id().to_string();
    let session = Session::tracing(tool("iolat", &["--json", "--slowest", "100", "-p", &pid]));
    file.write_all(&[7; 8192]).expect("the file system has room");
    let summary = session.interrupt().summary();
    let name = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("it is open");
    (name.to_string_lossy().into_owned(), summary)
}

/// Checks that a write to a file has the kernel's name of it.
fn check(path: &Path, done: impl FnOnce(&Path)) -> String {
    let (name, summary) = written(path, done);
    let slowest = summary.0["slowest"].as_array().expect("slowest is a list");
    let named = slowest.iter().any(|slow| slow["op"] == "write" && slow["file"] == name.as_str());
    assert!(named, "{name} is not among {slowest:#?}");
    name
}

fn deleted_file() -> Outcome {
    let lab = Lab::new();
    let name = check(&lab.path("gone"), |path| fs::remove_file(path).expect("it is there"));
    assert!(name.ends_with("/gone (deleted)"), "{name}");
    Ok(())
}

fn mount_point_with_a_space() -> Outcome {
    let lab = Lab::new();
    let mount = Mounted::mount(lab.directory("m sp"), &["-t", "tmpfs", "none"])?;
    check(&mount.path().join("file a"), |_| ());
    Ok(())
}

/// A file that two mounts of one file system show, of which one lies below another mount.
fn below_a_cover() -> Outcome {
    let lab = Lab::new();
    let first = Mounted::mount(lab.directory("first"), &["-t", "tmpfs", "none"])?;
    let below = first.path().join("sub");
    fs::create_dir(&below).expect("it is empty");
    let second = Mounted::mount(lab.directory("second"), &["--bind", &below.to_string_lossy()])?;
    let _cover = Mounted::mount(first.path().to_owned(), &["-t", "tmpfs", "none"])?;
    check(&second.path().join("f"), |_| ());
    Ok(())
}

/// Files that are opened, read from the disk and closed: each has its name in the record, though its reader slept and its descriptor was
/// another's soon after. The reads are waited for, so glibc's rseq has the kernel do something on each one's way back.
fn files_closed_at_once() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let mut paths: Vec<PathBuf> =
        (0..FILES).map(|number| disk.mount.file(&format!("f{number}"), 64 << 10)).collect();
    paths.iter().for_each(|path| evict(path));
    let pid = std::process::id().to_string();
    let session = Session::tracing(tool("iolat", &["--json", "--slowest", "100", "-p", &pid]));
    for path in &paths {
        let mut file = File::open(path).expect("it was made");
        assert_eq!(file.read(&mut [0; 4096]).ok(), Some(4096));
    }
    let summary = session.interrupt().summary();
    let device = device_of(&paths[0]);
    assert_eq!(summary.operation("read", &device).count(), FILES as u64, "{}", summary.outline());
    let is_cold = |slow: &&Value| slow["latency_ns"].as_u64().is_some_and(|ns| ns > 20_000);
    let reads = summary.slowest().iter().filter(|slow| slow["op"] == "read").filter(is_cold);
    let mut named: Vec<PathBuf> =
        reads.map(|slow| slow["file"].as_str().unwrap_or("a file without a name").into()).collect();
    named.retain(|name| name.starts_with(disk.mount.path()) || !name.is_absolute());
    named.sort();
    paths.sort();
    assert_eq!(named, paths);
    Ok(())
}

/// The device of a btrfs is the one that it is on, not the anonymous one that its files have.
fn btrfs_device() -> Outcome {
    let lab = Lab::new();
    let device = Loop::over_file(&lab, "disk.img", 512 << 20)?;
    let node = device.node().to_string_lossy().into_owned();
    crate::lab::run("mkfs.btrfs", &["-q", &node])?;
    let mount = Mounted::mount(lab.directory("btrfs"), &["-t", "btrfs", &node])?;
    let (_, summary) = written(&mount.path().join("data"), |_| ());
    let operations = summary.0["operations"].as_array().expect("operations is a list");
    let written = operations.iter().find(|operation| operation["filesystem"] == "btrfs").expect("a write");
    assert_eq!(written["device"]["name"], device.name(), "{written}");
    assert_eq!(written["device"]["id"], device_of(device.node()), "{written}");
    Ok(())
}
