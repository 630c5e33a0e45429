//! Attribution where an operation waits for memory or for a CPU, and where nothing is wrong.

use std::{thread, time::Duration};

use crate::{
    Outcome, Test,
    lab::{
        Lab,
        cgroup::Cgroup,
        disk::SlowDisk,
        fault::Hogs,
        image::{PlainDisk, warm},
        sampler::Sampler,
        setting::Setting,
    },
    osdiag::{trace, trace_with},
    record::device_of,
    stalls::{assert_share, assert_verdict, explained, explained_within, happened},
    workload::{Call, Desk, Job, Plan, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("fault_nothing_wrong", nothing_wrong),
    ("fault_dirty_throttle", dirty_throttle),
    ("fault_memcg_reclaim", memcg_reclaim),
    ("fault_run_queue_wait", run_queue_wait),
    ("fault_cpu_quota", cpu_quota),
];

const MS: Duration = Duration::from_millis(1);
const MIB: u64 = 1 << 20;

/// Cached reads: all of it is on the CPU, but for what the scheduler itself says that the reader waited for one, and there is
/// no verdict but about that.
fn nothing_wrong() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 * MIB)?;
    let file = disk.mount.file("data", 16 << 20);
    warm(&file);
    let desk = Desk::new(&lab);
    let job = Job::new(&file, Step::transfer(Call::Pread, 4 << 20, 16 * MIB), 3000);
    let traced = trace(&desk, &[], &Plan { preferred: true, ..desk.plan(vec![job]) });
    let device = device_of(&file);
    let summary = explained(&traced, Call::Pread, &device);
    let own = &traced.report.samples[&Call::Pread];
    let waited = own.run_delay_ns as f64 / own.sum() as f64;
    println!("the scheduler's run delay: {:.2} %", 100.0 * waited);
    if let Some(verdict) = summary.verdict()
        && verdict["subject"]["device"]["id"] == device.as_str()
    {
        assert!(waited > 0.01, "nothing was wrong: {}", summary.outline());
        // Where others share the CPU, what runs is slower as well.
        assert_eq!(verdict["layer"], "cpu", "{}", summary.outline());
        assert!(matches!(verdict["cause"].as_str(), Some("runqueue" | "run")), "{}", summary.outline());
    }
    assert_share(summary.operation("pread64", &device), "cpu.run", 1.0 - waited);
    Ok(())
}

/// A writer faster than its slow disk, which may have little that is dirty.
fn dirty_throttle() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 256 * MIB)?;
    let file = disk.mount.file("data", 0);
    let few = (8 * MIB).to_string();
    // The limits of this device alone, where the kernel has them (6.2 and up); else those of the whole machine.
    let bytes = disk.device.bdi("max_bytes");
    let _settings = if bytes.exists() {
        // What max_bytes says by itself cannot be written back to it; the ratio behind it can.
        let settings = vec![
            Setting::change(&lab, disk.device.bdi("max_ratio"), "1")?,
            Setting::change(&lab, disk.device.bdi("strict_limit"), "1")?,
        ];
        std::fs::write(&bytes, &few).expect("a device takes a limit");
        settings
    } else {
        vec![
            Setting::change(&lab, "/proc/sys/vm/dirty_background_bytes", &(4 * MIB).to_string())?,
            Setting::change(&lab, "/proc/sys/vm/dirty_bytes", &few)?,
        ]
    };
    let desk = Desk::new(&lab);
    let job = Job::new(&file, Step::transfer(Call::Pwrite, 64 << 10, 192 * MIB), 0).lasting(4000 * MS);
    disk.delay(4 * MS);
    let mut waited = Duration::ZERO;
    let traced = trace_with(&desk, &[], &desk.plan(vec![job]), |pid| {
        let sampler = Sampler::watch(pid, &["balance_dirty_pages"]);
        thread::sleep(4200 * MS);
        waited = sampler.stop();
    });
    let known = waited.as_nanos() as f64 / traced.report.samples[&Call::Pwrite].sum() as f64;
    happened("the share asleep for dirty pages", known, 0.5);
    let device = device_of(&file);
    let summary = explained(&traced, Call::Pwrite, &device);
    assert_share(summary.operation("pwrite64", &device), "memory.dirty-throttle", known);
    assert_verdict(&summary, Call::Pwrite, &device, "memory.dirty-throttle");
    Ok(())
}

/// A writer in a memory cgroup whose limit is full of what its slow disk has not taken yet.
fn memcg_reclaim() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 256 * MIB)?;
    let file = disk.mount.file("data", 0);
    let group = Cgroup::v1(&lab, "memory")?;
    group.set("memory.limit_in_bytes", &(24 * MIB).to_string())?;
    let desk = Desk::new(&lab);
    let job = Job::new(&file, Step::transfer(Call::Pwrite, 256 << 10, 192 * MIB), 0).lasting(4000 * MS);
    disk.delay(2 * MS);
    let mut waited = Duration::ZERO;
    let plan = Plan { cgroups: vec![group.path().to_owned()], ..desk.preferred(vec![job]) };
    let traced = trace_with(&desk, &[], &plan, |pid| {
        let sampler = Sampler::watch(pid, &["try_to_free_mem_cgroup_pages"]);
        thread::sleep(4200 * MS);
        waited = sampler.stop();
    });
    let failures: u64 = group.get("memory.failcnt")?.trim().parse().expect("a count");
    let known = waited.as_nanos() as f64 / traced.report.samples[&Call::Pwrite].sum() as f64;
    assert!(failures > 0, "the limit was never met");
    happened("the share asleep in reclaim", known, 0.3);
    let device = device_of(&file);
    let summary = explained(&traced, Call::Pwrite, &device);
    // Reclaim sleeps, and also runs: of what ran, the scheduler knows how long, but not for what.
    let reclaim = summary.operation("pwrite64", &device).share("memory.memcg-reclaim");
    let own = &traced.report.samples[&Call::Pwrite];
    let most = known + own.on_cpu_ns as f64 / own.sum() as f64;
    println!("memory.memcg-reclaim: {reclaim:.3}, of {known:.3} to {most:.3} known");
    assert!(reclaim > known - 0.05 && reclaim < most + 0.05, "{}", summary.outline());
    assert_verdict(&summary, Call::Pwrite, &device, "memory.memcg-reclaim");
    Ok(())
}

/// Cached reads on a CPU that three others want: the scheduler's own count of the delay is the truth. A read that needs its
/// disk would wait for that as well, beside a busy one longer than for the CPU.
fn run_queue_wait() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 * MIB)?;
    let file = disk.mount.file("data", 16 << 20);
    warm(&file);
    let desk = Desk::new(&lab);
    let job = Job::new(&file, Step::transfer(Call::Pread, 4 << 20, 16 * MIB), 0).lasting(3000 * MS);
    let plan = Plan { cpu: Some(1), nice: 10, ..desk.plan(vec![job]) };
    let traced = {
        let _hogs = Hogs::on(1, 3);
        trace(&desk, &[], &plan)
    };
    let own = &traced.report.samples[&Call::Pread];
    // A wait between the readings of the two clocks is in the scheduler's account, and in no call.
    let known = (own.run_delay_ns as f64 / own.sum() as f64).min(1.0);
    happened("the run queue's share", known, 0.5);
    let device = device_of(&file);
    let summary = explained_within(0.05, &traced, Call::Pread, &device);
    assert_share(summary.operation("pread64", &device), "cpu.runqueue", known);
    assert_verdict(&summary, Call::Pread, &device, "cpu.runqueue");
    Ok(())
}

/// Reads in a cgroup that may have a fifth of a CPU.
fn cpu_quota() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 * MIB)?;
    let file = disk.mount.file("data", 16 << 20);
    warm(&file);
    let group = Cgroup::v1(&lab, "cpu")?;
    group.set("cpu.cfs_period_us", "100000")?;
    group.set("cpu.cfs_quota_us", "20000")?;
    // On a busy machine it would get little more than its quota at all, and seldom meet it.
    group.set("cpu.shares", "262144")?;
    let desk = Desk::new(&lab);
    let job = Job::new(&file, Step::transfer(Call::Pread, 1 << 20, 16 * MIB), 0).lasting(3000 * MS);
    let plan = Plan { cgroups: vec![group.path().to_owned()], ..desk.plan(vec![job]) };
    let traced = trace(&desk, &[], &plan);
    let own = &traced.report.samples[&Call::Pread];
    // The scheduler's delay has both waits, for a CPU and for quota; the cgroup counts what is held between the reads,
    // too.
    let known = own.run_delay_ns as f64 / own.sum() as f64;
    let most = group.stat("cpu.stat", "throttled_time")? as f64 / own.sum() as f64;
    happened("the share that is no running", known, 0.5);
    happened("the share without quota, at most", most, 0.3);
    let device = device_of(&file);
    let summary = explained_within(0.25, &traced, Call::Pread, &device);
    let operation = summary.operation("pread64", &device);
    let [throttled, waited] = ["cpu.throttled", "cpu.runqueue"].map(|cause| operation.share(cause));
    // The scheduler counts the waits between the reads, too: of some thirty periods, a few are held there.
    let near = 0.65 * known..known + 0.05;
    assert!(near.contains(&(throttled + waited)), "{throttled:.3} and {waited:.3} are not {known:.3}");
    assert!(throttled < most + 0.05, "{throttled:.3} is more than {most:.3}");
    assert_verdict(&summary, Call::Pread, &device, "cpu.throttled");
    Ok(())
}
