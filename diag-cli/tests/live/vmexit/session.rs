//! Whom it counts, when, and what it says of the guest.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{
    STORM, assert_most, doers,
    truth::{Truth, Window},
    two_cpus, vmexit,
};
use crate::{
    Outcome, Skip, Test,
    lab::{Lab, cgroup::Cgroup},
    osdiag::{Session, binary},
    record::{Record, number, within},
    storm::{Kind, Storm},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("vmexit_target_pid", target_pid),
    ("vmexit_target_cgroup", target_cgroup),
    ("vmexit_intervals_add_up", intervals),
    ("vmexit_calibration_repeats", calibration),
    ("vmexit_tells_what_this_guest_is", features),
    ("vmexit_on_one_cpu_tells_of_all", on_one_cpu),
    ("vmexit_leaves_halts_out_of_a_target", others_halts),
    ("vmexit_tells_idle_cpus_apart", idle_cpus),
    ("vmexit_tells_what_a_burst_costs", burst),
];

/// That all that is counted is of one process.
fn assert_only(summary: &Record, pid: u32) {
    for doer in summary.activities().iter().flat_map(doers) {
        assert!(doer["context"] == "task" && doer["task"]["pid"] == pid, "{doer}");
    }
}

/// Two storms, of which one is the target.
fn beside_another(storm: &mut Storm, command: Command) -> (Record, u64) {
    let mut other = Storm::ready(Kind::Pipes, None);
    let session = Session::counting(command);
    let mine = thread::scope(|scope| {
        let noise = scope.spawn(|| other.rage(STORM));
        let mine = storm.rage(STORM);
        assert!(noise.join().expect("it rages") > 100, "the other storm is one");
        mine
    });
    (session.interrupt().summary(), mine)
}

fn target_pid() -> Outcome {
    two_cpus()?;
    let mut storm = Storm::ready(Kind::Sleeps, None);
    let pid = storm.pid();
    let (summary, slept) = beside_another(&mut storm, vmexit(&["-p", &pid.to_string()]));
    assert_only(&summary, pid);
    let counted = summary.done_by(pid, "timer", Some("hrtimer_wakeup"));
    assert_most(counted, slept, 0.4, "sleeps", &summary);
    Ok(())
}

fn target_cgroup() -> Outcome {
    two_cpus()?;
    let lab = Lab::new();
    let group = Cgroup::v2(&lab)?;
    let mut storm = Storm::ready(Kind::Timer, None);
    group.set("cgroup.procs", &storm.pid().to_string())?;
    let path = Path::new(group.path()).to_string_lossy().into_owned();
    let pid = storm.pid();
    let (summary, expired) = beside_another(&mut storm, vmexit(&["--cgroup", &path]));
    assert_only(&summary, pid);
    let counted = summary.done_by(pid, "timer", Some("timerfd_tmrproc"));
    assert_most(counted, expired, 0.4, "expiries", &summary);
    Ok(())
}

/// Each count belongs to one interval.
fn intervals() -> Outcome {
    let mut storm = Storm::ready(Kind::Sleeps, None);
    let session = Session::counting(vmexit(&["-i", "300ms"]));
    storm.rage(STORM);
    let records = session.interrupt().records();
    let count = |records: &[Record]| {
        let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
        for activity in records.iter().flat_map(Record::activities) {
            let key = (activity["activity"].to_string(), activity["name"].to_string());
            *sums.entry(key).or_default() += number(&activity["event_count"]);
        }
        sums
    };
    let (summary, intervals) = records.split_last().expect("there is a summary");
    assert!(intervals.len() >= 4, "{} intervals", intervals.len());
    assert_eq!(count(intervals), count(std::slice::from_ref(summary)));
    let halted = |record: &Record| number(&record.0["idle"]["halted"]["count"]);
    assert_eq!(intervals.iter().map(halted).sum::<u64>(), halted(summary));
    Ok(())
}

/// Runs in turn, so that both halves see the same weather. An exit costs a quarter more while something else keeps the
/// other half of the core busy; where that changes from run to run, it is the quietest runs that are alike.
fn calibration() -> Outcome {
    const RUNS: usize = 14;
    let cost = || {
        let summary = Session::start(vmexit(&["-d", "50ms"])).finish().summary();
        let p50 = summary.0["exit_cost"]["p50_ns"].as_u64();
        let cost = &summary.0["exit_cost"];
        assert!(p50.is_none() || cost["min_ns"].as_u64() <= p50 && p50 <= cost["p99_ns"].as_u64(), "{cost}");
        p50.ok_or_else(|| Skip::because("CPUID does not exit here"))
    };
    let costs: Vec<u64> = (0..RUNS).map(|_| cost()).collect::<Outcome<_>>()?;
    let half = |first: usize| {
        let mut half: Vec<u64> = costs.iter().skip(first).step_by(2).copied().collect();
        half.sort_unstable();
        [half[half.len() / 2], half[0]]
    };
    let (one, other) = (half(0), half(1));
    let alike = one.into_iter().zip(other).any(|(one, other)| within(0.15, one, other));
    assert!(alike, "medians and quietest are {one:?} and {other:?} ns: {costs:?}");
    Ok(())
}

fn features() -> Outcome {
    let summary = Session::start(vmexit(&["-d", "50ms"])).finish().summary();
    let flags = fs::read_to_string("/proc/cpuinfo").expect("proc is mounted");
    let is_virtual = flags.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    let features = &summary.0["features"];
    assert_eq!(summary.0["host"]["hypervisor"].is_string(), is_virtual, "{}", summary.0["host"]);
    assert_eq!(
        features["signatures"].as_array().is_some_and(|all| !all.is_empty()),
        is_virtual,
        "{features}"
    );
    if !is_virtual {
        assert!(summary.0["exit_cost"].is_null() && summary.0["verdict"]["status"] == "nothing");
        let never = summary.activities().iter().all(|activity| activity["exits"] == "no");
        assert!(never, "{:#}", summary.0["activities"]);
    }
    let clock = fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    assert_eq!(features["clocksource"], clock.unwrap_or_default().trim());
    Ok(())
}

/// Shares are of all CPUs that are online, whichever of them osdiag may use itself.
fn on_one_cpu() -> Outcome {
    two_cpus()?;
    let mut storm = Storm::ready(Kind::Pipes, None);
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(binary()).args(["vmexit", "--json"]);
    let session = Session::counting(command);
    storm.rage(STORM);
    let summary = session.interrupt().summary();
    let cost = summary.0["exit_cost"]["p50_ns"].as_u64();
    let Some(cost) = cost else { return Err(Skip::because("CPUID does not exit here")) };
    let cpus = fs::read_to_string("/proc/cpuinfo").expect("proc is mounted");
    let cpus = cpus.lines().filter(|line| line.starts_with("processor")).count() as u64;
    let may_exit = summary.activities().iter().filter(|activity| activity["exits"] != "no");
    let events: u64 = may_exit.map(|activity| number(&activity["event_count"])).sum();
    let share = (events * cost) as f64 / (number(&summary.0["duration_ns"]) * cpus) as f64;
    let told: f64 = ["cpu_share", "cpu_share_idle"].iter().filter_map(|&key| summary.0[key].as_f64()).sum();
    assert!(share > 0.001 && (told - share).abs() < 0.05 * share, "{told} instead of {share}");
    Ok(())
}

/// A process that does nothing, beside two that make CPUs halt: the halts that the kernel counts are shown, and are not its
/// doing.
fn others_halts() -> Outcome {
    two_cpus()?;
    let mut quiet = Command::new("sleep").arg("60").spawn().expect("sleep starts");
    let mut storm = Storm::ready(Kind::Pipes, None);
    let before = Truth::read();
    let session = Session::counting(vmexit(&["-p", &quiet.id().to_string()]));
    let begun = Truth::read();
    storm.rage(STORM);
    let ending = Truth::read();
    let summary = session.interrupt().summary();
    let window = Window { inner: [begun, ending], outer: [before, Truth::read()] };
    quiet.kill().expect("it still sleeps");
    quiet.wait().expect("it ends");
    let halted = number(&summary.0["idle"]["halted"]["count"]);
    window.compare_halts(halted);
    if halted == 0 {
        return Err(Skip::because("this machine is busy: no CPU halted"));
    }
    assert!(summary.activities().is_empty(), "{:#}", summary.0["activities"]);
    let verdict = &summary.0["verdict"];
    assert!(verdict["status"] == "nothing" && verdict["advice"].is_null(), "{verdict:#}");
    for key in ["cpu_share", "cpu_share_idle"] {
        assert_eq!(summary.0[key].as_f64().unwrap_or(0.0), 0.0, "{key}");
    }
    Ok(())
}

/// Where every CPU has something to run, next to nothing comes to an idle one; and of a process that sleeps on CPUs that are
/// idle, as the kernel counts it, timers expire on idle ones.
fn idle_cpus() -> Outcome {
    two_cpus()?;
    let part = |summary: &Record| {
        let timers = summary.activities().iter().filter(|activity| activity["activity"] == "timer");
        let sum = |key: &str| timers.clone().map(|timer| number(&timer[key])).sum::<u64>();
        sum("idle_event_count") as f64 / sum("event_count").max(1) as f64
    };
    let mut storm = Storm::ready(Kind::Sleeps, None);
    let stop = AtomicBool::new(false);
    let busy = thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let session = Session::counting(vmexit(&[]));
        storm.rage(STORM);
        let summary = session.interrupt().summary();
        stop.store(true, Ordering::Relaxed);
        summary
    });
    assert!(part(&busy) < 0.1, "{} of timers on idle CPUs: {:#}", part(&busy), busy.0["activities"]);
    let session = Session::counting(vmexit(&[]));
    let before = cpu_clocks();
    storm.rage(STORM);
    let [idle, all] = [0, 1].map(|clock| cpu_clocks()[clock] - before[clock]);
    let idle = idle as f64 / all.max(1) as f64;
    let quiet = session.interrupt().summary();
    if idle < 0.6 {
        return Err(Skip::because(format!(
            "this machine is busy: CPUs were idle {:.0} % of the time",
            100.0 * idle
        )));
    }
    assert!(part(&quiet) > 0.3, "{} of timers on idle CPUs: {:#}", part(&quiet), quiet.0["activities"]);
    Ok(())
}

/// Time in which CPUs were idle or waited for I/O, and all their time, in the kernel's ticks (proc(5)).
fn cpu_clocks() -> [u64; 2] {
    let stat = fs::read_to_string("/proc/stat").expect("proc is mounted");
    let all = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let clocks: Vec<u64> = all.take(8).filter_map(|clock| clock.parse().ok()).collect();
    [clocks[3] + clocks[4], clocks.iter().sum()]
}

/// Whatever is counted took a run of a program; and a burst that is over before anybody looks is in the cost as well.
fn burst() -> Outcome {
    two_cpus()?;
    let mut storm = Storm::ready(Kind::Protect, None);
    let session = Session::counting(vmexit(&["-d", "3s"]));
    thread::sleep(STORM / 2);
    storm.rage(STORM / 2);
    let summary = session.finish().summary();
    let runs = &summary.0["self"]["events"];
    let Some(runs) = runs.as_u64() else { return Err(Skip::because("the kernel keeps no statistics")) };
    let counted: u64 = summary.activities().iter().map(|activity| number(&activity["event_count"])).sum();
    assert!(counted > 1000, "{counted} events are too few for a burst");
    // Other programs run without anything to count: those that see timers being armed, for one.
    assert!(counted < 2 * runs && runs < 50 * counted, "{runs} runs counted {counted} events");
    Ok(())
}
