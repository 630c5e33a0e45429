//! The course of a session, whatever is traced: how it ends, what becomes of its command, an output that nobody reads.

pub(crate) mod command;
pub(crate) mod course;
pub(crate) mod output;
pub(crate) mod signals;

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use crate::{
    lab::wait_until,
    osdiag::{Session, iolat},
    record::{Record, number},
};

/// How long something may take on a busy machine that takes no time on an idle one.
const MOMENT: Duration = Duration::from_secs(1);

/// How long a whole session may take.
const LONG: Duration = Duration::from_secs(20);

/// A session that runs a script.
fn running(flags: &[&str], script: &str) -> Command {
    let mut command = iolat(&["--json"]);
    command.args(flags).args(["--", "sh", "-c", script]);
    command
}

/// How long a record says that it lasted.
fn lasted_ns(record: &Record) -> u64 {
    number(&record.0["duration_ns"])
}

/// A number of `/proc/PID/status` that is a set of signals.
fn signals_of(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

/// Waits until a session listens for signals: until then they have their usual effect.
fn wait_until_it_listens(session: &Session) {
    let term = 1 << (libc::SIGTERM - 1);
    let listens = || signals_of(session.pid(), "SigBlk") & term != 0;
    assert!(wait_until(LONG, listens), "never listened: {}", session.complaints());
}

/// How many eBPF programs a process holds.
fn programs_of(pid: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = files.filter_map(|file| fs::read_link(file.path()).ok());
    links.filter(|link| link == Path::new("anon_inode:bpf-prog")).count()
}

/// Waits for an end; returns it, and how long it took to come.
fn ended(session: Session) -> (Option<i32>, String, Duration) {
    let finished = session.finish();
    let status: ExitStatus = finished.status;
    (status.code(), finished.err, finished.waited)
}

/// A pipe that is full: what may be written to, and what may be read from.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
    set_blocking(&writer, false);
    let chunk = [b'\n'; 4096];
    // SAFETY: a buffer and its length.
    while unsafe { libc::write(writer.as_raw_fd(), chunk.as_ptr().cast(), chunk.len()) } > 0 {}
    set_blocking(&writer, true);
    (reader, writer)
}

fn set_blocking(file: &impl AsFd, blocking: bool) {
    let flags = if blocking { 0 } else { libc::O_NONBLOCK };
    // SAFETY: fcntl with numbers alone.
    let set = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_SETFL, flags) };
    assert_eq!(set, 0);
}

/// Whether a process is there and no zombie.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits until a script has written a number into a file.
fn number_in(path: &Path) -> i32 {
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if let Some(number) = text.strip_suffix('\n').and_then(|text| text.trim().parse().ok()) {
            return number;
        }
        assert!(start.elapsed() < LONG, "nothing in {}", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}
