//! One fault at a time.

use std::{path::Path, thread, time::Duration};

use super::scene::{Expected, LOOK, Scene, diagnosis, mean, proven};
use crate::{
    Outcome, Test,
    lab::{
        cgroup::Cgroup,
        disk::SlowDisk,
        fault::Frozen,
        image::{PlainDisk, warm},
    },
    record::Record,
    runq::runner::{Kind, Order},
    workload::{Call, Desk, Job, Open, Plan, Step, Visitor},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("diagnose_cpu_hog_in_the_neighbour", cpu_hog),
    ("diagnose_own_cpu_quota", own_quota),
    ("diagnose_own_memory_limit", own_memory_limit),
    ("diagnose_disk_hog_in_the_neighbour", disk_hog),
    ("diagnose_slow_disk", slow_disk),
    ("diagnose_frozen_file_system", frozen),
    ("diagnose_stuck_before_the_start", stuck_before),
];

const MS: Duration = Duration::from_millis(1);
const MIB: u64 = 1 << 20;
/// The CPU that tests crowd.
const CROWDED: usize = 1;
/// How long the victim is looked at before there is a fault.
const HEALTHY: Duration = Duration::from_millis(800);
/// How long it works with the fault, from when osdiag begins to look: longer than that looks.
const SUFFERS: Duration = Duration::from_secs(5);

/// Lets the victim carry out its plan while osdiag looks, and proves by its own clock that it suffers.
fn suffer(scene: &Scene, desk: &Desk, plan: &Plan, call: Call, healthy: f64) -> Record {
    let mut victim = desk.start(plan);
    let session = scene.look();
    victim.go();
    let record = diagnosis(session);
    proven(healthy, mean(&victim.report(), call));
    victim.end();
    record
}

/// Two hogs of another group on the CPU of a reader of cached data.
fn cpu_hog() -> Outcome {
    let scene = Scene::new()?;
    let disk = PlainDisk::new(&scene.lab, 64 * MIB)?;
    let file = disk.mount.file("data", 16 << 20);
    warm(&file);
    let desk = Desk::new(&scene.lab);
    let job = Job::new(&file, Step::transfer(Call::Pread, 8 << 20, 16 * MIB), 0);
    let plan = |limit| Plan {
        cgroups: scene.victim(),
        cpu: Some(CROWDED),
        ..desk.plan(vec![job.clone().lasting(limit)])
    };
    let healthy = mean(&desk.start(&plan(HEALTHY)).through(), Call::Pread);
    let kind = Kind { comm: "hog".to_owned(), cpu: Some(CROWDED), ..Kind::default() };
    let mut hogs = [0, 1].map(|_| Scene::runner(&scene.other(), &kind));
    hogs.iter_mut().for_each(|hog| hog.order(&Order::Spin(20_000)));
    let record = suffer(&scene, &desk, &plan(SUFFERS), Call::Pread, healthy);
    Expected { causes: &[("cpu", "runqueue")], culprit: true, blame: "neighbour" }.judge(&record);
    Ok(())
}

/// A reader of cached data that may have a fifth of a CPU.
fn own_quota() -> Outcome {
    let scene = Scene::new()?;
    let disk = PlainDisk::new(&scene.lab, 64 * MIB)?;
    let file = disk.mount.file("data", 16 << 20);
    warm(&file);
    let desk = Desk::new(&scene.lab);
    let job = Job::new(&file, Step::transfer(Call::Pread, 8 << 20, 16 * MIB), 0);
    let plan = |limit| Plan { cgroups: scene.victim(), ..desk.plan(vec![job.clone().lasting(limit)]) };
    let healthy = mean(&desk.start(&plan(HEALTHY)).through(), Call::Pread);
    if scene.quota().set("cpu.cfs_quota_us", "20000").is_err() {
        scene.quota().set("cpu.max", "20000 100000")?;
    }
    let record = suffer(&scene, &desk, &plan(SUFFERS), Call::Pread, healthy);
    Expected { causes: &[("cpu", "throttled")], culprit: false, blame: "own-limit" }.judge(&record);
    let limit = &record.0["findings"][0]["limit"];
    assert_eq!((&limit["value"], &limit["unit"]), (&0.2.into(), &"cpus".into()), "{limit}");
    Ok(())
}

/// A writer whose memory is full of what its slow disk has not taken yet.
fn own_memory_limit() -> Outcome {
    let scene = Scene::new()?;
    let disk = SlowDisk::new(&scene.lab, 256 * MIB)?;
    let memory = Cgroup::v1(&scene.lab, "memory")?;
    let desk = Desk::new(&scene.lab);
    let plan = |name: &str, limit, cgroups| {
        let step = Step::transfer(Call::Pwrite, 256 << 10, 64 * MIB);
        let job = Job::new(&disk.mount.file(name, 0), step, 0).lasting(limit);
        Plan { cgroups, ..desk.plan(vec![job]) }
    };
    let healthy = mean(&desk.start(&plan("before", HEALTHY / 4, scene.victim())).through(), Call::Pwrite);
    memory.set("memory.limit_in_bytes", &(24 * MIB).to_string())?;
    disk.delay(2 * MS);
    let limited = [scene.victim(), vec![memory.path().to_owned()]].concat();
    let record = suffer(&scene, &desk, &plan("data", SUFFERS, limited), Call::Pwrite, healthy);
    let failures: u64 = memory.get("memory.failcnt")?.trim().parse().expect("a count");
    assert!(failures > 0, "the limit was never met");
    let causes = &[("memory", "memcg-reclaim"), ("memory", "dirty-throttle")];
    Expected { causes, culprit: false, blame: "own-limit" }.judge(&record);
    let limit = &record.0["findings"][0]["limit"];
    assert_eq!(limit["value"], 24.0 * MIB as f64, "{limit}");
    Ok(())
}

fn direct(file: &Path, threads: usize) -> Job {
    let step = Step::transfer(Call::Pread, 4096, 16 * MIB);
    Job::new(file, step, 0).threads(threads).open(Open { direct: true, ..Open::default() })
}

/// Six readers of another group at the disk of one.
fn disk_hog() -> Outcome {
    let scene = Scene::new()?;
    let disk = SlowDisk::new(&scene.lab, 64 * MIB)?;
    let files = ["mine", "theirs"].map(|name| disk.mount.file(name, 16 << 20));
    disk.delay(4 * MS);
    let desk = Desk::new(&scene.lab);
    let plan = |job: Job, cgroups| Plan { cgroups, ..desk.plan(vec![job]) };
    let mine = |limit| plan(direct(&files[0], 1).lasting(limit), scene.victim());
    let healthy = mean(&desk.start(&mine(HEALTHY)).through(), Call::Pread);
    let mut hog = desk.start(&plan(direct(&files[1], 6).lasting(2 * SUFFERS), scene.other()));
    hog.go();
    let record = suffer(&scene, &desk, &mine(SUFFERS), Call::Pread, healthy);
    hog.report();
    hog.end();
    let causes = &[("block", "device"), ("block", "queue")];
    Expected { causes, culprit: true, blame: "neighbour" }.judge(&record);
    Ok(())
}

/// A reader alone on a disk that takes 20 ms for each of its requests.
fn slow_disk() -> Outcome {
    let scene = Scene::new()?;
    let disk = SlowDisk::new(&scene.lab, 64 * MIB)?;
    let file = disk.mount.file("data", 16 << 20);
    let desk = Desk::new(&scene.lab);
    let plan = |limit| Plan { cgroups: scene.victim(), ..desk.plan(vec![direct(&file, 1).lasting(limit)]) };
    let healthy = mean(&desk.start(&plan(HEALTHY)).through(), Call::Pread);
    disk.delay(20 * MS);
    let record = suffer(&scene, &desk, &plan(SUFFERS), Call::Pread, healthy);
    Expected { causes: &[("block", "device")], culprit: false, blame: "disk" }.judge(&record);
    assert_eq!(record.0["findings"][0]["estimate"], true);
    Ok(())
}

/// A writer on a file system that is frozen for most of the time.
fn frozen() -> Outcome {
    frozen_for(|scene, mount, victim| {
        let session = scene.look();
        victim.go();
        thread::sleep(500 * MS);
        let frozen = Frozen::new(mount)?;
        thread::sleep(LOOK - 1_000 * MS);
        drop(frozen);
        Ok(diagnosis(session))
    })
    .map(|_| ())
}

/// One that is stuck before osdiag starts, and still is when it ends.
fn stuck_before() -> Outcome {
    let record = frozen_for(|scene, mount, victim| {
        let frozen = Frozen::new(mount)?;
        victim.go();
        thread::sleep(300 * MS);
        let record = diagnosis(scene.look());
        drop(frozen);
        Ok(record)
    })?;
    let evidence = record.0["findings"][0]["evidence"].as_array().expect("evidence");
    assert!(evidence.iter().any(|one| one["name"] == "stuck-threads"), "{evidence:#?}");
    Ok(())
}

fn frozen_for(look: impl FnOnce(&Scene, &Path, &mut Visitor) -> Outcome<Record>) -> Outcome<Record> {
    let scene = Scene::new()?;
    let disk = PlainDisk::new(&scene.lab, 64 * MIB)?;
    let file = disk.mount.file("data", 0);
    let desk = Desk::new(&scene.lab);
    let job = Job::new(&file, Step::transfer(Call::Pwrite, 4096, MIB), 0);
    let plan = |limit| Plan { cgroups: scene.victim(), ..desk.plan(vec![job.clone().lasting(limit)]) };
    let healthy = desk.start(&plan(HEALTHY)).through().samples[&Call::Pwrite].ns.iter().max().copied();
    let mut victim = desk.start(&plan(SUFFERS));
    let record = look(&scene, disk.mount.path(), &mut victim)?;
    let longest = victim.report().samples[&Call::Pwrite].ns.iter().max().copied();
    victim.end();
    proven(healthy.expect("calls") as f64, longest.expect("calls") as f64);
    assert!(longest >= Some(1_000_000_000), "no call took a second: {longest:?}");
    Expected { causes: &[("filesystem", "freeze")], culprit: false, blame: "machine" }.judge(&record);
    Ok(record)
}
