//! What `osdiag runq` costs. Not a test: it prints figures, and runs only with `--tier bench`.

use std::{
    io::{PipeReader, PipeWriter, Read, Write},
    process::{Command, Stdio},
    sync::{Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{runner::Account, trace};
use crate::{
    Outcome, Test,
    bench::{quantile, show, starts},
    lab::{fault::pin, peer::Peer},
    osdiag::Session,
};

/// The benches of this room.
pub(crate) const TESTS: &[Test] = &[
    ("bench_runq_switch", switch),
    ("bench_runq_beside_schedstat", beside_schedstat),
    ("bench_runq_start", start),
];

const ROUNDS: usize = 15;
/// Messages to and fro; each is a wake-up and a switch.
const TURNS: u32 = 60_000;

/// ns for each switch of two threads that wake each other through pipes.
fn ping_pong(cpus: [usize; 2]) -> f64 {
    ping_pong_before(cpus, || ())
}

/// The same; the threads live until `then` has been called.
fn ping_pong_before(cpus: [usize; 2], then: impl FnOnce()) -> f64 {
    let (mut there, ours) = std::io::pipe().expect("pipes exist");
    let (theirs, mut back) = std::io::pipe().expect("pipes exist");
    let done = Barrier::new(3);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(cpus[1]);
            let mut byte = [0];
            while there.read(&mut byte).expect("a pipe works") == 1 {
                back.write_all(&byte).expect("a pipe works");
            }
            done.wait();
        });
        let (counted, count) = mpsc::channel();
        let done = &done;
        scope.spawn(move || {
            counted.send(one_side(cpus[0], ours, theirs)).expect("somebody listens");
            done.wait();
        });
        let time = count.recv().expect("it counts");
        then();
        done.wait();
        time
    })
}

fn one_side(cpu: usize, mut ours: PipeWriter, mut theirs: PipeReader) -> f64 {
    pin(cpu);
    let mut byte = [0];
    let mut turn = || {
        ours.write_all(&byte).expect("a pipe works");
        theirs.read_exact(&mut byte).expect("a pipe works");
    };
    (0..TURNS / 20).for_each(|_| turn());
    let start = Instant::now();
    (0..TURNS).for_each(|_| turn());
    start.elapsed().as_nanos() as f64 / f64::from(2 * TURNS)
}

/// libbpf-tools' `runqlat`, which says nothing when it has begun.
fn runqlat() -> Option<Peer> {
    let peer = Peer::start(Command::new("runqlat").stdout(Stdio::null()).stderr(Stdio::null())).ok()?;
    thread::sleep(Duration::from_millis(1_200));
    Some(peer)
}

fn switch() -> Outcome {
    switch_beside_runqlat("runq", || trace(&[]));
    Ok(())
}

/// Rounds of three: without anything, with a tool of osdiag, with runqlat, one right after the other.
pub(crate) fn switch_beside_runqlat(tool: &str, begin: impl Fn() -> Session) {
    println!("\nns for each switch, median of {ROUNDS} rounds of {} switches [p10, p90]", 2 * TURNS);
    for (name, cpus) in [("on one CPU", [1, 1]), ("across two CPUs", [0, 1])] {
        let (mut off, mut ours, mut theirs, mut ratio) = (vec![], vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            let without = ping_pong(cpus);
            let session = begin();
            // The first of the short samples in which it measures its own cost.
            thread::sleep(Duration::from_millis(200));
            let with = ping_pong(cpus);
            session.interrupt();
            off.push(without);
            ours.push(with - without);
            if let Some(runqlat) = runqlat() {
                let with = ping_pong(cpus);
                drop(runqlat);
                theirs.push(with - without);
                ratio.push(ours[ours.len() - 1] / (with - without));
            }
        }
        println!("{name}");
        show("a switch, without", &off);
        show(&format!("added by osdiag {tool}"), &ours);
        if theirs.is_empty() {
            println!("  runqlat is not installed: nothing to compare with");
            continue;
        }
        show("added by runqlat", &theirs);
        show("osdiag / runqlat, round by round", &ratio);
        println!("  {:<44} {:8.2}", "median / median", quantile(&ours, 0.5) / quantile(&theirs, 0.5));
    }
}

/// How long a wait is by osdiag's account and by the scheduler's, where each wait begins with a wake-up that makes the CPU
/// switch. Both accounts are of this process, whose other threads sleep meanwhile.
fn beside_schedstat() -> Outcome {
    let process = std::process::id();
    let account = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("this process has threads");
        let tids = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok());
        tids.map(|tid| Account::read(process, tid))
            .fold((0, 0), |(ns, slices), account| (ns + account.delay_ns, slices + account.slices))
    };
    println!("\nns a wait, median of {ROUNDS} rounds of {} switches [p10, p90]", 2 * TURNS);
    for (name, cpus) in [("on one CPU", [1, 1]), ("across two CPUs", [0, 1])] {
        let (mut ours, mut theirs, mut ratio) = (vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            let session = trace(&["--by", "process", "-p", &process.to_string()]);
            let (before, mut after) = (account(), (0, 0));
            ping_pong_before(cpus, || after = account());
            let (ns, slices) = (after.0 - before.0, after.1 - before.1);
            let summary = session.interrupt().summary();
            let group = summary.group(&process.to_string());
            let queued_ns = group.delay_ns() - group.wake_ns();
            let (own, known) = (queued_ns as f64 / group.count() as f64, ns as f64 / slices as f64);
            ours.push(own);
            theirs.push(known);
            ratio.push(own / known);
        }
        println!("{name}");
        show("by osdiag runq", &ours);
        show("by schedstat", &theirs);
        show("the one by the other, round by round", &ratio);
    }
    Ok(())
}

fn start() -> Outcome {
    starts(|| trace(&["-i", "200ms"]));
    Ok(())
}
