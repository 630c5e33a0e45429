//! Who had what threads waited for: CPU hogs against the scheduler's account, and disk hogs against the number of their requests.

use std::{
    fs,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{assert_near, record::Time, trace, waits::named};
use crate::{
    Outcome, Test,
    lab::{Lab, disk::SlowDisk},
    record::{number, within},
    runq::runner::{Account, Kind, Order, Runner},
    workload::{Buffer, Call, make},
};

/// The tests of this file.
pub(crate) const TESTS: &[Test] = &[
    ("delays_culprits_of_a_cpu", culprits_of_a_cpu),
    ("delays_culprits_outside_of_the_target", culprits_outside_of_the_target),
    ("delays_culprits_of_a_disk", culprits_of_a_disk),
];

/// The CPU that tests crowd.
const CROWDED: usize = 1;

/// The time of each culprit of a resource, by name; without one where nobody is known.
pub(super) fn culprits(time: Time<'_>, resource: &str) -> Vec<(Option<String>, u64)> {
    let of_it = time.list("culprits").iter().filter(|culprit| culprit["resource"] == resource);
    of_it
        .map(|culprit| (culprit["group"]["comm"].as_str().map(str::to_owned), number(&culprit["ns"])))
        .collect()
}

pub(super) fn time_of(culprits: &[(Option<String>, u64)], comm: &str) -> u64 {
    culprits.iter().filter(|(name, _)| name.as_deref() == Some(comm)).map(|(_, ns)| ns).sum()
}

fn runner(comm: &str, nice: i32) -> Runner {
    let runner = Runner::start(&Kind { comm: comm.to_owned(), cpu: Some(CROWDED), ..Kind::default() });
    // SAFETY: numbers alone.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, runner.pid, nice) };
    runner
}

/// Runs three that want one CPU, of two classes, and returns what the scheduler says that each had.
fn crowd(runners: &mut [Runner; 3]) -> [Account; 3] {
    for runner in runners.iter_mut() {
        runner.order(&Order::Spin(1_500));
    }
    runners.each_mut().map(|runner| runner.answer()[0])
}

/// Of three threads that crowd a CPU, each waits while one of the others runs: for as long as the scheduler says that one ran.
fn culprits_of_a_cpu() -> Outcome {
    let mut runners = [runner("dc-heavy", 0), runner("dc-light", 5), runner("dc-victim", 0)];
    let session = trace(&["--by", "comm"]);
    let [heavy, light, _] = crowd(&mut runners);
    let summary = session.interrupt().summary();
    let victim = summary.time("dc-victim");
    let culprits = culprits(victim, "cpu");
    let waited = victim.cause_ns("cpu.runqueue");
    let omitted = number(&victim.0.0["culprits_omitted"]["ns"]);
    assert_eq!(culprits.iter().map(|(_, ns)| ns).sum::<u64>() + omitted, waited, "{culprits:?}");
    assert!(heavy.run_ns > 2 * light.run_ns, "no two classes: {heavy:?}, {light:?}");
    // A run that the kernel did not report may take as much as a time slice or two.
    let slack = waited / 20 + summary.missed() * 8_000_000;
    for (comm, ran) in [("dc-heavy", heavy.run_ns), ("dc-light", light.run_ns)] {
        let had = time_of(&culprits, comm);
        assert!(had.abs_diff(ran) <= slack, "{comm} ran for {ran} ns: {culprits:?}");
    }
    Ok(())
}

/// Culprits are named that the session does not trace.
fn culprits_outside_of_the_target() -> Outcome {
    let mut runners = [runner("dc-heavy", 0), runner("dc-light", 5), runner("dc-victim", 0)];
    let pid = runners[2].pid;
    let session = trace(&["--by", "process", "-p", &pid.to_string()]);
    let [heavy, ..] = crowd(&mut runners);
    let summary = session.interrupt().summary();
    let groups = summary.groups();
    assert_eq!(groups.len(), 1, "only the target is accounted for: {}", summary.0["groups"]);
    let victim = Time(groups[0]);
    let culprits = culprits(victim, "cpu");
    let slack = victim.cause_ns("cpu.runqueue") / 20 + summary.missed() * 8_000_000;
    let had = time_of(&culprits, "dc-heavy");
    assert!(had.abs_diff(heavy.run_ns) <= slack, "dc-heavy ran for {} ns: {culprits:?}", heavy.run_ns);
    Ok(())
}

/// Readers of one disk, one after another served: who has two requests there has it for twice as long as who has one.
fn culprits_of_a_disk() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let file = Arc::new(
        fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(disk.mount.file("data", 32 << 20))
            .expect("the file opens"),
    );
    disk.delay(Duration::from_millis(4));
    let end = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = ["dc-two", "dc-two", "dc-one", "dc-reader"]
        .into_iter()
        .zip(0..)
        .map(|(comm, place)| {
            let (file, end) = (Arc::clone(&file), Arc::clone(&end));
            named(comm, move || {
                let mut page = Buffer::new(4096);
                for block in (0..1_000).cycle().take_while(|_| !end.load(Ordering::Relaxed)) {
                    let offset = (place * 1_000 + block) * 8_192;
                    make(Call::Pread, file.as_fd(), &mut page, offset).expect("a block is read");
                }
            })
        })
        .collect();
    let session = trace(&["--by", "comm", "-p", &std::process::id().to_string()]);
    thread::sleep(Duration::from_millis(2_000));
    let summary = session.interrupt().summary();
    end.store(true, Ordering::Relaxed);
    disk.delay(Duration::ZERO);
    for reader in readers {
        reader.join().ok();
    }
    let victim = summary.time("dc-reader");
    let waited = victim.cause_ns("block.device") + victim.cause_ns("block.queue");
    assert!(waited >= 1_000_000_000, "it waited for {waited} ns: {}", victim.0.0);
    let culprits = culprits(victim, "device");
    // Shares are rounded down, in each epoch.
    assert_near("culprits", culprits.iter().map(|(_, ns)| ns).sum::<u64>(), waited, 0.0, 100);
    for (comm, of_four) in [("dc-two", 2), ("dc-one", 1), ("dc-reader", 1)] {
        let had = time_of(&culprits, comm);
        assert!(
            had.abs_diff(waited * of_four / 4) <= waited / 20,
            "{comm} had {of_four} of 4 requests: {culprits:?}"
        );
    }
    let on_cpus = victim.layer_ns("cpu");
    let lasted = number(&summary.0["duration_ns"]);
    assert!(within(0.05, waited + on_cpus, lasted), "{waited} ns, and {on_cpus} ns for CPUs, of {lasted}");
    Ok(())
}
