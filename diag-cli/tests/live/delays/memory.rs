//! Who took memory while others waited for some, against the takers' own count of what they touched.

use std::{
    ffi::CString,
    fs::File,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    ptr,
    time::Duration,
};

use super::{crowds::reap, record::path, trace};
use crate::{
    Outcome, Test,
    lab::{Lab, cgroup::Cgroup, fault::die_with_parent, image::PlainDisk},
    record::number,
    workload::{Call, Desk, Job, Plan, Step},
};

/// The tests of this file.
pub(crate) const TESTS: &[Test] = &[("delays_culprits_of_memory", culprits_of_memory)];

const MIB: u64 = 1 << 20;
/// What the victim and the hog may have together, what the victim reads again and again, and what each taker takes.
const LIMIT: u64 = 256 * MIB;
const READ: u64 = 192 * MIB;
const TAKEN: u64 = 200 * MIB;

/// A process that takes memory, two pages a time, and counts what it has touched.
struct Taker {
    child: libc::pid_t,
    counted: *mut u64,
}

impl Taker {
    /// In these cgroups.
    fn start(cgroups: &[PathBuf]) -> Taker {
        let files: Vec<_> = cgroups
            .iter()
            .map(|cgroup| CString::new(cgroup.join("cgroup.procs").as_os_str().as_bytes()).expect("no zero"))
            .collect();
        // SAFETY: the child makes system calls alone, with values that are valid, and touches what it mapped.
        unsafe {
            let shared = map(4096, libc::MAP_SHARED).cast::<u64>();
            let child = libc::fork();
            if child == 0 {
                die_with_parent();
                for file in &files {
                    let file = libc::open(file.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                    if libc::write(file, c"0".as_ptr().cast(), 1) != 1 {
                        libc::_exit(1);
                    }
                }
                let memory = map(TAKEN as usize, libc::MAP_PRIVATE);
                let pause = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };
                for page in (0..TAKEN).step_by(4096) {
                    memory.add(page as usize).write_volatile(1);
                    shared.write_volatile(page + 4096);
                    if page % MIB == 0 {
                        libc::nanosleep(&raw const pause, ptr::null_mut());
                    }
                }
                loop {
                    libc::pause();
                }
            }
            assert!(child > 0, "no process");
            Taker { child, counted: shared }
        }
    }

    /// Bytes that it has touched.
    fn touched(&self) -> u64 {
        // SAFETY: mapped for as long as this lives.
        unsafe { self.counted.read_volatile() }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        // SAFETY: a child that has not been waited for.
        unsafe { libc::kill(self.child, libc::SIGKILL) };
        reap(self.child);
    }
}

/// Fresh pages.
unsafe fn map(bytes: usize, flags: libc::c_int) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: no address is asked for.
    let pages = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags | libc::MAP_ANONYMOUS, -1, 0) };
    assert_ne!(pages, libc::MAP_FAILED, "no memory");
    pages.cast()
}

/// Drops the cached pages of a file, which are whose that wrote it.
fn forget(file: &Path) {
    let file = File::open(file).expect("the file is there");
    // SAFETY: numbers alone.
    let failed = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(failed, 0, "the file stays cached");
}

/// A reader whose cached pages have to go because its neighbour below the same limit takes memory. Who takes as much elsewhere has no
/// part in that.
fn culprits_of_memory() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, READ + 64 * MIB)?;
    let file = disk.mount.file("data", READ as usize);
    let names = Cgroup::v2(&lab)?;
    let memory = Cgroup::v1(&lab, "memory")?;
    memory.set("memory.limit_in_bytes", &LIMIT.to_string())?;
    let group = |name: &str| names.child(name);
    let (victim, hog, outside) = (group("victim")?, group("hog")?, group("outside")?);
    let (victim_memory, hog_memory) = (memory.child("victim")?, memory.child("hog")?);
    let places = |all: &[&Cgroup]| all.iter().map(|one| one.path().to_owned()).collect::<Vec<_>>();
    let desk = Desk::new(&lab);
    let job = Job::new(&file, Step::transfer(Call::Pread, 256 << 10, READ), 0);
    let plan = |limit| Plan {
        cgroups: places(&[&victim, &victim_memory]),
        ..desk.plan(vec![job.clone().lasting(limit)])
    };
    forget(&file);
    desk.start(&plan(Duration::from_secs(1))).through();

    let mut reader = desk.start(&plan(Duration::from_secs(5)));
    let session = trace(&["--by", "cgroup", "-d", "4s", "--cgroup", &format!("/{}", names.name())]);
    reader.go();
    let takers = [Taker::start(&places(&[&hog, &hog_memory])), Taker::start(&places(&[&outside]))];
    let summary = session.finish().summary();
    assert_eq!(takers.each_ref().map(Taker::touched), [TAKEN; 2], "the memory was never taken");
    let failures = number(&memory.get("memory.failcnt")?.trim().parse::<u64>().expect("a count").into());
    assert!(failures > 0, "the limit was never met");
    reader.report();
    reader.end();

    let victim = summary.time(&format!("/{}/victim", names.name()));
    let of_memory = |cause: &&serde_json::Value| path(cause).starts_with("memory.");
    let waited: u64 = victim.list("causes").iter().filter(of_memory).map(|cause| number(&cause["ns"])).sum();
    assert!(waited >= 10_000_000, "the victim hardly waited for memory: {}", victim.0.0["causes"]);
    let culprits: Vec<_> =
        victim.list("culprits").iter().filter(|culprit| culprit["resource"] == "memory").collect();
    let sum: u64 = culprits.iter().map(|culprit| number(&culprit["ns"])).sum();
    assert_eq!(sum + number(&victim.0.0["culprits_omitted"]["ns"]), waited, "{culprits:?}");
    assert!(culprits.iter().all(|culprit| culprit["basis"] == "growth"), "{culprits:?}");
    let had = |name: &str| -> u64 {
        let is_it = |culprit: &&&serde_json::Value| {
            culprit["group"]["cgroup"].as_str() == Some(&format!("/{}/{name}", names.name()))
        };
        culprits.iter().filter(is_it).map(|culprit| number(&culprit["ns"])).sum()
    };
    println!("{waited} ns, of which {} because of the hog", had("hog"));
    assert!(had("hog") >= waited * 3 / 4, "{culprits:?}");
    assert_eq!(had("outside"), 0, "{culprits:?}");
    Ok(())
}
