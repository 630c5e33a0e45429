//! What `osdiag lock` costs for each contention, and what perf costs beside it. Prints figures; runs with `--tier bench`.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use super::{
    perf,
    work::{Seen, Work, Worker},
};
use crate::{
    Outcome, Test,
    bench::show,
    lab::{Lab, peer::Peer},
    osdiag::{Session, tool},
};

/// The benches of this room.
pub(crate) const BENCHES: &[Test] = &[("bench_lock_contention", contention)];

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
    Perf(Peer),
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
                let peer = Peer::start(&mut command).expect("perf was there a moment ago");
                if flags == perf::BPF {
                    perf::attached(&peer);
                }
                Watching::Perf(peer)
            }
        };
        // Both attach, and osdiag's first sample of its own cost ends.
        std::thread::sleep(Duration::from_millis(400));
        watching
    }
}

impl Watching {
    fn pid(&self) -> Option<u32> {
        match self {
            Watching::Nobody => None,
            Watching::Osdiag(session) => Some(session.pid()),
            Watching::Perf(perf) => Some(perf.pid()),
        }
    }

    fn end(self) {
        match self {
            Watching::Nobody => {}
            Watching::Osdiag(session) => drop(session.interrupt()),
            Watching::Perf(peer) => drop(peer),
        }
    }
}

const RECORD: &[&str] =
    &["record", "-q", "-a", "-g", "-o", "perf.data", "-e", "lock:contention_begin,lock:contention_end"];

/// What perf can do here: `-b` where it is built with it, else the record from which it makes the same report.
fn perf() -> Option<&'static [&'static str]> {
    let found = [perf::BPF, RECORD].into_iter().find(|flags| perf::works(flags));
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

/// How many contentions there are for each of the workload's calls, and how long the watcher's programs run for each, ns,
/// by the kernel's account: its own two looks at the clock are in that.
fn in_programs(work: &Work, watcher: Watcher, lab: &Lab) -> (f64, f64) {
    const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";
    let mut worker = Worker::start(work.clone(), MILLIS);
    let watching = watcher.begin(lab);
    let pid = watching.pid().expect("somebody watches");
    fs::write(STATISTICS, "1").expect("the kernel keeps statistics of programs");
    let before = programs(pid);
    let seen = worker.work();
    let after = programs(pid);
    fs::write(STATISTICS, "0").expect("it did so a moment ago");
    watching.end();
    let since = |id: &u64| before.get(id).copied().unwrap_or_default();
    let ns: u64 = after.iter().map(|(id, ran)| ran.0 - since(id).0).sum();
    // A program runs once at the beginning of each contention, and none runs more often.
    let contentions = after.iter().map(|(id, ran)| ran.1 - since(id).1).max().unwrap_or_default() as f64;
    (contentions / seen.held as f64, ns as f64 / contentions)
}

/// How long, ns, and how often the programs have run that a process holds, by their number (kernel/bpf/syscall.c,
/// bpf_prog_show_fdinfo, 6.18).
pub(super) fn programs(pid: u32) -> BTreeMap<u64, (u64, u64)> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let texts = descriptors.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let program = |text: String| {
        let value =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        Some((value("prog_id:")?, (value("run_time_ns:")?, value("run_cnt:")?)))
    };
    texts.filter_map(program).collect()
}

fn contention() -> Outcome {
    let lab = Lab::new();
    let perf = perf();
    let mut watchers =
        vec![("osdiag lock", Watcher::Osdiag(&[])), ("osdiag lock --spin", Watcher::Osdiag(&["--spin"]))];
    match perf {
        Some(flags) if flags[0] == "lock" => {
            watchers.push(("perf lock contention -ab", Watcher::Perf(flags)));
        }
        Some(flags) => watchers.push(("perf record -g (no -b here)", Watcher::Perf(flags))),
        None => println!("perf is not to be had"),
    }
    println!("\nns, medians of {ROUNDS} rounds [p10, p90]");
    for (name, work) in [
        ("tasklist_lock, 4 tasks", Work::Tasklist(4)),
        ("pipe mutex, 4 tasks", Work::Mutex(4)),
        ("i_rwsem, 4 tasks", Work::Overwrite(4)),
    ] {
        println!("{name}");
        for &(watcher_name, watcher) in &watchers {
            println!("  {watcher_name}");
            if watcher != Watcher::Perf(RECORD) {
                let rounds: Vec<_> = (0..ROUNDS).map(|_| in_programs(&work, watcher, &lab)).collect();
                let (number, ns): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
                show("contentions for each call", &number);
                show("in the programs for each contention", &ns);
            }
            let mut added = Vec::new();
            for _ in 0..ROUNDS {
                let (without, _) = cost(&work, Watcher::Nobody, &lab);
                let (with, _) = cost(&work, watcher, &lab);
                added.push(with - without);
            }
            show("CPU time added to each call", &added);
        }
    }
    Ok(())
}
