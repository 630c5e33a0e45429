//! A process that is stuck in exec and holds the lock that much of `/proc/PID` takes.

use std::{
    ffi::CString,
    fs,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    time::Duration,
};

use super::{disk::SlowDisk, stuck::Stopped, wait_until};
use crate::Outcome;

/// It goes on when this is dropped, and ends.
pub(crate) struct StuckExec {
    pid: libc::pid_t,
    stopped: Option<Stopped>,
}

impl StuckExec {
    /// Lets a child have a file of the disk's server open that is to be closed on exec, stops the server, and lets the child
    /// call exec. A signal makes its sleep an uninterruptible one (`request_wait_answer`, fs/fuse/dev.c, 6.18).
    pub(crate) fn new(disk: &SlowDisk) -> Outcome<StuckExec> {
        let path = CString::new(disk.file().as_os_str().as_bytes()).expect("a path has no zero");
        let program = c"/bin/true";
        let arguments = [program.as_ptr(), std::ptr::null()];
        let (gate, opener) = std::io::pipe().expect("there are pipes");
        let (said, saying) = std::io::pipe().expect("there are pipes");
        let (gate_fd, saying_fd) = (gate.as_raw_fd(), saying.as_raw_fd());
        // SAFETY: between fork and exec the child makes system calls alone, on memory that it has a copy of.
        let pid = unsafe {
            let pid = libc::fork();
            if pid == 0 {
                let mut byte = 0u8;
                libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
                libc::write(saying_fd, (&raw const byte).cast(), 1);
                libc::read(gate_fd, (&raw mut byte).cast(), 1);
                libc::execv(program.as_ptr(), arguments.as_ptr());
                libc::_exit(1);
            }
            pid
        };
        assert!(pid > 0, "a child can be forked");
        drop(saying);
        std::io::Read::read_exact(&mut &said, &mut [0]).expect("the child opens the file");
        let stopped = Stopped::new(disk.server());
        let stuck = StuckExec { pid, stopped: Some(stopped) };
        std::io::Write::write_all(&mut &opener, &[0]).expect("the child listens");
        // In its new memory there are no arguments yet when files are closed. Most of what tells more takes the lock.
        let arguments = format!("/proc/{pid}/cmdline");
        let waits = || fs::read(&arguments).is_ok_and(|line| line.is_empty()) && stuck.state() == Some('S');
        assert!(wait_until(Duration::from_secs(5), waits), "exec does not wait for the server");
        // SAFETY: kill takes two numbers.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let sleeps = || stuck.state() == Some('D');
        assert!(wait_until(Duration::from_secs(5), sleeps), "exec does not wait uninterruptibly");
        Ok(stuck)
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.cast_unsigned()
    }

    /// Its state, as ps(1) shows it.
    pub(crate) fn state(&self) -> Option<char> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        status.lines().find_map(|line| line.strip_prefix("State:"))?.trim().chars().next()
    }
}

impl Drop for StuckExec {
    fn drop(&mut self) {
        drop(self.stopped.take());
        // SAFETY: the child is this process' own, and has not been waited for.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}
