//! What makes a guest exit: counts against the kernel's own, doers against who it was.

pub(crate) mod session;
mod truth;

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    Outcome, Skip, Test,
    lab::{Lab, wait_until},
    osdiag::{Finished, Session, tool},
    record::{Record, number, within},
    storm::{COMM, Kind, Storm},
};
use truth::Truth;

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("vmexit_idle", idle),
    ("vmexit_ping_pong", ping_pong),
    ("vmexit_ping_pong_through_raw_hooks", ping_pong_raw),
    ("vmexit_mprotect", mprotect),
    ("vmexit_mprotect_without_functions", mprotect_without_functions),
    ("vmexit_timerfd", timerfd),
    ("vmexit_sleeps", sleeps),
    ("vmexit_block_io", block_io),
    ("vmexit_perf_counts_the_same", perf),
];

/// How long a storm rages.
const STORM: Duration = Duration::from_millis(1500);
/// How far counts may be apart: a share, and what comes between two readings of two clocks.
const SHARE: f64 = 0.02;
const SLACK: u64 = 60;

/// What must be true of each record of the tool.
pub(crate) fn check(record: &Record) {
    let cost = record.0["exit_cost_ns"]["p50"].as_u64();
    let mut estimated = 0;
    for cause in record.causes() {
        let by: u64 = cause["by"].as_array().expect("a list").iter().map(|doer| number(&doer["count"])).sum();
        assert_eq!(by + number(&cause["others"]), number(&cause["count"]), "{cause}");
        assert!(!cause["why"].as_str().expect("a reason").is_empty(), "{cause}");
        let price = if cause["exits"] == "no" { Some(0) } else { cost };
        let expected = cost.and(price).map(|price| price * number(&cause["count"]));
        assert_eq!(cause["estimated_ns"].as_u64(), expected, "{cause}");
        estimated += expected.unwrap_or(0);
    }
    let cpus = number(&record.0["host"]["cpus"]);
    let share = estimated as f64 / (number(&record.0["duration_ns"]) * cpus) as f64;
    let told = record.0["vcpu_share"].as_f64().unwrap_or(0.0);
    assert!((told - share).abs() < 0.002, "{told} instead of {share}");
    assert!(!record.0["not_visible"].as_array().expect("a list").is_empty());
}

impl Record {
    fn causes(&self) -> &[Value] {
        self.0["causes"].as_array().expect("causes are a list")
    }

    /// How often all causes of such kinds happened.
    fn count(&self, kinds: &[&str]) -> u64 {
        let of_kind = |cause: &&Value| kinds.contains(&cause["kind"].as_str().unwrap_or_default());
        self.causes().iter().filter(of_kind).map(|cause| number(&cause["count"])).sum()
    }

    /// How often a process did things of a kind and, if any is given, of a name.
    fn done_by(&self, pid: u32, kind: &str, name: Option<&str>) -> u64 {
        let causes =
            self.causes().iter().filter(|c| c["kind"] == kind && name.is_none_or(|name| c["name"] == name));
        let doers = causes.flat_map(|cause| cause["by"].as_array().expect("a list"));
        let its = doers.filter(|doer| number(&doer["pid"]) == u64::from(pid) && doer["comm"] == COMM);
        its.map(|doer| number(&doer["count"])).sum()
    }

    fn advises(&self, rule: &str) -> bool {
        self.0["advice"].as_array().expect("a list").iter().any(|advice| advice["rule"] == rule)
    }
}

fn two_cpus() -> Outcome {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 { Err(Skip::because("needs two CPUs")) } else { Ok(()) }
}

fn vmexit(flags: &[&str]) -> Command {
    let mut command = tool("vmexit", &["--json"]);
    command.args(flags);
    command
}

/// Traces while something happens; what the kernel counted in the same time.
fn against_the_kernel<T>(command: Command, happens: impl FnOnce() -> T) -> (Finished, Truth, T) {
    let session = Session::counting(command);
    let before = Truth::read();
    let outcome = happens();
    let truth = Truth::read().since(before);
    (session.interrupt(), truth, outcome)
}

/// The same with a storm, of which the counts are checked; the summary, the storm's process, and its own count.
fn in_storm(kind: Kind, command: Command) -> (Record, u32, u64) {
    let mut storm = Storm::ready(kind, None);
    let pid = storm.pid();
    let (finished, truth, count) = against_the_kernel(command, || storm.rage(STORM));
    let summary = finished.summary();
    summary.assert_complete();
    truth.assert_same(&summary);
    (summary, pid, count)
}

/// That `part` is at least so much of `whole`.
fn assert_most(part: u64, whole: u64, share: f64, what: &str, summary: &Record) {
    assert!(
        whole > 0 && part as f64 >= share * whole as f64,
        "{what}: {part} of {whole} in {:#}",
        summary.0["causes"]
    );
}

fn idle() -> Outcome {
    let (finished, truth, ()) = against_the_kernel(vmexit(&[]), || thread::sleep(3 * STORM));
    let summary = finished.summary();
    summary.assert_complete();
    truth.assert_same(&summary);
    Ok(())
}

/// Each round trip wakes two threads, on other CPUs than the waker's. On a CPU that something else keeps busy, a wake-up
/// is a rescheduling IPI.
fn assert_wakes(summary: &Record, pid: u32, trips: u64) {
    let woken = summary.done_by(pid, "ipi-call", Some("sched_ttwu_pending"))
        + summary.done_by(pid, "ipi-reschedule", None);
    assert!(trips > 100 && woken <= 2 * trips + SLACK, "{woken} in {trips} round trips");
    let all = summary.count(&["ipi-call", "ipi-reschedule"]);
    assert_most(woken, all, 0.8, "wake-ups by the storm", summary);
}

fn ping_pong() -> Outcome {
    two_cpus()?;
    let (summary, pid, trips) = in_storm(Kind::Pipes, vmexit(&[]));
    assert_wakes(&summary, pid, trips);
    Ok(())
}

fn ping_pong_raw() -> Outcome {
    two_cpus()?;
    let mut command = vmexit(&[]);
    command.env("OSDIAG_HOOKS", "raw");
    let (summary, pid, trips) = in_storm(Kind::Pipes, command);
    assert_wakes(&summary, pid, trips);
    let hooks = summary.0["probes"].as_array().expect("a list");
    assert!(hooks.iter().all(|probe| probe["hook"] == "raw_tp"), "{hooks:?}");
    Ok(())
}

fn assert_flushes(summary: &Record, pid: u32, calls: u64) {
    let flushes = summary.done_by(pid, "tlb-shootdown", None);
    // The other thread need not have its CPU all the time.
    assert!(flushes <= calls + SLACK && flushes > 200, "{flushes} shootdowns in {calls} calls");
    assert_most(flushes, summary.count(&["tlb-shootdown"]), 0.9, "shootdowns by the storm", summary);
    assert!(!summary.advises("sleeps") && !summary.advises("periodic-timers"), "{:#}", summary.0["advice"]);
}

fn flushes_a_second(summary: &Record, pid: u32) -> u64 {
    summary.done_by(pid, "tlb-shootdown", None) * 1_000_000_000 / number(&summary.0["duration_ns"])
}

fn mprotect() -> Outcome {
    two_cpus()?;
    let (summary, pid, calls) = in_storm(Kind::Protect, vmexit(&[]));
    assert_flushes(&summary, pid, calls);
    let is_virtual = summary.0["features"]["hypervisor"] != "none";
    let many = flushes_a_second(&summary, pid) >= 1000;
    assert_eq!(summary.advises("unmaps"), is_virtual && many, "{:#}", summary.0["advice"]);
    Ok(())
}

/// As on kernels before 6.4, which do not tell what other CPUs are interrupted for.
fn mprotect_without_functions() -> Outcome {
    two_cpus()?;
    let mut command = vmexit(&[]);
    command.env("OSDIAG_WITHOUT", "csd_queue_cpu");
    let (summary, pid, calls) = in_storm(Kind::Protect, command);
    assert_flushes(&summary, pid, calls);
    let without = summary.0["unavailable"].as_array().expect("a list");
    assert!(without.iter().any(|missing| missing["name"] == "csd_queue_cpu"), "{without:?}");
    Ok(())
}

/// Of interrupts, some come for two timers, and are the first one's.
fn timerfd() -> Outcome {
    let (summary, pid, expired) = in_storm(Kind::Timer, vmexit(&[]));
    let counted = summary.done_by(pid, "timer", Some("timerfd_tmrproc"));
    assert!(counted <= expired + SLACK, "{counted} of {expired}");
    assert_most(counted, expired, 0.6, "expiries", &summary);
    Ok(())
}

fn sleeps() -> Outcome {
    let (summary, pid, slept) = in_storm(Kind::Sleeps, vmexit(&[]));
    let counted = summary.done_by(pid, "timer", Some("hrtimer_wakeup"));
    assert!(counted <= slept + SLACK, "{counted} of {slept}");
    assert_most(counted, slept, 0.6, "sleeps", &summary);
    Ok(())
}

fn block_io() -> Outcome {
    let lab = Lab::new();
    let path = lab.path("data");
    fs::write(&path, vec![0x5a; 32 << 20]).expect("the lab takes a file");
    let direct = Command::new("dd")
        .args(["bs=4096", "count=1", "iflag=direct", "of=/dev/null"])
        .arg(format!("if={}", path.display()))
        .stderr(Stdio::null())
        .status();
    if !direct.is_ok_and(|status| status.success()) {
        return Err(Skip::because("the temporary directory takes no direct I/O"));
    }
    let mut storm = Storm::ready(Kind::Reads, Some(&path));
    let (finished, truth, reads) = against_the_kernel(vmexit(&[]), || storm.rage(STORM));
    assert!(reads > 100, "{reads} reads");
    let summary = finished.summary();
    summary.assert_complete();
    truth.assert_same(&summary);
    Ok(())
}

/// `perf` counts tracepoints by itself, but not reliably those of idle tasks: on a 6.18 guest it saw none of the second
/// CPU's, which cpuidle's own counters had. So both CPUs are kept busy.
fn perf() -> Outcome {
    two_cpus()?;
    const EVENTS: &str = "msr:write_msr,msr:read_msr,irq_vectors:local_timer_entry,\
                          irq_vectors:call_function_single_entry,irq_vectors:call_function_entry";
    let mut storm = Storm::ready(Kind::Protect, None);
    let session = Session::counting(vmexit(&[]));
    const WINDOW: Duration = STORM.saturating_add(Duration::from_millis(300));
    let time = format!("{}", WINDOW.as_secs_f64());
    let perf = Command::new("perf")
        .args(["stat", "-a", "-x,", "-e", EVENTS, "sleep", &time])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Skip::because(format!("perf: {error}")))?;
    // perf forks early, and counts from when its child becomes the command.
    let children = format!("/proc/{0}/task/{0}/children", perf.id());
    let begun = || {
        let child = fs::read_to_string(&children).unwrap_or_default();
        fs::read_to_string(format!("/proc/{}/comm", child.trim())).is_ok_and(|comm| comm == "sleep\n")
    };
    wait_until(Duration::from_secs(5), begun);
    storm.rage(STORM);
    let output = perf.wait_with_output().expect("perf ends");
    let summary = session.interrupt().summary();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(Skip::because(format!("perf stat: {}", said.trim())));
    }
    let count = |event: &str| {
        let line = said.lines().find(|line| line.contains(event)).unwrap_or_default();
        line.split(',').next().and_then(|count| count.parse::<u64>().ok())
    };
    let by_register = summary.causes().iter().filter(|c| c.get("msr").is_some() && c["kind"] != "msr-read");
    let written: u64 = by_register.map(|cause| number(&cause["count"])).sum();
    let calls = ["call_function_single_entry", "call_function_entry"].map(|event| count(event).unwrap_or(0));
    let pairs = [
        ("write_msr", written, count("msr:write_msr")),
        ("local_timer_entry", summary.count(&["timer"]), count("local_timer_entry")),
        ("call_function", summary.count(&["ipi-call", "tlb-shootdown"]), Some(calls.iter().sum())),
    ];
    // perf comes later and goes earlier, and the rest of the machine does not stop for that.
    const ELSEWHERE_A_SECOND: f64 = 2000.0;
    let alone = (number(&summary.0["duration_ns"]) as f64 / 1e9 - WINDOW.as_secs_f64()).max(0.0);
    let slack = SLACK + (ELSEWHERE_A_SECOND * alone) as u64;
    for (event, told, perf) in pairs {
        let perf = perf.ok_or_else(|| Skip::because(format!("perf does not count {event}: {said}")))?;
        let near = within(SHARE, told, perf) || told.abs_diff(perf) <= slack;
        assert!(near, "{event}: {told}, and perf counts {perf} in all but {alone:.1} s");
    }
    Ok(())
}
