//! Threads that wait for another program to decide: on their system call, or on the page that they touch.

use std::{
    io::Error,
    os::fd::{FromRawFd as _, OwnedFd},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{assert_near, trace};
use crate::{Outcome, Skip, Test};

/// The tests of this room.
pub(crate) const TESTS: &[Test] =
    &[("delays_seccomp_notification", seccomp_notification), ("delays_userfaultfd", userfaultfd)];

const KEPT: Duration = Duration::from_millis(700);

/// A thread of a name that hands out a descriptor, and then is kept waiting until that is closed; how long it says that was.
fn kept_waiting(
    name: &str,
    place: &str,
    work: impl FnOnce(mpsc::Sender<Outcome<OwnedFd>>) + Send + 'static,
) -> Outcome {
    let session = trace(&["--by", "comm", "-p", &std::process::id().to_string()]);
    let (hand, handed) = mpsc::channel();
    let worker = thread::Builder::new().name(name.to_owned());
    let worker = worker
        .spawn(move || {
            work(hand);
        })
        .expect("a thread");
    let kept = handed.recv().expect("it hands out something")?;
    let begun = Instant::now();
    thread::sleep(KEPT);
    let for_ns = begun.elapsed().as_nanos() as u64;
    drop(kept);
    worker.join().expect("no thread panics");
    let summary = session.interrupt().summary();
    let time = summary.time(name);
    assert_near(name, time.at(place, "ipc.other"), for_ns, 0.02, 0);
    assert_near("waits", time.waits("ipc.other"), 1, 0.0, 0);
    Ok(())
}

/// A descriptor that a system call gave.
fn descriptor(what: &str, result: libc::c_long) -> Outcome<OwnedFd> {
    match i32::try_from(result) {
        // SAFETY: it is new, and owned by nothing else.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(Skip::because(format!("{what}: {}", Error::last_os_error()))),
    }
}

/// A filter of this thread alone: who reads the descriptor decides on `getppid`.
fn ask_for_getppid() -> Outcome<OwnedFd> {
    // SAFETY: two macros that compute.
    let statement = |code: u32, k: u32| unsafe { libc::BPF_STMT(code as u16, k) };
    let mut program = [
        // The number is the first word of `struct seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        // SAFETY: as above.
        unsafe {
            libc::BPF_JUMP(
                (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
                libc::SYS_getppid as u32,
                0,
                1,
            )
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program and its length are valid.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const filter,
        )
    };
    descriptor("seccomp", result)
}

fn seccomp_notification() -> Outcome {
    kept_waiting("dl-seccomp", "getppid", |hand| {
        hand.send(ask_for_getppid()).expect("it is taken");
        // SAFETY: no preconditions. It fails when the listener is gone.
        unsafe { libc::getppid() };
    })
}

/// include/uapi/linux/userfaultfd.h, 6.18: `_IOWR(0xAA, 0x3F, struct uffdio_api)`, `_IOWR(0xAA, 0, struct uffdio_register)`.
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFD_API: u64 = 0xaa;
const REGISTER_MISSING: u64 = 1;
const PAGE: usize = 4096;

/// A page whose first touch waits for who reads the descriptor.
fn missing_page() -> Outcome<(OwnedFd, usize)> {
    // SAFETY: a new mapping; the structures are as long as the requests say.
    unsafe {
        let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC);
        let descriptor = descriptor("userfaultfd", fd)?;
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let page = libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED, "mmap: {}", Error::last_os_error());
        let mut api = [UFFD_API, 0, 0];
        let mut range = [page as u64, PAGE as u64, REGISTER_MISSING, 0];
        for (request, argument) in [(UFFDIO_API, api.as_mut_ptr()), (UFFDIO_REGISTER, range.as_mut_ptr())] {
            let result = libc::ioctl(fd as i32, request, argument);
            assert_eq!(result, 0, "userfaultfd: {}", Error::last_os_error());
        }
        Ok((descriptor, page as usize))
    }
}

fn userfaultfd() -> Outcome {
    kept_waiting("dl-uffd", "fault", |hand| {
        let (descriptor, page) = match missing_page() {
            Ok(made) => made,
            Err(skip) => return hand.send(Err(skip)).expect("it is taken"),
        };
        hand.send(Ok(descriptor)).expect("it is taken");
        // SAFETY: a mapping of this thread, which it unmaps when it has read it.
        unsafe {
            (page as *const u8).read_volatile();
            libc::munmap(page as *mut libc::c_void, PAGE);
        }
    })
}
