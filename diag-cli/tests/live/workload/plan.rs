//! What a workload is to do, and what it tells afterwards.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::Call;

/// What a workload process is to do.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// The socket at which the test listens.
    pub(crate) desk: PathBuf,
    /// The name that the process gives itself: bytes, since names need not be text.
    pub(crate) comm: Option<Vec<u8>>,
    /// The cgroups that it enters first.
    pub(crate) cgroups: Vec<PathBuf>,
    /// The CPU to which it binds itself.
    pub(crate) cpu: Option<usize>,
    /// Whether it runs before everything else on its CPU.
    pub(crate) preferred: bool,
    /// How nice it is.
    pub(crate) nice: i32,
    /// A child process that does its own jobs at the same time.
    pub(crate) child: Option<Box<Plan>>,
    /// What its threads do, all at the same time.
    pub(crate) jobs: Vec<Job>,
    /// Its exit status.
    pub(crate) exit: u8,
}

impl Plan {
    /// The arguments with which the tests become this workload.
    pub(crate) fn arguments(&self) -> [String; 2] {
        ["--lab-workload".to_owned(), serde_json::to_string(self).expect("a plan is plain data")]
    }
}

/// How a job opens its file.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Open {
    /// Past the page cache.
    pub(crate) direct: bool,
    /// At the end only.
    pub(crate) append: bool,
    /// Whether each thread has a file of its own, named by its number.
    pub(crate) each: bool,
}

/// What one or more threads do.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Job {
    /// How many threads do it.
    pub(crate) threads: usize,
    /// The file that they work on.
    pub(crate) file: OsString,
    /// How it is opened.
    pub(crate) open: Open,
    /// What is done again and again.
    pub(crate) step: Step,
    /// How often at most, by each thread.
    pub(crate) count: u64,
    /// How long at most.
    pub(crate) limit: Duration,
}

impl Job {
    /// A job of one thread that does a step so often.
    pub(crate) fn new(file: &Path, step: Step, count: u64) -> Job {
        let limit = Duration::from_secs(60);
        Job { threads: 1, file: file.into(), open: Open::default(), step, count, limit }
    }

    /// The same, by several threads.
    pub(crate) fn threads(self, threads: usize) -> Job {
        Job { threads, ..self }
    }

    /// The same on files opened in another way.
    pub(crate) fn open(self, open: Open) -> Job {
        Job { open, ..self }
    }

    /// The same, for so long.
    pub(crate) fn lasting(self, limit: Duration) -> Job {
        Job { limit, count: u64::MAX, ..self }
    }
}

/// One round of a job.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Step {
    /// One transfer.
    Transfer {
        /// The system call.
        call: Call,
        /// How many bytes.
        block: usize,
        /// Over how much of the file; blocks follow each other, and begin anew at the end.
        span: u64,
        /// In an order without order.
        random: bool,
        /// Drops the file from the page cache before.
        evict: bool,
        /// The call that follows each transfer.
        sync: Option<Call>,
    },
    /// Changes the file's attributes and nothing else, then `fsync`.
    Touch,
    /// Every traced call: the first once, the second twice, and so on.
    Every,
    /// Reads and writes that are no file I/O: pipes, sockets, terminals, /proc, /sys, /dev/zero.
    Elsewhere,
}

impl Step {
    /// A transfer of blocks that follow each other.
    pub(crate) fn transfer(call: Call, block: usize, span: u64) -> Step {
        Step::Transfer { call, block, span, random: false, evict: false, sync: None }
    }
}

/// What a process says about the calls of one kind.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Samples {
    /// How long each took, ns.
    pub(crate) ns: Vec<u64>,
    /// Bytes that they moved.
    pub(crate) bytes: u64,
    /// How long their threads waited for a CPU meanwhile, as the scheduler counts it, ns.
    pub(crate) run_delay_ns: u64,
    /// How long they were on a CPU meanwhile, as the scheduler counts it, ns. It may count at the next tick, so this is
    /// true of many calls together.
    pub(crate) on_cpu_ns: u64,
}

impl Samples {
    /// All of them together, ns.
    pub(crate) fn sum(&self) -> u64 {
        self.ns.iter().sum()
    }

    /// The smallest value that so many per cent of the calls do not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        let mut sorted = self.ns.clone();
        sorted.sort_unstable();
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    /// Adds those of another thread or process.
    pub(crate) fn add(&mut self, other: &Samples) {
        self.ns.extend(&other.ns);
        self.bytes += other.bytes;
        self.run_delay_ns += other.run_delay_ns;
        self.on_cpu_ns += other.on_cpu_ns;
    }
}

/// What a workload tells at its end.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    /// By system call.
    pub(crate) samples: BTreeMap<Call, Samples>,
}
