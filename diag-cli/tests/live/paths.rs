//! Paths of files in records: as the kernel shows them to whoever has them open.

use std::{
    fs::{self, File},
    io::Write as _,
    os::fd::AsRawFd as _,
    path::Path,
};

use crate::{
    Outcome, Test,
    lab::{
        Lab,
        image::{Loop, Mounted},
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
];

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
