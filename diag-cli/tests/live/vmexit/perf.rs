//! Counts against those of `perf stat`, which counts the same tracepoints by itself.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::{STORM, two_cpus, vmexit};
use crate::{
    Outcome, Skip, Test,
    lab::wait_until,
    osdiag::Session,
    record::{Record, number},
    storm::{Kind, Storm},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[("vmexit_perf_counts_the_same", perf)];

/// How far counts may be apart.
const SHARE: f64 = 0.02;
/// An interval's times may be so far from those at which its counts began and ended: it waits for programs that still
/// run.
const INTERVAL: Duration = Duration::from_millis(100);

/// Whether an activity is what is meant.
type Meant = fn(&Value) -> bool;

/// What perf counts, and how a record calls it.
const EVENTS: &[(&str, Meant)] = &[
    ("msr:write_msr", |activity| !activity["msr"].is_null() && activity["activity"] != "msr-read"),
    ("msr:read_msr", |activity| activity["activity"] == "msr-read"),
    ("msr:rdpmc", |activity| activity["activity"] == "pmc-read"),
    ("irq_vectors:local_timer_entry", |activity| activity["activity"] == "timer"),
    ("irq_vectors:reschedule_entry", |activity| activity["activity"] == "ipi-reschedule"),
];
/// Both kinds of calls on other CPUs.
const CALLS: [&str; 2] = ["irq_vectors:call_function_single_entry", "irq_vectors:call_function_entry"];

fn is_call(activity: &Value) -> bool {
    activity["activity"] == "ipi-call" || activity["activity"] == "tlb-shootdown"
}

/// perf comes later and goes earlier, so its counts lie between those of the intervals that were surely within its time
/// and of those that may have been. It does not reliably count what idle tasks do: on a 6.18 guest it saw nothing of the
/// second CPU's, which cpuidle's own counters had. So both CPUs are kept busy.
fn perf() -> Outcome {
    two_cpus()?;
    let mut storm = Storm::ready(Kind::Protect, None);
    let session = Session::counting(vmexit(&["-i", "100ms"]));
    let spawned = SystemTime::now();
    let mut perf = start(STORM + Duration::from_secs(1))?;
    wait_until(Duration::from_secs(5), || counts(&perf));
    let begun = SystemTime::now();
    storm.rage(STORM);
    let (raged, counting) = (SystemTime::now(), counts(&perf));
    perf.wait().expect("perf ends");
    let ended = SystemTime::now();
    let output = perf.wait_with_output().expect("perf has ended");
    let mut records = session.interrupt().records();
    records.pop();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(Skip::because(format!("perf stat: {}", said.trim())));
    }
    assert!(counting, "perf counted until after the storm");
    let surely = |record: &&Record| time(record, "start") >= begun + INTERVAL && time(record, "end") <= raged;
    let maybe =
        |record: &&Record| time(record, "end") >= spawned && time(record, "start") <= ended + INTERVAL;
    let total = |records: Vec<&Record>, is_meant: Meant| -> u64 {
        let activities = records.into_iter().flat_map(Record::activities);
        activities.filter(|activity| is_meant(activity)).map(|meant| number(&meant["event_count"])).sum()
    };
    let same = |event: &str, counted: u64, is_meant: Meant| {
        let least = total(records.iter().filter(surely).collect(), is_meant);
        let most = total(records.iter().filter(maybe).collect(), is_meant);
        let near =
            least as f64 * (1.0 - SHARE) <= counted as f64 && counted as f64 <= most as f64 * (1.0 + SHARE);
        assert!(near, "{event}: perf counts {counted}, which is not from {least} to {most}");
        least
    };
    let count = |event: &str| {
        let line = said.lines().find(|line| line.contains(event)).unwrap_or_default();
        let count = line.split(',').next().and_then(|count| count.parse::<u64>().ok());
        count.ok_or_else(|| Skip::because(format!("perf does not count {event}: {said}")))
    };
    for &(event, is_meant) in EVENTS {
        same(event, count(event)?, is_meant);
    }
    let least = same("calls", count(CALLS[0])? + count(CALLS[1])?, is_call);
    assert!(least > 1000, "{least} calls are too few to compare");
    Ok(())
}

fn start(time: Duration) -> Outcome<Child> {
    let events: Vec<&str> = EVENTS.iter().map(|&(event, _)| event).chain(CALLS).collect();
    Command::new("perf")
        .args(["stat", "-a", "-x,", "-e", &events.join(","), "sleep", &time.as_secs_f64().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Skip::because(format!("perf: {error}")))
}

/// Whether it counts: from when its child becomes the command until that ends.
fn counts(perf: &Child) -> bool {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", perf.id())).unwrap_or_default();
    fs::read_to_string(format!("/proc/{}/comm", children.trim())).is_ok_and(|comm| comm == "sleep\n")
}

fn time(record: &Record, key: &str) -> SystemTime {
    let time = record.text(key).parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{key}: {error}"));
    time.into()
}
