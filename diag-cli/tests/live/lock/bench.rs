//! What `osdiag lock` costs for each contention, and what perf costs beside it. Prints figures; runs with `--ignored`.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::work::{Seen, Work, Worker};
use crate::{
    Outcome, Test,
    bench::show,
    lab::Lab,
    osdiag::{Session, tool},
};

/// The benches of this room.
pub(crate) const BENCHES: &[Test] = &[("cost_lock_contention", contention)];

const ROUNDS: usize = 9;
const MILLIS: u64 = 400;

/// Who watches while a workload contends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watcher {
    Nobody,
    Osdiag(&'static [&'static str]),
    Perf(&'static [&'static str]),
}

/// A watcher at work.
enum Watching {
    Nobody,
    Osdiag(Session),
    Perf(Child),
}

impl Watcher {
    fn begin(self, lab: &Lab) -> Watching {
        let watching = match self {
            Watcher::Nobody => return Watching::Nobody,
            Watcher::Osdiag(flags) => {
                let mut command = tool("lock", &["--json"]);
                command.args(flags);
                Watching::Osdiag(Session::tracing(command))
            }
            Watcher::Perf(flags) => {
                let mut command = Command::new("perf");
                command.args(flags).current_dir(lab.path("")).stdout(Stdio::null()).stderr(Stdio::null());
                Watching::Perf(command.spawn().expect("perf was there a moment ago"))
            }
        };
        // Both attach, and osdiag's first sample of its own cost ends.
        std::thread::sleep(Duration::from_millis(400));
        watching
    }
}

impl Watching {
    fn end(self) {
        match self {
            Watching::Nobody => {}
            Watching::Osdiag(session) => drop(session.interrupt()),
            Watching::Perf(mut child) => {
                // SAFETY: kill takes two numbers; the process is a child that has not been waited for.
                unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
                child.wait().ok();
            }
        }
    }
}

/// What perf can do here: `-b` where it is built with it, else the record from which it makes the same report.
fn perf() -> Option<&'static [&'static str]> {
    const BPF: &[&str] = &["lock", "contention", "-ab"];
    const RECORD: &[&str] =
        &["record", "-q", "-a", "-g", "-o", "perf.data", "-e", "lock:contention_begin,lock:contention_end"];
    let works = |flags: &[&str]| {
        let output =
            Command::new("perf").args(flags).args(["--", "true"]).current_dir(std::env::temp_dir()).output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = [BPF, RECORD].into_iter().find(|flags| works(flags));
    std::fs::remove_file(std::env::temp_dir().join("perf.data")).ok();
    found
}

/// ns of CPU for each call: two CPUs do nothing else.
fn cost(work: &Work, watcher: Watcher, lab: &Lab) -> (f64, Seen) {
    let mut worker = Worker::start(work.clone(), MILLIS);
    let watching = watcher.begin(lab);
    let seen = worker.work();
    watching.end();
    (2.0 * MILLIS as f64 * 1e6 / seen.held as f64, seen)
}

/// How many contentions a call of the workload has.
fn contentions_per_call(work: &Work) -> f64 {
    let mut worker = Worker::start(work.clone(), MILLIS);
    let session = Session::tracing(tool("lock", &["--json", "-p", &worker.pid.to_string()]));
    let seen = worker.work();
    let waits: u64 = session.interrupt().summary().locks().map(super::Lock::count).sum();
    waits as f64 / seen.held as f64
}

fn contention() -> Outcome {
    let lab = Lab::new();
    let perf = perf();
    println!("\nns of CPU added for each contention, median of {ROUNDS} paired rounds [p10, p90]");
    for (name, work) in
        [("tasklist_lock, 2 tasks spin", Work::Tasklist(2)), ("futile mutex, 4 tasks", Work::Mutex(4))]
    {
        let each = contentions_per_call(&work);
        println!("{name}: {each:.2} contentions a call");
        let mut watchers =
            vec![("osdiag lock", Watcher::Osdiag(&[])), ("osdiag lock --spin", Watcher::Osdiag(&["--spin"]))];
        if let Some(flags) = perf {
            let name =
                if flags[0] == "lock" { "perf lock contention -ab" } else { "perf record -g (no -b here)" };
            watchers.push((name, Watcher::Perf(flags)));
        } else {
            println!("  perf is not to be had");
        }
        for (watcher_name, watcher) in watchers {
            let mut added = Vec::new();
            for _ in 0..ROUNDS {
                let (without, _) = cost(&work, Watcher::Nobody, &lab);
                let (with, _) = cost(&work, watcher, &lab);
                added.push((with - without) / each);
            }
            show(watcher_name, &added);
        }
    }
    Ok(())
}
