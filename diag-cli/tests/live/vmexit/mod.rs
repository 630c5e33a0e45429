//! What makes a guest exit: counts against the kernel's own, doers against who it was.

pub(crate) mod perf;
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
    lab::Lab,
    osdiag::{Session, tool},
    record::{Record, number},
    storm::{COMM, Kind, Storm},
};
use truth::{EDGES, Truth, Window};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("vmexit_idle", idle),
    ("vmexit_ping_pong", ping_pong),
    ("vmexit_ping_pong_through_raw_hooks", ping_pong_raw),
    ("vmexit_busy_pipes", busy_pipes),
    ("vmexit_mprotect", mprotect),
    ("vmexit_mprotect_without_functions", mprotect_without_functions),
    ("vmexit_timerfd", timerfd),
    ("vmexit_sleeps", sleeps),
    ("vmexit_block_io", block_io),
];

/// How long a storm rages.
const STORM: Duration = Duration::from_millis(1500);

/// What must be true of each record of the tool.
pub(crate) fn check(record: &Record) {
    let cost = record.0["exit_cost"]["p50_ns"].as_u64();
    let mut estimated = 0;
    for activity in record.activities() {
        let by: u64 = doers(activity).map(|doer| number(&doer["event_count"])).sum();
        let counted = number(&activity["event_count"]);
        assert_eq!(by + number(&activity["other_event_count"]), counted, "{activity}");
        assert!(!activity["why"].as_str().expect("a reason").is_empty(), "{activity}");
        let price = if activity["exits"] == "no" { Some(0) } else { cost };
        let expected = cost.and(price).map(|price| price * counted);
        assert_eq!(activity["estimated_ns"].as_u64(), expected, "{activity}");
        assert!(number(&activity["idle_event_count"]) <= counted, "{activity}");
        for doer in doers(activity) {
            assert_eq!(doer["task"].is_null(), doer["context"] != "task", "{doer}");
        }
        estimated += expected.unwrap_or(0);
    }
    estimated += record.0["activities_omitted"]["ns"].as_u64().unwrap_or(0);
    let cpus = number(&record.0["host"]["cpus"]);
    let share = estimated as f64 / (number(&record.0["duration_ns"]) * cpus) as f64;
    let told = ["cpu_share", "cpu_share_idle"].map(|key| record.0[key].as_f64().unwrap_or(0.0));
    assert!((told[0] + told[1] - share).abs() < 1e-5, "{told:?} instead of {share}");
    assert!(!record.0["invisible_exits"].as_array().expect("a list").is_empty());
}

/// Who did something.
fn doers(activity: &Value) -> impl Iterator<Item = &Value> {
    activity["doers"].as_array().expect("doers are a list").iter()
}

impl Record {
    fn activities(&self) -> &[Value] {
        self.0["activities"].as_array().expect("activities are a list")
    }

    /// How often all activities of such kinds happened.
    fn count(&self, kinds: &[&str]) -> u64 {
        let of_kind = |activity: &&Value| kinds.contains(&activity["activity"].as_str().unwrap_or_default());
        self.activities().iter().filter(of_kind).map(|activity| number(&activity["event_count"])).sum()
    }

    /// How often a process did things of a kind and, if any is given, of a name.
    fn done_by(&self, pid: u32, kind: &str, name: Option<&str>) -> u64 {
        let is_meant = |activity: &&Value| {
            activity["activity"] == kind && name.is_none_or(|name| activity["name"] == name)
        };
        let doers = self.activities().iter().filter(is_meant).flat_map(doers);
        let its = doers.filter(|doer| doer["task"]["pid"] == pid && doer["task"]["comm"] == COMM);
        its.map(|doer| number(&doer["event_count"])).sum()
    }

    /// The advice, as far as there is any.
    fn advice(&self) -> &[Value] {
        self.0["verdict"]["advice"].as_array().map_or(&[], Vec::as_slice)
    }

    fn advises(&self, rule: &str) -> bool {
        self.advice().iter().any(|advice| advice["rule"] == rule)
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

/// Traces while something happens, and checks the counts against the kernel's, `most` of all. The summary, and what
/// happened.
fn against_the_kernel<T>(command: Command, most: &[&str], happens: impl FnOnce() -> T) -> (Record, T) {
    let before = Truth::read();
    let session = Session::counting(command);
    let begun = Truth::read();
    let outcome = happens();
    let ending = Truth::read();
    let summary = session.interrupt().summary();
    let window = Window { inner: [begun, ending], outer: [before, Truth::read()] };
    summary.assert_complete();
    window.compare(&summary, most);
    (summary, outcome)
}

/// The same with a storm: the summary, the storm's process, and its own count.
fn in_storm(kind: Kind, most: &[&str], command: Command) -> (Record, u32, u64) {
    let mut storm = Storm::ready(kind, None);
    let pid = storm.pid();
    let (summary, count) = against_the_kernel(command, most, || storm.rage(STORM));
    (summary, pid, count)
}

/// That `part` is at least so much of `whole`.
fn assert_most(part: u64, whole: u64, share: f64, what: &str, summary: &Record) {
    assert!(
        whole > 0 && part as f64 >= share * whole as f64,
        "{what}: {part} of {whole} in {:#}",
        summary.0["activities"]
    );
}

fn idle() -> Outcome {
    // An idle CPU has some dozen interrupts a second.
    against_the_kernel(vmexit(&[]), &[], || thread::sleep(3 * STORM));
    Ok(())
}

/// Each round trip wakes two threads, on other CPUs than the waker's. On a CPU that something else keeps busy, a wake-up
/// is a rescheduling IPI.
fn assert_wakes(summary: &Record, pid: u32, trips: u64) {
    let woken = summary.done_by(pid, "ipi-call", Some("sched_ttwu_pending"))
        + summary.done_by(pid, "ipi-reschedule", None);
    assert!(trips > 100 && woken <= 2 * trips + EDGES, "{woken} in {trips} round trips");
    let all = summary.count(&["ipi-call", "ipi-reschedule"]);
    assert_most(woken, all, 0.8, "wake-ups by the storm", summary);
}

fn ping_pong() -> Outcome {
    two_cpus()?;
    let (summary, pid, trips) = in_storm(Kind::Pipes, &["call", "reschedule"], vmexit(&[]));
    assert_wakes(&summary, pid, trips);
    Ok(())
}

fn ping_pong_raw() -> Outcome {
    two_cpus()?;
    let mut command = vmexit(&[]);
    command.env("OSDIAG_HOOKS", "raw");
    let (summary, pid, trips) = in_storm(Kind::Pipes, &["call", "reschedule"], command);
    assert_wakes(&summary, pid, trips);
    let hooks = summary.0["probes"].as_array().expect("a list");
    assert!(hooks.iter().all(|probe| probe["hook"] == "raw_tp"), "{hooks:?}");
    Ok(())
}

/// On a CPU that is busy a wake-up is a rescheduling IPI: on the second one, and on the first where something else runs.
fn busy_pipes() -> Outcome {
    two_cpus()?;
    let (summary, pid, trips) = in_storm(Kind::BusyPipes, &["reschedule"], vmexit(&[]));
    let sent = summary.done_by(pid, "ipi-reschedule", None);
    assert!(sent <= 2 * trips + EDGES, "{sent} in {trips} round trips");
    // On a busy machine timers and others wake tasks across CPUs as well.
    assert_most(sent, summary.count(&["ipi-reschedule"]), 0.5, "rescheduling by the storm", &summary);
    Ok(())
}

fn assert_flushes(summary: &Record, pid: u32, calls: u64) {
    let flushes = summary.done_by(pid, "tlb-shootdown", None);
    // The other thread need not have its CPU all the time.
    assert!(flushes <= calls + EDGES && flushes > 200, "{flushes} shootdowns in {calls} calls");
    // A machine that compiles beside has shootdowns of its own.
    assert_most(flushes, summary.count(&["tlb-shootdown"]), 0.6, "shootdowns by the storm", summary);
    assert!(!summary.advises("sleeps") && !summary.advises("periodic-timers"), "{:#?}", summary.advice());
}

fn flushes_a_second(summary: &Record, pid: u32) -> u64 {
    summary.done_by(pid, "tlb-shootdown", None) * 1_000_000_000 / number(&summary.0["duration_ns"])
}

fn mprotect() -> Outcome {
    two_cpus()?;
    let (summary, pid, calls) = in_storm(Kind::Protect, &["tlb"], vmexit(&[]));
    assert_flushes(&summary, pid, calls);
    let is_virtual = !summary.0["host"]["hypervisor"].is_null();
    let many = flushes_a_second(&summary, pid) >= 1000;
    assert_eq!(summary.advises("unmaps"), is_virtual && many, "{:#?}", summary.advice());
    Ok(())
}

/// As on kernels before 6.4, which do not tell what other CPUs are interrupted for.
fn mprotect_without_functions() -> Outcome {
    two_cpus()?;
    let mut command = vmexit(&[]);
    command.env("OSDIAG_WITHOUT", "csd_queue_cpu");
    let (summary, pid, calls) = in_storm(Kind::Protect, &["tlb"], command);
    assert_flushes(&summary, pid, calls);
    let without = summary.0["unavailable"].as_array().expect("a list");
    assert!(without.iter().any(|missing| missing["name"] == "csd_queue_cpu"), "{without:?}");
    Ok(())
}

/// Of interrupts, some come for two timers, and are the first one's.
fn timerfd() -> Outcome {
    let (summary, pid, expired) = in_storm(Kind::Timer, &["timer"], vmexit(&[]));
    let counted = summary.done_by(pid, "timer", Some("timerfd_tmrproc"));
    assert!(counted <= expired + EDGES, "{counted} of {expired}");
    assert_most(counted, expired, 0.6, "expiries", &summary);
    Ok(())
}

fn sleeps() -> Outcome {
    let (summary, pid, slept) = in_storm(Kind::Sleeps, &["timer"], vmexit(&[]));
    let counted = summary.done_by(pid, "timer", Some("hrtimer_wakeup"));
    assert!(counted <= slept + EDGES, "{counted} of {slept}");
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
    let (_, reads) = against_the_kernel(vmexit(&[]), &[], || storm.rage(STORM));
    assert!(reads > 100, "{reads} reads");
    Ok(())
}
