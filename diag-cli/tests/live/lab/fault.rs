//! Faults that take a guard: CPU hogs and a frozen file system.

use std::{
    fs::File,
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::Outcome;

/// Binds the calling thread to one CPU.
pub(crate) fn pin(cpu: usize) {
    allow(std::iter::once(cpu));
}

/// Lets this thread run on every CPU again.
pub(crate) fn unpin() {
    allow(0..libc::CPU_SETSIZE.unsigned_abs() as usize);
}

fn allow(cpus: impl Iterator<Item = usize>) {
    // SAFETY: cpu_set_t is an array of integers, for which all zeroes is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: CPU_SET checks the bounds of the set.
    cpus.for_each(|cpu| unsafe { libc::CPU_SET(cpu, &mut set) });
    // SAFETY: the set is valid and its size is given.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
}

/// Asks the kernel to kill this process when its parent thread ends.
pub(crate) fn die_with_parent() {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Processes that do nothing but run on one CPU.
pub(crate) struct Hogs(Vec<Child>);

impl Hogs {
    /// Starts some.
    pub(crate) fn on(cpu: usize, number: usize) -> Hogs {
        let spin = || {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
            // SAFETY: between fork and exec both functions make one system call each, and allocate nothing.
            unsafe {
                command.pre_exec(move || {
                    die_with_parent();
                    pin(cpu);
                    Ok(())
                })
            };
            command.spawn().expect("a shell can spin")
        };
        Hogs((0..number).map(|_| spin()).collect())
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            hog.kill().ok();
            hog.wait().ok();
        }
    }
}

// include/uapi/linux/fs.h: _IOWR('X', 119, int) and _IOWR('X', 120, int).
const FIFREEZE: libc::c_ulong = 0xc004_5877;
const FITHAW: libc::c_ulong = 0xc004_5878;

fn freezer(path: &Path, request: libc::c_ulong) -> std::io::Result<()> {
    let directory = File::open(path)?;
    // SAFETY: the descriptor is open, and neither request looks at its argument.
    match unsafe { libc::ioctl(directory.as_raw_fd(), request, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Thaws a file system, if it is frozen.
pub(crate) fn thaw(path: &Path) {
    freezer(path, FITHAW).ok();
}

/// A frozen file system; it thaws when this is dropped.
pub(crate) struct Frozen(PathBuf);

impl Frozen {
    /// Freezes the file system that `path` is on.
    pub(crate) fn new(path: &Path) -> Outcome<Frozen> {
        freezer(path, FIFREEZE).expect("a file system of the lab freezes");
        Ok(Frozen(path.to_owned()))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        thaw(&self.0);
    }
}
