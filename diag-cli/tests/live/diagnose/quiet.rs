//! Work that is none of anybody's fault: nothing may be found.

use super::scene::{Scene, diagnosis};
use crate::{
    Outcome, Skip, Test,
    lab::image::PlainDisk,
    record::Record,
    runq::runner::{Account, Kind, Order},
    workload::{Call, Desk, Job, Open, Plan, Step},
};
use std::{thread, time::Duration};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("diagnose_nothing_of_an_idle_group", idle),
    ("diagnose_nothing_of_a_busy_group", busy),
    ("diagnose_nothing_of_threads_at_futexes", parked),
    ("diagnose_nothing_of_a_build", build),
    ("diagnose_nothing_of_a_reader_alone", reader),
];

fn nothing(record: &Record) {
    let found = &record.0["findings"];
    assert_eq!(found.as_array().map(Vec::len), Some(0), "{found:#}\n{:#}", record.0["notes"]);
    assert_eq!(record.0["verdict"]["status"], "nothing");
}

fn kind(threads: usize) -> Kind {
    Kind { comm: "worker".to_owned(), threads, ..Kind::default() }
}

/// How long a runner may take to begin.
const BEGINS: Duration = Duration::from_millis(500);

/// Lets a runner in the victim's group do something since before osdiag looks, and until after.
fn while_it(threads: usize, order: &Order) -> Outcome<(Vec<Account>, Record)> {
    let scene = Scene::new()?;
    let mut runner = Scene::runner(&scene.victim(), &kind(threads));
    runner.order(order);
    thread::sleep(BEGINS);
    let record = diagnosis(scene.look());
    Ok((runner.answer(), record))
}

fn idle() -> Outcome {
    let (_, record) = while_it(1, &Order::Sleep(6_000_000, 1))?;
    nothing(&record);
    Ok(())
}

/// Nine tenths of one CPU.
fn busy() -> Outcome {
    let (accounts, record) = while_it(1, &Order::Serve(9_000, 1_000, 600))?;
    let Account { run_ns, delay_ns, .. } = accounts[0];
    println!("ran for {run_ns} ns, waited for {delay_ns} ns");
    // By the scheduler's own account it had the CPU when it wanted it, or this is no quiet run.
    if delay_ns * 20 > run_ns {
        return Err(Skip::because(format!("others kept it from the CPU for {delay_ns} of {run_ns} ns")));
    }
    nothing(&record);
    Ok(())
}

fn parked() -> Outcome {
    let (accounts, record) = while_it(200, &Order::Park(6_000))?;
    let delay_ns: u64 = accounts.iter().map(|account| account.delay_ns).sum();
    // They wait for each other as they begin, before osdiag looks: half a second in all, where they have two CPUs to themselves.
    if delay_ns > 1_000_000_000 {
        return Err(Skip::because(format!("others kept them from the CPUs for {delay_ns} ns")));
    }
    nothing(&record);
    Ok(())
}

/// Four that want all of two CPUs wait for each other.
fn build() -> Outcome {
    let (accounts, record) = while_it(4, &Order::Spin(6_000))?;
    let run_ns: u64 = accounts.iter().map(|account| account.run_ns).sum();
    println!("ran for {run_ns} ns");
    let cpus = thread::available_parallelism().expect("CPUs").get().min(4) as u64;
    if run_ns * 10 < cpus * 6_000_000_000 * 8 {
        return Err(Skip::because(format!("others had the CPUs: it ran for {run_ns} ns")));
    }
    nothing(&record);
    Ok(())
}

/// Direct reads, one after the other, of a disk that is quick.
fn reader() -> Outcome {
    let scene = Scene::new()?;
    let disk = PlainDisk::new(&scene.lab, 64 << 20)?;
    let file = disk.mount.file("data", 16 << 20);
    let desk = Desk::new(&scene.lab);
    let job = Job::new(&file, Step::transfer(Call::Pread, 4096, 16 << 20), 0)
        .open(Open { direct: true, ..Open::default() })
        .lasting(Duration::from_secs(6));
    let mut victim = desk.start(&Plan { cgroups: scene.victim(), ..desk.plan(vec![job]) });
    let session = scene.look();
    victim.go();
    let record = diagnosis(session);
    let report = victim.report();
    victim.end();
    let own = &report.samples[&Call::Pread];
    // As for the busy one.
    if own.run_delay_ns * 20 > own.sum() {
        let why = format!("others kept it from the CPU for {} of {} ns", own.run_delay_ns, own.sum());
        return Err(Skip::because(why));
    }
    nothing(&record);
    Ok(())
}
