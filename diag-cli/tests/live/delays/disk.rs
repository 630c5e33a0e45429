//! Reads of a disk that answers late, by system call and by page fault.

use std::{
    fs::{self, File, OpenOptions},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::OpenOptionsExt,
    },
    thread,
    time::{Duration, Instant},
};

use super::{assert_near, trace};
use crate::{
    Outcome, Test,
    lab::{Lab, disk::SlowDisk},
    record::Record,
    workload::{Buffer, Call, make},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] =
    &[("delays_direct_reads_of_a_slow_disk", direct), ("delays_faults_on_a_slow_disk", faults)];

const READS: u64 = 150;
const SPACING: u64 = 64 << 10;
const DELAY: Duration = Duration::from_millis(10);

/// Lets a thread of a name work on a file of the slow disk that is not in memory; the record, and what the thread says.
fn on_slow_disk<T: Send + 'static>(
    name: &str,
    open: &OpenOptions,
    work: impl FnOnce(File) -> T + Send + 'static,
) -> Outcome<(Record, T)> {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let path = disk.mount.file("data", (READS * SPACING) as usize);
    let file = open.open(&path).expect("the file is there");
    // SAFETY: three numbers and an open file.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    disk.delay(DELAY);
    let session = trace(&["--by", "comm", "--comm", name]);
    let worker = thread::Builder::new().name(name.to_owned()).spawn(move || work(file)).expect("a thread");
    let said = worker.join().expect("no thread panics");
    Ok((session.interrupt().summary(), said))
}

fn direct() -> Outcome {
    let mut open = OpenOptions::new();
    open.read(true).custom_flags(libc::O_DIRECT);
    let (summary, own_ns) = on_slow_disk("dl-direct", &open, |file| {
        let mut buffer = Buffer::new(4096);
        let begun = Instant::now();
        for at in 0..READS {
            make(Call::Pread, file.as_fd(), &mut buffer, at * SPACING).expect("the disk can be read");
        }
        begun.elapsed().as_nanos() as u64
    })?;
    let time = summary.time("dl-direct");
    let device_ns = time.cause_ns("block.device");
    let waiting_ns = own_ns - time.layer_ns("cpu").min(own_ns);
    assert_near("waits", time.waits("block.device"), READS, 0.02, 0);
    assert_near("of it in reads", time.at("pread64", "block.device"), device_ns, 0.02, 0);
    assert!(own_ns > READS * DELAY.as_nanos() as u64, "the disk was not slow: {own_ns} ns");
    assert_near("block.device", device_ns, waiting_ns, 0.05, 0);
    let lost_ns = time.loss_ns() - time.runnable_ns();
    assert!(device_ns as f64 >= 0.9 * lost_ns as f64, "{device_ns} of {lost_ns}: {}", time.0.0);
    Ok(())
}

fn voluntary_switches() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").expect("the kernel knows this thread");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|number| number.trim().parse().ok()).expect("a number of switches")
}

/// Touches one byte of each page that is to be read.
fn touch(file: &File) {
    let bytes = (READS * SPACING) as usize;
    // SAFETY: a new mapping of a file that is as long; it is not used after it is unmapped.
    unsafe {
        let flags = libc::MAP_SHARED;
        let start = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ, flags, file.as_raw_fd(), 0);
        assert_ne!(start, libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
        libc::madvise(start, bytes, libc::MADV_RANDOM);
        for at in (0..bytes).step_by(SPACING as usize) {
            start.cast::<u8>().add(at).read_volatile();
        }
        libc::munmap(start, bytes);
    }
}

fn faults() -> Outcome {
    let (summary, (switches, own_ns)) = on_slow_disk("dl-mmap", OpenOptions::new().read(true), |file| {
        let (before, begun) = (voluntary_switches(), Instant::now());
        touch(&file);
        (voluntary_switches() - before, begun.elapsed().as_nanos() as u64)
    })?;
    assert!(switches >= READS, "only {switches} faults waited");
    let time = summary.time("dl-mmap");
    let device_ns = time.cause_ns("block.device");
    let waiting_ns = own_ns - time.layer_ns("cpu").min(own_ns);
    assert_near("block.device", device_ns, waiting_ns, 0.05, 0);
    assert_near("of it in faults", time.at("fault", "block.device"), device_ns, 0.02, 0);
    assert_near("waits", time.waits("block.device"), switches, 0.02, 0);
    Ok(())
}
