//! Every contention that perf recorded, paired to waits: the truth for counts and times.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use super::MS;
use crate::{
    Skip,
    lab::{Lab, attempt, peer::Peer},
};

/// One wait, as perf's events tell it.
pub(super) struct Wait {
    /// The lock's address.
    pub(super) lock: u64,
    /// Whether the waiter kept its CPU.
    pub(super) spins: bool,
    /// When it began, ns of the monotonic clock.
    pub(super) since: u64,
    /// How long it was, ns.
    pub(super) ns: u64,
    /// The lock for which the thread was waiting already, where it was.
    pub(super) within: Option<u64>,
}

/// Who carries a wait from its beginning to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The thread.
    Thread,
    /// The CPU, as whoever spins keeps it.
    Cpu,
}

const RECORD: &[&str] = &[
    "record",
    "-q",
    "-k",
    "CLOCK_MONOTONIC",
    "-m",
    "16M",
    "-e",
    "lock:contention_begin,lock:contention_end",
    "-o",
];

/// perf while it records. Start it before osdiag: at each event perf then looks at the clock first, and what osdiag does at
/// the end of a wait is not in perf's.
pub(super) struct Recording {
    data: PathBuf,
    perf: Peer,
}

impl Recording {
    /// Starts it, for whom `whose` says, and waits until it records.
    pub(super) fn start(lab: &Lab, whose: &[&str]) -> Result<Recording, Skip> {
        let data = lab.path("perf.data");
        let path = data.to_string_lossy();
        attempt("perf", &[RECORD, &[&path, "true"]].concat())
            .map_err(|Skip(why)| Skip::because(format!("perf: {why}")))?;
        let mut command = Command::new("perf");
        command.args(RECORD).arg(&data).args(whose).stdout(Stdio::null());
        let perf = Peer::start(&mut command).expect("it ran above");
        thread::sleep(400 * MS);
        Ok(Recording { data, perf })
    }

    /// Ends it, and gives back the waits. A wait that begins again before it ends is one, as a mutex's does.
    pub(super) fn waits(self, by: By) -> Vec<Wait> {
        drop(self.perf);
        let who = if by == By::Cpu { "cpu,time,event,trace" } else { "tid,time,event,trace" };
        let script = ["script", "--ns", "--show-lost-events", "-F", who, "-i"];
        let output = Command::new("perf").args(script).arg(&self.data).stdin(Stdio::null()).output();
        let text = String::from_utf8_lossy(&output.expect("perf recorded a moment ago").stdout).into_owned();
        assert!(!text.contains("PERF_RECORD_LOST"), "perf lost events");
        let mut open: BTreeMap<&str, Vec<Wait>> = BTreeMap::new();
        let mut ended = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [who, time, event, lock, rest, ..] = words[..] else { panic!("what is {line}?") };
            let now: u64 = time.trim_end_matches(':').replace('.', "").parse().expect("a time in ns");
            let lock = u64::from_str_radix(lock.trim_start_matches("0x"), 16).expect("an address");
            let open = open.entry(who).or_default();
            let known = open.iter().position(|wait| wait.lock == lock);
            match (event, known) {
                ("lock:contention_begin:", None) => {
                    let spins = rest.contains("SPIN") && !rest.contains("MUTEX");
                    if by == By::Cpu && !spins {
                        continue;
                    }
                    let within = open.last().map(|outer| outer.lock);
                    open.push(Wait { lock, spins, since: now, ns: 0, within });
                }
                ("lock:contention_end:", Some(at)) => {
                    let mut wait = open.remove(at);
                    wait.ns = now - wait.since;
                    ended.push(wait);
                }
                _ => {}
            }
        }
        ended
    }
}
