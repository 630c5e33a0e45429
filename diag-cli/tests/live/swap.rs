//! Page faults within a call, for memory that is swapped out: of writes from a buffer that the kernel was told to swap out. That nothing
//! else takes them long is known from the same writes before, and that pages were read from the swap from the kernel's count of them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Outcome, Skip, Test,
    lab::{
        Lab,
        cgroup::Cgroup,
        disk::SlowDisk,
        image::{Loop, PlainDisk},
        run,
    },
    osdiag::{Session, iolat},
    record::device_of,
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("fault_swap_in_from_a_partition", from_a_partition),
    ("fault_swap_in_from_a_file_beside", from_a_file_beside),
];

const PAGE: usize = 4096;
const WRITES: usize = 60;
/// Pages from one write to the next, so that one is not read with the other.
const APART: usize = 64;
const SWAP: u64 = 64 << 20;

/// A swap that is on; it is switched off when this is dropped.
struct Swap(PathBuf);

impl Swap {
    fn on(path: &Path) -> Outcome<Swap> {
        let name = path.to_string_lossy();
        run("mkswap", &[&name])?;
        run("swapon", &["--priority", "100", &name])?;
        Ok(Swap(path.to_owned()))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        if let Err(Skip(error)) = run("swapoff", &[&self.0.to_string_lossy()]) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// Pages that were read from swaps so far.
fn swapped_in() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").expect("the kernel counts");
    let line = text.lines().find_map(|line| line.strip_prefix("pswpin "));
    line.and_then(|count| count.parse().ok()).expect("a count")
}

/// In a cgroup, fills memory, times writes from it, has it swapped out, and when told so, times the same writes once more.
const WRITER: &str = "
import ctypes, os, sys, time
group, path, writes, apart = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
open(group + '/cgroup.procs', 'w').write(str(os.getpid()))
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.pwrite.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
size = writes * apart * 4096
memory = libc.mmap(None, size, 3, 0x22, -1, 0)
libc.madvise(memory, size, 15)
for page in range(0, size, 4096):
    ctypes.c_ubyte.from_address(memory + page).value = page >> 12 & 255 | 1
small = ctypes.create_string_buffer(4096)
fd = os.open(path, os.O_WRONLY)
def write(buffers):
    ns = 0
    for number, buffer in enumerate(buffers):
        begun = time.perf_counter_ns()
        assert libc.pwrite(fd, buffer, 4096, number * 4096) == 4096
        ns += time.perf_counter_ns() - begun
    return ns
parts = [memory + number * apart * 4096 for number in range(writes)]
print(write(parts), flush=True)
os.fsync(fd)
libc.madvise(memory, size, 21)
sys.stdin.readline()
write([ctypes.addressof(small)] * 9)
print('ready', flush=True)
sys.stdin.readline()
print(write(parts), flush=True)
sys.stdin.readline()
";

/// Writes to a file from memory that is swapped out.
fn swap_in(lab: &Lab, path: &Path) -> Outcome {
    let group = Cgroup::v1(lab, "memory")?;
    let mut child = Command::new("python3")
        .args(["-c", WRITER])
        .args([group.path(), path])
        .args([WRITES.to_string(), APART.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Skip::because(format!("python3: {error}")))?;
    let mut input = child.stdin.take().expect("it is a pipe");
    let mut lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
    let mut line = || lines.next().and_then(Result::ok).expect("it says something");
    let mut go = || input.write_all(b"\n").expect("it listens");
    let healthy: u64 = line().parse().expect("a number");
    // What was written to the swap is kept until memory is short: here it is.
    thread::sleep(Duration::from_secs(1));
    group.set("memory.force_empty", "0")?;
    go();
    assert_eq!(line(), "ready");
    let session = Session::tracing(iolat(&["--json", "-p", &child.id().to_string()]));
    let before = swapped_in();
    go();
    let whole: u64 = line().parse().expect("a number");
    let pages = swapped_in() - before;
    let summary = session.interrupt().summary();
    go();
    child.wait().expect("a child can be waited for");
    let known = 1.0 - healthy as f64 / whole as f64;
    println!("{pages} pages swapped in, {known:.3} of {whole} ns is more than {healthy} ns");
    if pages < WRITES as u64 {
        return Err(Skip::because("the kernel does not swap out what it is told to"));
    }
    if Duration::from_nanos(healthy) > WRITES as u32 * Duration::from_millis(1) {
        // Where others have made much of the memory dirty, a disk that is new may be written to slowly (mm/page-writeback.c).
        return Err(Skip::because(format!("the writes by themselves took {healthy} ns")));
    }
    assert!(known > 0.5, "the fault did not happen");
    let operation = summary.operation("pwrite64", &device_of(path));
    println!("{}", summary.outline());
    // What runs, and waits for a CPU, is longer than in the writes before, too.
    let cpu = operation.layer_share("cpu") + operation.layer_share("hypervisor");
    // A wait of whose end the kernel did not tell is counted as missed.
    let untold = if summary.missed() > 0 { operation.layer_share("other") } else { 0.0 };
    assert!(operation.share("memory.swap-in") > known - cpu - untold - 0.05, "{}", operation.outline());
    assert!(operation.layer_share("block") < 0.05, "{}", operation.outline());
    Ok(())
}

/// The swap is on another disk than the file.
fn from_a_partition() -> Outcome {
    let lab = Lab::new();
    let plain = PlainDisk::new(&lab, 64 << 20)?;
    let file = plain.mount.file("data", WRITES * PAGE);
    let device = Loop::over_file(&lab, "swap.img", SWAP)?;
    let _swap = Swap::on(device.node())?;
    swap_in(&lab, &file)
}

/// The swap is a file of the same file system, on the same disk.
fn from_a_file_beside() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 2 * SWAP)?;
    let file = disk.mount.file("data", WRITES * PAGE);
    let space = disk.mount.file("swap", SWAP as usize);
    let _swap = Swap::on(&space)?;
    disk.delay(Duration::from_micros(500));
    swap_in(&lab, &file)
}
