//! Loop devices and the file systems on them.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{fd::AsRawFd as _, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Lab, attempt, run, unmount};
use crate::{Outcome, Skip};

/// A loop device over a file.
pub(crate) struct Loop {
    device: PathBuf,
}

impl Loop {
    /// Attaches a free loop device to `file`, past the page cache of the file below it where that can be.
    pub(crate) fn attach(file: &Path) -> Outcome<Loop> {
        let file = file.to_string_lossy();
        let device = attempt("losetup", &["--find", "--show", "--direct-io=on", &file])
            .or_else(|_| run("losetup", &["--find", "--show", &file]))?;
        let device = Loop { device: PathBuf::from(device) };
        device.lift_limits();
        Ok(device)
    }

    /// Lets it have as much that is dirty as any other: a loop device keeps its limits while nothing is attached to it, and a run that was
    /// killed, of these tests or of something else, can have left some.
    fn lift_limits(&self) {
        for (file, value) in [("max_ratio", "100"), ("strict_limit", "0")] {
            let path = self.bdi(file);
            if path.exists() {
                fs::write(&path, value)
                    .unwrap_or_else(|error| panic!("{} = {value}: {error}", path.display()));
            }
        }
    }

    /// Attaches a loop device to a new file in the lab.
    pub(crate) fn over_file(lab: &Lab, name: &str, bytes: u64) -> Outcome<Loop> {
        let path = lab.path(name);
        File::create(&path).and_then(|file| file.set_len(bytes)).expect("a lab takes a file");
        Loop::attach(&path)
    }

    /// Its node in /dev.
    pub(crate) fn node(&self) -> &Path {
        &self.device
    }

    /// Its name, as the kernel has it.
    pub(crate) fn name(&self) -> &str {
        self.device.file_name().and_then(|name| name.to_str()).expect("a loop device has a name")
    }

    /// How long its reads took, together, from a request's making to its end, as the block layer counts.
    pub(crate) fn reading(&self) -> Duration {
        self.ticks(3)
    }

    /// The same of its writes.
    pub(crate) fn writing(&self) -> Duration {
        self.ticks(7)
    }

    fn ticks(&self, field: usize) -> Duration {
        let text =
            fs::read_to_string(format!("/sys/block/{}/stat", self.name())).expect("a device has statistics");
        let fields: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // Documentation/block/stat.rst: read ticks are the fourth, write ticks the eighth.
        Duration::from_millis(fields[field])
    }

    /// A file of its backing device information in sysfs.
    pub(crate) fn bdi(&self, file: &str) -> PathBuf {
        let rdev = fs::metadata(&self.device).expect("a loop device has a node").rdev();
        PathBuf::from(format!("/sys/class/bdi/{}:{}/{file}", libc::major(rdev), libc::minor(rdev)))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        detach(&self.device);
    }
}

/// The loop devices over files in a directory, by their nodes.
pub(crate) fn attached_to(directory: &Path) -> Vec<PathBuf> {
    let below = format!("{}/", directory.display());
    let is_there = |block: &Path| {
        fs::read_to_string(block.join("loop/backing_file")).is_ok_and(|file| file.starts_with(&below))
    };
    let blocks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    blocks
        .filter(|block| is_there(&block.path()))
        .map(|block| Path::new("/dev").join(block.file_name()))
        .collect()
}

/// Detaches a loop device.
pub(crate) fn detach(node: &Path) {
    if let Err(Skip(why)) = attempt("losetup", &["--detach", &node.to_string_lossy()]) {
        eprintln!("could not detach: {why}");
    }
}

/// A mounted file system.
pub(crate) struct Mounted {
    path: PathBuf,
}

impl Mounted {
    /// Makes an ext4 with a journal on a loop device and mounts it. Everything is initialized right away, so that no
    /// kernel thread writes behind a measurement.
    pub(crate) fn ext4(lab: &Lab, device: &Loop) -> Outcome<Mounted> {
        let node = device.node().to_string_lossy();
        run("mkfs.ext4", &["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=16", &node])?;
        Mounted::mount(lab.directory(&format!("mnt-{}", device.name())), &["-t", "ext4", &node])
    }

    /// Mounts something else: the arguments of mount(8) but for the place.
    pub(crate) fn mount(path: PathBuf, arguments: &[&str]) -> Outcome<Mounted> {
        let text = path.to_string_lossy();
        let mut all = arguments.to_vec();
        all.push(&text);
        match attempt("mount", &all) {
            Ok(_) => Ok(Mounted { path }),
            Err(Skip(why)) if why.contains("unknown filesystem type") => Err(Skip(why)),
            Err(Skip(why)) => panic!("{why}"),
        }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file on it, filled with `bytes` bytes that are written through to the device.
    pub(crate) fn file(&self, name: &str, bytes: usize) -> PathBuf {
        let path = self.path.join(name);
        fill(&path, bytes);
        path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.path);
    }
}

/// Fills a file and writes it through to the device.
pub(crate) fn fill(path: &Path, bytes: usize) {
    let mut file = File::create(path).expect("the file system takes a file");
    let block: Vec<u8> = (0..1usize << 20).map(|i| (i % 251) as u8).collect();
    for start in (0..bytes).step_by(block.len()) {
        file.write_all(&block[..block.len().min(bytes - start)]).expect("the file system has room");
    }
    file.sync_all().expect("the file system writes through");
}

/// Reads a file once, so that all of it is cached.
pub(crate) fn warm(path: &Path) {
    let mut file = File::open(path).expect("the file is there");
    let mut block = vec![0; 1 << 20];
    while file.read(&mut block).expect("the file can be read") > 0 {}
}

/// Drops a file that is written through from the page cache.
pub(crate) fn evict(path: &Path) {
    let file = File::open(path).expect("the file is there");
    // SAFETY: posix_fadvise takes an open descriptor and numbers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

/// Ext4 on a loop device over a file: fast, with nothing wrong. Unmounted before the device goes.
pub(crate) struct PlainDisk {
    /// The file system.
    pub(crate) mount: Mounted,
    /// The device.
    pub(crate) device: Loop,
}

impl PlainDisk {
    /// Sets one up.
    pub(crate) fn new(lab: &Lab, bytes: u64) -> Outcome<PlainDisk> {
        let device = Loop::over_file(lab, "disk.img", bytes)?;
        Ok(PlainDisk { mount: Mounted::ext4(lab, &device)?, device })
    }
}
