//! The calls that take a lock, each to be made again and again by a thread of a workload.

use std::{ffi::CString, os::unix::ffi::OsStrExt, path::Path, sync::atomic::AtomicU32};

use crate::lab::fault::unpin;

/// What a thread does again and again.
pub(super) type Turn = Box<dyn FnMut() + Send>;

/// Two words of which threads sleep on one and wake those on the other.
static WOKEN: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

extern "C" fn nothing(_: libc::c_int) {}

pub(super) fn timing(number: usize, fd: libc::c_int) -> Turn {
    let [mine, others] = [number % 2, (number + 1) % 2].map(|word| &WOKEN[word]);
    let least = libc::timespec { tv_sec: 0, tv_nsec: 20_000 + 1_300 * number as libc::c_long };
    let again = libc::itimerspec { it_interval: least, it_value: least };
    let mut armed = false;
    // SAFETY: structs of numbers; the kernel fills in the timer and reads the others, and none has to outlive its call; the
    // words live for ever.
    Box::new(move || unsafe {
        if !armed && number.is_multiple_of(2) {
            armed = true;
            let handler: extern "C" fn(libc::c_int) = nothing;
            libc::signal(libc::SIGALRM, handler as libc::sighandler_t);
            let mut event: libc::sigevent = std::mem::zeroed();
            (event.sigev_notify, event.sigev_signo) = (libc::SIGEV_THREAD_ID, libc::SIGALRM);
            event.sigev_notify_thread_id = libc::gettid();
            let mut timer: libc::timer_t = std::mem::zeroed();
            assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer), 0);
            assert_eq!(libc::timer_settime(timer, 0, &again, std::ptr::null_mut()), 0);
            unpin();
        }
        for _ in 0..16 {
            libc::close(libc::dup(fd));
        }
        libc::syscall(libc::SYS_futex, others.as_ptr(), libc::FUTEX_WAKE, 8);
        libc::syscall(libc::SYS_futex, mine.as_ptr(), libc::FUTEX_WAIT, 0, &raw const least);
    })
}

pub(super) fn set_group() {
    // SAFETY: setpgid takes two numbers.
    unsafe { libc::setpgid(0, 0) };
}

pub(super) fn open(path: &Path, flags: libc::c_int) -> libc::c_int {
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path has no zero");
    // SAFETY: the path is a C string.
    let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) };
    assert!(fd >= 0, "{path:?}: {}", std::io::Error::last_os_error());
    fd
}

/// 4 KiB where the disk wants them.
#[repr(align(4096))]
struct Block([u8; 4096]);

pub(super) fn appending(path: &Path) -> Turn {
    let fd = open(path, libc::O_WRONLY | libc::O_APPEND | libc::O_DIRECT);
    let block = Box::new(Block([7; 4096]));
    Box::new(move || {
        // SAFETY: the buffer is as long as said.
        let written = unsafe { libc::write(fd, block.0.as_ptr().cast(), block.0.len()) };
        assert!(written > 0, "write: {}", std::io::Error::last_os_error());
    })
}

pub(super) fn reading(path: &Path) -> Turn {
    let fd = open(path, libc::O_RDONLY | libc::O_DIRECT);
    let mut block = Box::new(Block([0; 4096]));
    Box::new(move || {
        // SAFETY: the buffer is as long as said.
        unsafe { libc::pread(fd, block.0.as_mut_ptr().cast(), block.0.len(), 0) };
    })
}

/// Reads a block at the descriptor's own position, and goes back at the end.
pub(super) fn reading_on(fd: libc::c_int) -> Turn {
    let mut block = Box::new(Block([0; 4096]));
    Box::new(move || {
        // SAFETY: the buffer is as long as said.
        if unsafe { libc::read(fd, block.0.as_mut_ptr().cast(), block.0.len()) } <= 0 {
            // SAFETY: lseek takes numbers.
            unsafe { libc::lseek(fd, 0, libc::SEEK_SET) };
        }
    })
}

pub(super) fn seeking(path: &Path) -> Turn {
    let fd = open(path, libc::O_RDONLY);
    Box::new(move || {
        // SAFETY: lseek takes numbers.
        unsafe { libc::lseek(fd, 0, libc::SEEK_DATA) };
    })
}

/// How much memory the holder of the `mmap_lock` works on.
const MEMORY: usize = 64 << 20;

fn map(bytes: usize) -> usize {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE);
    // SAFETY: a new mapping.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
    start as usize
}

pub(super) fn protecting() -> Turn {
    let start = map(MEMORY);
    // SAFETY: the range was mapped above. Small pages, so that there is something to do.
    unsafe { libc::madvise(start as *mut _, MEMORY, libc::MADV_NOHUGEPAGE) };
    let mut turn = 0;
    Box::new(move || {
        turn += 1;
        let write = if turn % 2 == 0 { libc::PROT_WRITE } else { 0 };
        // SAFETY: nobody uses the range.
        unsafe { libc::mprotect(start as *mut _, MEMORY, libc::PROT_READ | write) };
    })
}

pub(super) fn looking() -> Turn {
    let start = map(4096);
    Box::new(move || {
        let mut resident = 0u8;
        // SAFETY: one page was mapped above, and one byte tells of it.
        unsafe { libc::mincore(start as *mut _, 4096, &mut resident) };
    })
}

/// As much as a pipe takes.
const PIPE: usize = 1 << 20;

pub(super) fn pipe() -> [libc::c_int; 2] {
    let mut fds = [0; 2];
    // SAFETY: pipe fills in two descriptors; fcntl takes numbers.
    let size = unsafe {
        assert_eq!(libc::pipe(fds.as_mut_ptr()), 0, "pipe: {}", std::io::Error::last_os_error());
        libc::fcntl(fds[1], libc::F_SETPIPE_SZ, PIPE as libc::c_int)
    };
    assert!(size >= PIPE as libc::c_int, "F_SETPIPE_SZ: {}", std::io::Error::last_os_error());
    fds
}

/// How much there is in a pipe.
pub(super) fn ask(pipe: [libc::c_int; 2]) {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD fills in a number.
    unsafe { libc::ioctl(pipe[0], libc::FIONREAD, &mut bytes) };
}

pub(super) fn copying() -> (Turn, Turn) {
    let fds = pipe();
    let mut data = vec![7u8; PIPE];
    let hold = move || {
        // SAFETY: the buffer is as long as said, and the pipe takes all of it.
        unsafe {
            libc::write(fds[1], data.as_ptr().cast(), data.len());
            libc::read(fds[0], data.as_mut_ptr().cast(), data.len());
        }
    };
    (Box::new(hold), Box::new(move || ask(fds)))
}
