//! How long a session was, what ended it, and what it needs.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::lasted_ns;
use crate::{
    Outcome, Test,
    lab::{Lab, cgroup::Cgroup},
    osdiag::{Session, iolat, tool},
    workload::prefer_this_thread,
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("session_duration_of_a_command", || preferred(duration_of_a_command)),
    ("session_duration_of_intervals", || preferred(duration_of_intervals)),
    ("session_cgroup_renamed_and_removed", cgroup_renamed_and_removed),
    ("session_cgroup_by_relative_path", cgroup_by_relative_path),
    ("session_processes_that_exit", processes_that_exit),
    ("session_limit_of_files_that_is_too_low", limit_that_is_too_low),
];

/// Lets a command have other limits of open files.
pub(super) fn limit_files(command: &mut Command, soft: u64, hard: u64) {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: between fork and exec it makes one system call.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

/// Measures with all that it starts running before everything else: on a busy machine each would wait for a CPU besides, as long as
/// it happens.
fn preferred(measure: fn() -> Outcome) -> Outcome {
    let first = move || {
        prefer_this_thread();
        measure()
    };
    thread::spawn(first).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// As long as for another parent, who takes the time from before it forks until it has waited, and never shorter than the
/// command sleeps.
fn duration_of_a_command() -> Outcome {
    const SLEEP: Duration = Duration::from_millis(100);
    let by_parent = || {
        let start = Instant::now();
        Command::new("sleep").arg("0.1").status().expect("sleep runs");
        start.elapsed()
    };
    let by_osdiag = || {
        let summary = Session::start(iolat(&["--json", "--", "sleep", "0.1"])).finish().summary();
        assert_eq!(summary.0["target"]["ended"], "command-exited");
        Duration::from_nanos(lasted_ns(&summary))
    };
    let (mut truths, mut said): (Vec<_>, Vec<_>) = (0..6).map(|_| (by_parent(), by_osdiag())).unzip();
    truths.sort_unstable();
    said.sort_unstable();
    eprintln!("by a parent {truths:?}, by osdiag {said:?}");
    assert!(said[0] >= SLEEP, "{said:?}");
    assert!(said[3].abs_diff(truths[3]) <= Duration::from_millis(3), "{said:?}, {truths:?}");
    Ok(())
}

/// They are as long as the session, each begins where the one before it ended, and the first as long as asked for.
fn duration_of_intervals() -> Outcome {
    for name in ["iolat", "runq", "lock", "hung"] {
        let session = Session::start(tool(name, &["--json", "-d", "500ms", "-i", "100ms"]));
        let mut records = session.finish().records();
        records.retain(|record| record.text("type") != "event");
        let summary = records.pop().expect("a summary");
        let lengths: Vec<u64> = records.iter().map(lasted_ns).collect();
        assert_eq!(lengths.iter().sum::<u64>(), lasted_ns(&summary), "{name}: {lengths:?}");
        assert_eq!(records[0].text("start"), summary.text("start"));
        let lasted = Duration::from_nanos(lasted_ns(&summary));
        assert!(lasted >= Duration::from_millis(500), "{name}: {lasted:?}");
        assert!(lasted < Duration::from_millis(560), "{name}: {lasted:?}");
    }
    Ok(())
}

/// v1 lets a cgroup have another name, and then it is the same one still.
fn cgroup_renamed_and_removed() -> Outcome {
    let lab = Lab::new();
    let group = Cgroup::v1(&lab, "memory")?;
    let path = group.path().to_owned();
    let flags = ["--json", "-i", "100ms", "--cgroup", &path.to_string_lossy()].map(str::to_owned);
    let mut session = Session::tracing(iolat(&flags));
    let other = path.with_file_name(format!("{}.renamed", lab.name()));
    fs::rename(&path, &other).expect("v1 renames");
    let renamed = Instant::now();
    while renamed.elapsed() < Duration::from_millis(500) {
        assert!(!session.ended(), "{}", session.complaints());
        thread::sleep(Duration::from_millis(10));
    }
    fs::rename(&other, &path).expect("v1 renames");
    drop(group);
    let finished = session.finish();
    assert_eq!(finished.summary().0["target"]["ended"], "cgroup-removed");
    assert!(finished.err.contains("which ends the session: its cgroup was removed"), "{}", finished.err);
    Ok(())
}

fn cgroup_by_relative_path() -> Outcome {
    let lab = Lab::new();
    let group = Cgroup::v2(&lab)?;
    let parent = group.path().parent().expect("it is below a mount");
    for (wanted, here) in [(".", group.path()), (lab.name(), parent)] {
        let mut command = iolat(&["--json", "-d", "100ms", "--cgroup", wanted]);
        command.current_dir(here);
        let summary = Session::start(command).finish().summary();
        assert!(summary.0["target"].to_string().contains(&group.id().to_string()), "{}", summary.0["target"]);
    }
    Ok(())
}

fn processes_that_exit() -> Outcome {
    let mut sleeper = Command::new("sleep").arg("60").spawn().expect("sleep runs");
    let session = Session::tracing(iolat(&["--json", "-p", &sleeper.id().to_string()]));
    sleeper.kill().expect("it runs");
    sleeper.wait().expect("it was killed");
    let finished = session.finish();
    assert_eq!(finished.summary().0["target"]["ended"], "processes-exited");
    assert!(finished.err.contains("which ends the session: all have exited"), "{}", finished.err);
    Ok(())
}

/// The soft limit alone is no obstacle; the hard one is named.
fn limit_that_is_too_low() -> Outcome {
    let mut command = iolat(&["--json", "-d", "100ms"]);
    limit_files(&mut command, 24, 4096);
    Session::start(command).finish().summary();
    for hard in [24, 40, 64] {
        let mut command = iolat(&["--json", "-d", "100ms"]);
        limit_files(&mut command, hard, hard);
        let finished = Session::start(command).finish();
        assert_eq!(finished.status.code(), Some(1), "{hard}: {}", finished.err);
        assert!(
            finished.err.contains("RLIMIT_NOFILE") && finished.err.contains("ulimit -n"),
            "{}",
            finished.err
        );
        assert_eq!(finished.err.trim_end().lines().count(), 1, "{}", finished.err);
    }
    Ok(())
}
