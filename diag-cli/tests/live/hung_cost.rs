//! What `osdiag hung` costs, and how late it is. Not tests: they print figures, and run only with `--tier bench`.

use std::{
    io::{Read as _, Write as _},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use crate::{
    Outcome, Test,
    bench::{CALLS, ROUNDS, show, time},
    hung::{THRESHOLD, hung_of, lateness, one_write},
    lab::{
        Lab,
        fault::{Frozen, pin},
        image::PlainDisk,
    },
    osdiag::{Session, tool},
    record::number,
    workload::Desk,
};

/// The benches of this room.
pub(crate) const TESTS: &[Test] =
    &[("bench_hung_switch", switch), ("bench_hung_looks", looks), ("bench_hung_lateness", how_late)];

/// ns for each context switch of two threads on one CPU that hand each other the turn.
fn turns() -> f64 {
    let (mut ping, mut pinged) = std::io::pipe().expect("pipes exist");
    let (mut pong, mut ponged) = std::io::pipe().expect("pipes exist");
    let other = thread::spawn(move || {
        pin(1);
        let mut byte = [0];
        while ping.read(&mut byte).is_ok_and(|read| read == 1) {
            ponged.write_all(&byte).expect("pipes work");
        }
    });
    let one = thread::spawn(move || {
        pin(1);
        let mut byte = [0];
        time(|| pinged.write_all(&byte).and_then(|()| pong.read_exact(&mut byte)).expect("pipes work"))
    });
    let round_trip = one.join().expect("nobody panics");
    other.join().expect("nobody panics");
    round_trip / 2.0
}

/// Paired rounds: without osdiag and with it, one right after the other.
fn switch() -> Outcome {
    let (mut off, mut added) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let without = turns();
        let session = Session::tracing(tool("hung", &["--json"]));
        // The first of the short samples in which it measures its own cost.
        thread::sleep(Duration::from_millis(200));
        let with = turns();
        session.interrupt();
        off.push(without);
        added.push(with - without);
    }
    println!(
        "\nns for each context switch, median of {ROUNDS} paired rounds of {CALLS} round trips [p10, p90]"
    );
    show("without", &off);
    show("added by osdiag hung", &added);
    Ok(())
}

/// What looking costs on a machine with 5,000 threads more than it has.
fn looks() -> Outcome {
    const THREADS: usize = 5000;
    let (keep, kept) = mpsc::channel::<()>();
    let kept = Arc::new(Mutex::new(kept));
    let sleep = || {
        let kept = Arc::clone(&kept);
        let builder = thread::Builder::new().stack_size(64 << 10);
        builder.spawn(move || drop(kept.lock().map(|kept| kept.recv()))).expect("threads can be had")
    };
    let sleepers: Vec<_> = (0..THREADS).map(|_| sleep()).collect();
    println!("\n{THREADS} sleeping threads, 10 s for each threshold");
    for threshold in ["100ms", "1s", "10s"] {
        let command = tool("hung", &["--json", "--threshold", threshold, "-d", "10s"]);
        let summary = Session::start(command).finish().summary();
        let spent = number(&summary.0["self"]["cpu_ns"]) as f64;
        let percent = 100.0 * spent / number(&summary.0["duration_ns"]) as f64;
        println!("  --threshold {threshold:<8} {percent:5.2} % of a CPU, all looks included");
    }
    drop(keep);
    for sleeper in sleepers {
        sleeper.join().ok();
    }
    Ok(())
}

/// How long after the threshold a stuck task is told of.
fn how_late() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let file = disk.mount.file("data", 4096);
    let desk = Desk::new(&lab);
    let mut late = vec![];
    for round in 0..ROUNDS as u64 {
        let mut writer = desk.start(&desk.plan(vec![one_write(&file, 1)]));
        let pid = writer.pid;
        let mut session = hung_of(pid);
        let frozen = Frozen::new(disk.mount.path())?;
        // Out of step with the looks.
        thread::sleep(Duration::from_millis(7 * round));
        writer.go();
        let event = session.wait_for(|record| !record.stuck_of(pid).is_empty());
        late.push(lateness(&event, event.stuck_of(pid)[0]).as_secs_f64() * 1e3);
        drop(frozen);
        writer.report();
        writer.end();
    }
    println!("\nms after a threshold of {THRESHOLD:?}, median of {ROUNDS} freezes [p10, p90]");
    show("told of a stuck task", &late);
    Ok(())
}
