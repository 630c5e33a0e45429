//! Faults in which tasks are stuck for as long as a guard lives.

use std::{
    ffi::CString,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Lab, cgroup::Cgroup, run};
use crate::Outcome;

fn signal(pid: u32, signal: libc::c_int) {
    // SAFETY: kill takes two numbers.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

/// A stopped process; it goes on when this is dropped.
pub(crate) struct Stopped(u32);

impl Stopped {
    /// Stops it.
    pub(crate) fn new(pid: u32) -> Stopped {
        signal(pid, libc::SIGSTOP);
        Stopped(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, libc::SIGCONT);
    }
}

/// A process whose threads a tracer stops; they go on, untraced, when this is dropped, by the thread that made it.
pub(crate) struct Traced(Vec<libc::pid_t>);

impl Traced {
    /// Stops them.
    pub(crate) fn new(pid: u32) -> Traced {
        let nothing = std::ptr::null_mut::<libc::c_void>();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there").flatten();
        let threads = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
        let stop = |&thread: &libc::pid_t| {
            // SAFETY: requests that read and write no memory of this process but the status.
            unsafe {
                let mut status = 0;
                libc::ptrace(libc::PTRACE_SEIZE, thread, nothing, nothing) == 0
                    && libc::ptrace(libc::PTRACE_INTERRUPT, thread, nothing, nothing) == 0
                    && libc::waitpid(thread, &raw mut status, libc::__WALL) == thread
            }
        };
        Traced(threads.filter(stop).collect())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let nothing = std::ptr::null_mut::<libc::c_void>();
        for &thread in &self.0 {
            // SAFETY: as above.
            unsafe { libc::ptrace(libc::PTRACE_DETACH, thread, nothing, nothing) };
        }
    }
}

/// Starts a program by vfork whose child opens `path` before it calls exec; returns when it has.
pub(crate) fn vfork_into_open(path: &Path) {
    let program = c"/bin/true";
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path has no zero");
    let arguments = [program.as_ptr().cast_mut(), std::ptr::null_mut()];
    let environment = [std::ptr::null_mut()];
    // SAFETY: actions are initialised before they are used and destroyed after; all strings and lists outlive the call and end
    // with a zero.
    unsafe {
        let mut actions: libc::posix_spawn_file_actions_t = std::mem::zeroed();
        libc::posix_spawn_file_actions_init(&raw mut actions);
        libc::posix_spawn_file_actions_addopen(&raw mut actions, 9, path.as_ptr(), libc::O_RDONLY, 0);
        let mut child = 0;
        let failed = libc::posix_spawn(
            &raw mut child,
            program.as_ptr(),
            &raw const actions,
            std::ptr::null(),
            arguments.as_ptr(),
            environment.as_ptr(),
        );
        libc::posix_spawn_file_actions_destroy(&raw mut actions);
        if failed == 0 {
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
}

/// A thread of the tests in vfork, whose child waits at a FIFO that nobody writes to; the child is let go when this is dropped.
pub(crate) struct Vforking {
    fifo: PathBuf,
    thread: Option<JoinHandle<Duration>>,
}

impl Vforking {
    /// Starts the thread.
    pub(crate) fn new(lab: &Lab) -> Outcome<Vforking> {
        let fifo = lab.path("fifo");
        run("mkfifo", &[&fifo.to_string_lossy()])?;
        let path = fifo.clone();
        let thread = thread::spawn(move || {
            let start = Instant::now();
            vfork_into_open(&path);
            start.elapsed()
        });
        Ok(Vforking { fifo, thread: Some(thread) })
    }

    /// Lets the child go on; returns how long its parent was stuck, and some microseconds.
    pub(crate) fn end(mut self) -> Duration {
        self.release();
        self.thread.take().expect("it has not ended").join().expect("the thread does not panic")
    }

    fn release(&self) {
        // Both ways, so that opening it waits for nobody.
        let writer = fs::OpenOptions::new().read(true).write(true).open(&self.fifo);
        thread::sleep(Duration::from_millis(50));
        drop(writer);
    }
}

impl Drop for Vforking {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.release();
            thread.join().ok();
        }
    }
}

/// The children of a process; they are killed when this is dropped.
pub(crate) struct ChildrenOf(pub u32);

impl Drop for ChildrenOf {
    fn drop(&mut self) {
        for child in children(self.0) {
            signal(child, libc::SIGKILL);
        }
    }
}

/// The processes whose parent this one is.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let output = Command::new("ps").args(["-o", "pid=", "--ppid", &pid.to_string()]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// A v1 freezer cgroup whose processes are frozen; they thaw when this is dropped.
pub(crate) struct FrozenCgroup(pub Cgroup);

impl FrozenCgroup {
    /// Freezes all that is in it.
    pub(crate) fn freeze(&self) -> Outcome {
        self.0.set("freezer.state", "FROZEN")?;
        let frozen = || self.0.get("freezer.state").is_ok_and(|state| state.trim() == "FROZEN");
        assert!(super::wait_until(Duration::from_secs(5), frozen), "the cgroup does not freeze");
        Ok(())
    }
}

impl Drop for FrozenCgroup {
    fn drop(&mut self) {
        self.0.release("freezer.state", "THAWED");
    }
}
