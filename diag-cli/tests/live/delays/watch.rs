//! The memory of sessions while they last.

use std::{
    fs,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How often a look is taken.
const EVERY: Duration = Duration::from_millis(100);

/// What each of some processes has in memory, time after time.
pub(super) struct Watch<const N: usize> {
    end: mpsc::Sender<()>,
    thread: JoinHandle<[Memory; N]>,
}

impl<const N: usize> Watch<N> {
    /// Begins to look.
    pub(super) fn begin(pids: &[u32; N]) -> Watch<N> {
        let pids = *pids;
        let (end, ended) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut seen: [Memory; N] = std::array::from_fn(|_| Memory(Vec::new()));
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                for (memory, pid) in seen.iter_mut().zip(pids) {
                    memory.0.push(resident(pid));
                }
            }
            seen
        });
        Watch { end, thread }
    }

    /// Ends it.
    pub(super) fn end(self) -> [Memory; N] {
        self.end.send(()).expect("it looks");
        self.thread.join().expect("looking does not panic")
    }
}

/// The bytes that a process has in memory.
pub(super) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let pages: u64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    pages << 10
}

/// Bytes in memory, look by look.
#[derive(Debug)]
pub(super) struct Memory(Vec<u64>);

impl Memory {
    /// The most in the first third of the time, and in the last.
    fn thirds(&self) -> [u64; 2] {
        let third = self.0.len() / 3;
        let most = |part: &[u64]| *part.iter().max().expect("it was looked at");
        [most(&self.0[..third]), most(&self.0[self.0.len() - third..])]
    }

    /// That it does not grow with what comes and goes: by no more than an allocator keeps to itself.
    pub(super) fn assert_flat(&self) {
        self.assert_grows_by_at_most(1 << 20);
    }

    /// That it grows by no more than so many bytes from the first third of the time to the last.
    pub(super) fn assert_grows_by_at_most(&self, bytes: u64) {
        let [first, last] = self.thirds();
        println!("{first} bytes resident in the first third, {last} in the last");
        assert!(last <= first + bytes, "memory grows from {first} to {last} bytes: {self:?}");
    }

    /// That it never is more than so many bytes.
    pub(super) fn assert_at_most(&self, bytes: u64) {
        let most = *self.0.iter().max().expect("it was looked at");
        assert!(most <= bytes, "{most} bytes resident");
    }
}
