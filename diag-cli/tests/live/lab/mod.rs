//! The fault lab: a temporary directory, and guards for everything that is set up on the machine.
//!
//! Every guard takes its own thing down when dropped, also while a test panics. For a run that was killed there is
//! [`clean_after_the_dead`]: every trace of a lab carries the lab's name, which carries the process that made it.

pub(crate) mod cgroup;
pub(crate) mod crowd;
pub(crate) mod disk;
pub(crate) mod exec;
pub(crate) mod fault;
pub(crate) mod image;
pub(crate) mod peer;
pub(crate) mod python;
pub(crate) mod sampler;
pub(crate) mod setting;
pub(crate) mod stuck;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{Outcome, Skip};

/// What the names of everything that labs leave on a machine begin with.
pub(crate) const PREFIX: &str = "osdiag-lab.";

/// Whether this process may set up a lab.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// A directory of its own, on the file system of the temporary directory.
pub(crate) struct Lab {
    root: PathBuf,
}

impl Lab {
    /// Makes the directory.
    pub(crate) fn new() -> Lab {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("{PREFIX}{}.{number}", std::process::id()));
        fs::create_dir(&root).expect("the temporary directory takes a lab");
        Lab { root }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The name that marks what belongs to this lab elsewhere on the machine.
    pub(crate) fn name(&self) -> &str {
        self.root.file_name().and_then(|name| name.to_str()).expect("a lab's name is plain")
    }

    /// A new, empty directory in it.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).expect("a lab takes a directory");
        path
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).ok();
    }
}

/// Runs a program; `Err` where it is missing. That it fails is a failure of the test.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Outcome<String> {
    complete(program, arguments).map(|said| said.unwrap_or_else(|complaint| panic!("{complaint}")))
}

/// Runs a program that fails where this machine lacks something; `Err` with its complaint where it is missing or fails.
pub(crate) fn attempt(program: &str, arguments: &[&str]) -> Outcome<String> {
    complete(program, arguments)?.map_err(Skip)
}

/// What a program says, or complains of; `Err` where it is missing.
fn complete(program: &str, arguments: &[&str]) -> Outcome<Result<String, String>> {
    let output = match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Skip::because(format!("{program}: {error}")));
        }
        output => output.unwrap_or_else(|error| panic!("{program} cannot be started: {error}")),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(Ok(text(&output.stdout)));
    }
    Ok(Err(format!("{program} {}: {}", arguments.join(" "), text(&output.stderr))))
}

/// Waits until `done`, or gives up after `limit` and says so.
pub(crate) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !done() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Unmounts, first politely, then at any price.
pub(crate) fn unmount(path: &Path) {
    let text = path.to_string_lossy();
    if attempt("umount", &[&text]).is_err() {
        attempt("umount", &["--lazy", &text]).ok();
    }
}

/// Takes down what killed runs left behind.
pub(crate) fn clean_after_the_dead() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next()) else {
            continue;
        };
        if Path::new("/proc").join(process).exists() {
            continue;
        }
        eprintln!("cleaning up after a killed run: {}", entry.path().display());
        setting::restore_all(&entry.path());
        // Without the file system below it, a loop device no longer tells what it is over.
        let loops = image::attached_to(&entry.path());
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let below = format!("{}/", entry.path().display());
        for target in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if target.starts_with(&below) {
                fault::thaw(Path::new(target));
                unmount(Path::new(target));
            }
        }
        loops.iter().for_each(|node| image::detach(node));
        cgroup::remove_all(&name);
        fs::remove_dir_all(entry.path()).ok();
    }
}
