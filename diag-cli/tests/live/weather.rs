//! Bad weather: signals, closed pipes, hostile names, missing privileges and missing kernel features.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    Outcome, Skip, Test,
    lab::{Lab, image::PlainDisk, wait_until},
    osdiag::{Finished, Session, binary, iolat, trace},
    workload::{Call, Desk, Job, Plan, Step},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("weather_closed_pipe", closed_pipe),
    ("weather_sigint_and_sigterm", sigint_and_sigterm),
    ("weather_duration_ends_it", duration_ends_it),
    ("weather_kill_leaves_nothing_behind", kill_leaves_nothing_behind),
    ("weather_hostile_names", hostile_names),
    ("weather_hidden_btf", hidden_btf),
    ("weather_unprivileged_user", unprivileged_user),
    ("weather_probe_that_cannot_attach", probe_that_cannot_attach),
    ("weather_wrong_targets", wrong_targets),
];

/// That it refused in one line, with this exit status.
fn assert_refused(finished: &Finished, status: i32) -> &str {
    assert_eq!(finished.status.code(), Some(status), "{}", finished.err);
    assert!(finished.out.is_empty(), "{}", String::from_utf8_lossy(&finished.out));
    let line = finished.err.trim();
    assert!(!line.is_empty() && line.lines().count() == 1, "not one line: {}", finished.err);
    line
}

/// Whoever reads stops reading: that is no error, and nothing to talk about.
fn closed_pipe() -> Outcome {
    for flags in [["--json", "-i", "50ms"].as_slice(), &["-i", "50ms"]] {
        let mut child = iolat(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("osdiag starts");
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        reader.read_line(&mut line).expect("it writes");
        assert!(!line.is_empty(), "it ended before its output did");
        drop(reader);
        let ended = wait_until(Duration::from_secs(10), || !matches!(child.try_wait(), Ok(None)));
        child.kill().ok();
        let mut said = String::new();
        child
            .stderr
            .take()
            .expect("its complaints are a pipe")
            .read_to_string(&mut said)
            .expect("they are text");
        assert!(ended, "{flags:?}: it goes on for nobody: {said}");
        let status = child.wait().expect("it has ended");
        assert_eq!(status.code(), Some(0), "{flags:?}: {said}");
        assert!(!said.contains("panic") && !said.to_lowercase().contains("broken pipe"), "{flags:?}: {said}");
    }
    Ok(())
}

fn sigint_and_sigterm() -> Outcome {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let session = Session::tracing(iolat(&["--json", "-i", "100ms"]));
        session.wait_for_output();
        session.signal(signal);
        let finished = session.finish();
        assert_eq!(finished.summary().text("type"), "summary");
        assert!(finished.waited < Duration::from_secs(2), "the end took {:?}", finished.waited);
    }
    Ok(())
}

fn duration_ends_it() -> Outcome {
    let finished = Session::start(iolat(&["--json", "-d", "700ms"])).finish();
    let ns = finished.summary().0["duration_ns"].as_u64().expect("a duration is a number");
    assert!((700_000_000..900_000_000).contains(&ns), "{ns} ns");
    Ok(())
}

/// The BPF objects that a process holds, by the names that fdinfo gives their numbers.
fn bpf_objects(pid: u32) -> Vec<(String, u32)> {
    let directory = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("the process is there");
    let texts = directory.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let mut found = Vec::new();
    for text in texts {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        found.extend(
            lines
                .filter(|(key, _)| ["prog_id", "map_id", "link_id"].contains(key))
                .filter_map(|(key, number)| Some((key.to_owned(), number.trim().parse().ok()?))),
        );
    }
    found.sort();
    found.dedup();
    found
}

/// Whether the kernel still has a BPF object.
fn is_loaded(kind: &str, number: u32) -> bool {
    // include/uapi/linux/bpf.h: BPF_PROG_GET_FD_BY_ID, BPF_MAP_GET_FD_BY_ID, BPF_LINK_GET_FD_BY_ID.
    let command = match kind {
        "prog_id" => 13,
        "map_id" => 14,
        _ => 30,
    };
    let attributes = [number, 0, 0];
    // SAFETY: these commands read a number, another and flags, which is what the array holds.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(&attributes)) };
    if fd >= 0 {
        // SAFETY: the descriptor is new, and nobody else knows it.
        unsafe { libc::close(fd as libc::c_int) };
    }
    fd >= 0
}

fn entries(path: &str) -> BTreeSet<OsString> {
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
}

fn kill_leaves_nothing_behind() -> Outcome {
    let traces = || {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("there are mounts");
        let places = [
            "/sys/fs/bpf",
            "/sys/fs/cgroup/unified",
            "/sys/fs/cgroup/memory",
            "/sys/kernel/tracing/instances",
        ];
        (mounts, places.map(entries))
    };
    let before = traces();
    let session = Session::tracing(iolat(&["--json", "-i", "100ms"]));
    session.wait_for_output();
    let objects = bpf_objects(session.pid());
    assert!(objects.iter().any(|(kind, _)| kind == "prog_id"), "it holds no program: {objects:?}");
    assert!(objects.iter().any(|(kind, _)| kind == "map_id"), "it holds no map: {objects:?}");
    assert!(objects.iter().all(|(kind, number)| is_loaded(kind, *number)), "the kernel knows them");
    session.signal(libc::SIGKILL);
    let finished = session.finish();
    assert!(!finished.status.success());
    let left = || objects.iter().filter(|(kind, number)| is_loaded(kind, *number)).collect::<Vec<_>>();
    // The kernel frees programs and maps after a grace period.
    wait_until(Duration::from_secs(10), || left().is_empty());
    assert!(left().is_empty(), "still loaded: {:?}", left());
    assert_eq!(traces(), before);
    Ok(())
}

/// Names that would clear the screen, start a new line or are no text at all.
fn hostile_names() -> Outcome {
    let lab = Lab::new();
    let disk = PlainDisk::new(&lab, 64 << 20)?;
    let name = OsStr::from_bytes(b"first\x1b[2J\n\xff\x07last");
    let file = disk.mount.path().join(name);
    crate::lab::image::fill(&file, 8 << 20);
    let desk = Desk::new(&lab);
    let job = Job::new(&file, Step::transfer(Call::Pread, 1 << 20, 8 << 20), 50);
    let plan = Plan { comm: Some(b"co\x1b[31m\n\xfemm".to_vec()), ..desk.plan(vec![job]) };
    let traced = trace(&desk, &[], &plan);
    let summary = traced.finished.summary();
    let slow =
        summary.slowest().iter().find(|slow| slow["op"] == "pread64").expect("it is among the slowest");
    for (key, first, last, bad) in [("file", "/first", "last", "xff"), ("comm", "co", "mm", "xfe")] {
        let text = if key == "comm" { &slow["task"][key] } else { &slow[key] };
        let text = text.as_str().unwrap_or_else(|| panic!("no {key}: {slow}"));
        let kept = text.contains(first) && text.ends_with(last) && text.to_lowercase().contains(bad);
        assert!(kept, "{key} lost something: {text:?}");
    }
    // And what people see.
    let mut command = iolat(&["--"]);
    command.arg(std::env::current_exe().expect("the tests have a path")).args(plan.arguments());
    let mut session = Session::start(command);
    session.workload(&desk).through();
    let finished = session.finish();
    assert!(finished.status.success(), "{}", finished.err);
    let seen = [finished.out, finished.err.into_bytes()].concat();
    let seen = str::from_utf8(&seen).expect("people get UTF-8");
    assert!(seen.contains("first") && seen.contains("pread64"), "the file is shown: {seen}");
    let raw: Vec<char> = seen.chars().filter(|c| c.is_control() && *c != '\n').collect();
    assert!(raw.is_empty(), "control characters reach the terminal: {raw:?} in {seen:?}");
    assert!(seen.lines().all(|line| !line.starts_with('\u{fffd}')), "a name begins a line: {seen}");
    Ok(())
}

/// In a mount namespace in which the kernel's types are hidden.
fn hidden_btf() -> Outcome {
    let lab = Lab::new();
    let empty = lab.directory("empty");
    let hide = "mount --bind \"$1\" /sys/kernel/btf && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", hide, "sh"])
        .arg(&empty)
        .arg(binary())
        .args(["iolat", "--json", "-d", "1s"]);
    let finished = Session::start(command).finish();
    if finished.err.contains("unshare:") || finished.err.contains("mount:") {
        return Err(Skip::because(finished.err.trim()));
    }
    let line = assert_refused(&finished, 3).to_owned();
    assert!(line.contains("BTF"), "{line}");
    Ok(())
}

fn unprivileged_user() -> Outcome {
    let lab = Lab::new();
    let copy = lab.path("osdiag");
    fs::copy(binary(), &copy).expect("a lab takes a binary");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&copy);
    command.args(["iolat", "--json", "-d", "1s"]);
    let finished = Session::start(command).finish();
    if finished.err.contains("setpriv:") {
        return Err(Skip::because(finished.err.trim()));
    }
    let line = assert_refused(&finished, 3).to_owned();
    assert!(line.contains("CAP_") || line.contains("root"), "how to get what is missing: {line}");
    Ok(())
}

/// `OSDIAG_WITHOUT` names a tracepoint that is to fail; it is for tests alone.
fn probe_that_cannot_attach() -> Outcome {
    let missing = "block_rq_complete";
    let mut command = iolat(&["--json", "-d", "300ms"]);
    command.env("OSDIAG_WITHOUT", missing);
    let finished = Session::start(command).finish();
    let summary = finished.summary();
    let named = |key: &str| -> Vec<Value> {
        let list = summary.0[key].as_array().expect("it is a list");
        list.iter()
            .filter(|entry| entry["name"].as_str().unwrap_or_default().contains(missing))
            .cloned()
            .collect()
    };
    let unavailable = named("unavailable");
    assert_eq!(unavailable.len(), 1, "{}", summary.0["unavailable"]);
    for key in ["why", "effect"] {
        assert!(unavailable[0][key].as_str().is_some_and(|text| text.len() > 10), "{}", unavailable[0]);
    }
    assert!(named("probes").is_empty(), "{}", summary.0["probes"]);
    Ok(())
}

fn wrong_targets() -> Outcome {
    let past_the_last = fs::read_to_string("/proc/sys/kernel/pid_max").expect("there is a last pid");
    let cases: &[&[&str]] = &[
        &["-p", past_the_last.trim()],
        &["-p", "0"],
        &["-p", "abc"],
        &["--cgroup", "/nonexistent"],
        &["--cgroup", "18446744073709551615"],
        &["--container", "nosuchcontainer"],
        &["--unit", "nosuchunit.service"],
        &["-d", "soon"],
        &["-d", "0s"],
        &["-i", "-1s"],
    ];
    for flags in cases {
        let finished = Session::start(iolat(&[["--json"].as_slice(), flags].concat())).finish();
        assert_eq!(finished.status.code(), Some(2), "{flags:?}: {}", finished.err);
        assert!(finished.out.is_empty(), "{flags:?}: {:?}", finished.out);
        let wrong = flags[1];
        assert!(finished.err.contains(wrong), "{flags:?}: which value is wrong? {}", finished.err);
    }
    assert!(Path::new("/proc/1").exists(), "pid 1 is a right target");
    let finished = Session::start(iolat(&["--json", "-p", "1", "-d", "100ms"])).finish();
    assert_eq!(finished.summary().0["target"]["kind"], "pid");
    Ok(())
}
