//! What a sick machine may keep from answering must not keep a session from its end.

use std::time::{Duration, Instant};

use crate::{
    Outcome, Test,
    lab::{Lab, disk::SlowDisk, exec::StuckExec},
    osdiag::{Finished, Session, tool},
    record::Record,
};

pub(crate) const TESTS: &[Test] = &[
    ("guards_a_task_that_is_stuck_in_exec_stops_no_session", stuck_in_exec),
    ("guards_programs_are_waited_for_without_membarrier", without_membarrier),
    ("guards_without_task_storage_a_hash_serves", without_task_storage),
];

/// A session of one second may take this long to begin and to end on a busy machine.
const IN_TIME: Duration = Duration::from_secs(15);

fn run(name: &str, flags: &[&str], without: Option<&str>) -> Finished {
    let mut command = tool(name, &["--json", "-d", "1s"]);
    command.args(flags);
    if let Some(without) = without {
        command.env("OSDIAG_WITHOUT", without);
    }
    Session::start(command).finish()
}

fn is_unavailable(record: &Record, name: &str) -> bool {
    record.0["unavailable"].as_array().expect("a list").iter().any(|missing| missing["name"] == name)
}

/// `/proc/PID/task/TID/syscall` and `stack` of such a task do not return.
fn stuck_in_exec() -> Outcome {
    let lab = Lab::new();
    let disk = SlowDisk::new(&lab, 64 << 20)?;
    let stuck = StuckExec::new(&disk)?;
    for name in ["iolat", "lock", "hung"] {
        let begun = Instant::now();
        let summary = run(name, &[], None).summary();
        assert!(begun.elapsed() < IN_TIME, "{name} took {:?}", begun.elapsed());
        assert_eq!(stuck.state(), Some('D'), "it went on meanwhile");
        // iolat alone asks each such task which operation it is in.
        assert_eq!(
            is_unavailable(&summary, "procfs"),
            name == "iolat",
            "{name}: {}",
            summary.0["unavailable"]
        );
    }
    let pid = stuck.pid();
    let flags = ["--threshold", "500ms"];
    let hung = run("hung", &flags, None).summary();
    assert_eq!(hung.stuck_of(pid).len(), 1, "{}", hung.0);
    Ok(())
}

/// Kernels with `nohz_full` refuse it. Intervals have to add up all the same.
fn without_membarrier() -> Outcome {
    let finished = run("runq", &["-i", "100ms"], Some("membarrier"));
    let mut records = finished.records();
    let summary = records.pop().expect("there is a summary");
    assert!(!is_unavailable(&summary, "quiesce"), "{}", summary.0["unavailable"]);
    let waits = |record: &Record| -> u64 {
        let groups = record.0["groups"].as_array().expect("a list").iter();
        groups.map(|group| group["delay"]["count"].as_u64().expect("a number")).sum()
    };
    let of_intervals: u64 = records.iter().map(waits).sum();
    assert!(waits(&summary) > 0 && waits(&summary) == of_intervals, "{} and {of_intervals}", waits(&summary));
    Ok(())
}

fn without_task_storage() -> Outcome {
    let summary = run("iolat", &[], Some("task-storage")).summary();
    assert!(is_unavailable(&summary, "typed-hooks"), "{}", summary.0["unavailable"]);
    let probes = summary.0["probes"].as_array().expect("a list");
    assert!(!probes.is_empty() && probes.iter().all(|probe| probe["hook"] == "raw_tp"), "{probes:?}");
    Ok(())
}
