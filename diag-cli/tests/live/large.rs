//! A guest with many possible CPUs and many file systems, of which no group is to be lost.

use std::{fs, process::Command};

use crate::{
    Outcome, Skip, Test,
    lab::{
        Lab,
        image::{Mounted, PlainDisk},
    },
    osdiag::{Session, Trace, binary},
    record::{Record, device_of, number},
    workload::{Call, Desk, Job, Plan, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[("large_guest_with_many_groups", many_groups)];

/// CPUs that the guest can have, as far as the tool sees.
const POSSIBLE: u32 = 384;
const FILE_SYSTEMS: u64 = 160;
const ROUNDS: u64 = 2;
const SYNCED: u64 = 400;
/// What the maps may take there, bytes.
const MOST_MEMORY: u64 = 64 << 20;
/// Operations that a record can have.
const TOP: usize = 200;

/// Each call on each of many file systems is a group. All of them are counted, each as often as the workload made it, and the one that
/// takes longest is the first of the record, though all others came before it.
fn many_groups() -> Outcome {
    let lab = Lab::new();
    let possible = lab.path("possible");
    fs::write(&possible, format!("0-{}\n", POSSIBLE - 1)).expect("a lab takes a file");
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let synced = disk.mount.file("data", 64 << 10);
    let mut mounts = Vec::new();
    for number in 0..FILE_SYSTEMS {
        let path = lab.directory(&format!("fs{number}"));
        mounts.push(Mounted::mount(path, &["-t", "tmpfs", "-o", "size=1m", "osdiag-lab"])?);
    }
    let crowd = mounts.iter().map(|mount| Job::new(&mount.file("data", 64 << 10), Step::Every, ROUNDS));
    let step = Step::transfer(Call::Pwrite, 4096, 64 << 10);
    let Step::Transfer { call, block, span, random, evict, .. } = step else { unreachable!() };
    let step = Step::Transfer { call, block, span, random, evict, sync: Some(Call::Fdatasync) };
    let desk = Desk::new(&lab);
    let traced = |plans: [Plan; 2]| trace(&desk, &possible.to_string_lossy(), &plans);
    let nothing = traced([desk.plan(vec![]), desk.plan(vec![])])?;
    let all = traced([desk.plan(crowd.collect()), desk.plan(vec![Job::new(&synced, step, SYNCED)])])?;

    let (before, summary) = (nothing.finished.summary(), all.finished.summary());
    summary.assert_complete();
    assert_eq!(number(&summary.0["host"]["possible_cpus"]), u64::from(POSSIBLE));
    let memory = number(&summary.0["self"]["kernel_bytes"]);
    assert!(memory <= MOST_MEMORY, "{memory} bytes of kernel memory");

    let calls = Call::ALL.len() as u64;
    let groups = FILE_SYSTEMS * calls + 2;
    assert_eq!(groups_of(&summary) - groups_of(&before), groups, "{}", summary.outline());
    let made = FILE_SYSTEMS * ROUNDS * calls * (calls + 1) / 2 + 2 * SYNCED;
    assert_eq!(operations_of(&summary) - operations_of(&before), made, "{}", summary.outline());

    let disk = device_of(&synced);
    let first = summary.operations().next().expect("there are operations");
    assert_eq!((first.call(), first.device()), ("fdatasync", &*disk), "{}", summary.outline());
    for call in ["pwrite64", "fdatasync"] {
        assert_eq!(summary.operation(call, &disk).count(), SYNCED);
    }
    for mount in &mounts {
        for operation in summary.on(&device_of(mount.path())) {
            let place = Call::ALL.iter().position(|call| call.name() == operation.call());
            let times = place.expect("it is a call of the workload") as u64 + 1;
            assert_eq!(operation.count(), times * ROUNDS, "{}", operation.outline());
        }
    }
    Ok(())
}

/// Groups of operations, in the record and left out of it.
fn groups_of(summary: &Record) -> u64 {
    summary.operations().count() as u64 + number(&summary.0["operations_omitted"]["count"])
}

/// Operations of all groups.
fn operations_of(summary: &Record) -> u64 {
    summary.slowest().len() as u64 + number(&summary.0["slowest_omitted"]["count"])
}

/// Traces two workloads, one after the other, with another list of possible CPUs.
fn trace(desk: &Desk, possible: &str, plans: &[Plan; 2]) -> Outcome<Trace> {
    let elsewhere = "mount --bind \"$1\" /sys/devices/system/cpu/possible && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", elsewhere, "sh", possible]).arg(binary());
    command.args(["iolat", "--json", "--top", &TOP.to_string(), "--"]);
    command.args(["sh", "-c", "\"$1\" \"$2\" \"$3\" && exec \"$1\" \"$2\" \"$4\"", "sh"]);
    command.arg(std::env::current_exe().expect("the tests have a path"));
    let [[flag, first], [_, second]] = [plans[0].arguments(), plans[1].arguments()];
    command.args([flag, first, second]);
    let mut session = Session::start(command);
    if session.complaints().contains("unshare:") || session.complaints().contains("mount:") {
        return Err(Skip::because(session.complaints()));
    }
    session.workload(desk).through();
    let report = session.workload(desk).through();
    Ok(Trace { finished: session.finish(), report })
}
