//! What `osdiag lock` costs for each contention, and what perf costs beside it. Prints figures; runs with `--ignored`.

use std::{
    collections::BTreeMap,
    fs,
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
    fs::remove_file(std::env::temp_dir().join("perf.data")).ok();
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

/// How many contentions a call of the workload has, and how long the programs run for each, ns, by the kernel's account:
/// its own two looks at the clock are in that.
fn contentions(work: &Work, flags: &[&str]) -> (f64, f64) {
    const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";
    let mut worker = Worker::start(work.clone(), MILLIS);
    let mut command = tool("lock", &["--json", "-p", &worker.pid.to_string()]);
    command.args(flags);
    let session = Session::tracing(command);
    fs::write(STATISTICS, "1").expect("the kernel keeps statistics of programs");
    let before = run_ns(session.pid());
    let seen = worker.work();
    let ran = run_ns(session.pid()) - before;
    fs::write(STATISTICS, "0").expect("it did so a moment ago");
    let waits: u64 = session.interrupt().summary().locks().map(super::Lock::count).sum();
    (waits as f64 / seen.held as f64, ran as f64 / waits as f64)
}

/// How long the programs that a process holds have run, ns (kernel/bpf/syscall.c, bpf_prog_show_fdinfo, 6.18).
fn run_ns(pid: u32) -> u64 {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let texts = descriptors.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let mut programs = BTreeMap::new();
    for text in texts {
        let value =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        if let (Some(id), Some(ns)) = (value("prog_id:"), value("run_time_ns:")) {
            programs.insert(id, ns);
        }
    }
    programs.values().sum()
}

fn contention() -> Outcome {
    let lab = Lab::new();
    let perf = perf();
    println!("\nns of CPU added for each contention, median of {ROUNDS} paired rounds [p10, p90]");
    for (name, work) in
        [("tasklist_lock, 4 tasks", Work::Tasklist(4)), ("pipe mutex, 4 tasks", Work::Mutex(4))]
    {
        let (each, ran) = contentions(&work, &[]);
        let (_, with_stacks) = contentions(&work, &["--spin"]);
        println!("{name}: {each:.2} contentions a call");
        println!("  in the programs for each: {ran:.0} ns, with --spin {with_stacks:.0} ns");
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
