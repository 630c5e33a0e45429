//! Without privileges: status 3, and one line that names the capability and how to get it; `diagnose` says what files say.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
};

use rustix::process::geteuid;
use serde_json::{Value, json};

use crate::{
    Answer, answer,
    schema::{complaints, schema},
};

/// The user and group that own nothing.
const NOBODY: u32 = 65534;

/// What osdiag answers to somebody who has no capabilities.
fn unprivileged(line: &[&str]) -> Answer {
    // The build's own folder may be closed to other users.
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it opens");
    let binary = folder.path().join("osdiag");
    fs::copy(env!("CARGO_BIN_EXE_osdiag"), &binary).expect("a copy");
    let mut command = Command::new(&binary);
    command.args(line).current_dir("/");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    answer(&mut command)
}

#[test]
fn an_unprivileged_user_is_told_what_is_missing() {
    let answer = unprivileged(&["iolat", "-d", "1s"]);
    let complaint = answer.complaint(3);
    for part in ["CAP_BPF", "CAP_PERFMON", "root"] {
        assert!(complaint.contains(part), "{complaint}");
    }
}

#[test]
fn diagnose_answers_from_files_where_nothing_can_be_traced() {
    let answer = unprivileged(&["diagnose", "-d", "300ms", "--json"]);
    assert_eq!(answer.status, Some(0), "{}", answer.err);
    assert!(answer.err.contains("CAP_BPF"), "{}", answer.err);
    let record: Value =
        serde_json::from_str(answer.out.strip_suffix('\n').expect("a line")).expect("one record");
    assert_eq!(complaints(&schema("diagnose"), &record), Vec::<String>::new());
    assert_eq!(record["verdict"]["status"], "blind");
    assert_eq!((&record["findings"], &record["probes"]), (&json!([]), &json!([])));
    assert_eq!(record["not_seen"][0]["name"], "tracing");
    assert!(record["duration_ns"].as_u64().is_some_and(|ns| ns >= 300_000_000), "{}", record["duration_ns"]);
    let signals = record["signals"].as_array().expect("a list");
    let has = |name: &str| signals.iter().any(|signal| signal["signal"] == name);
    assert!(has("steal") && has("stuck-threads"), "{signals:?}");
    assert_eq!(has("cpu-pressure"), fs::read("/proc/pressure/cpu").is_ok());
    // A command is not begun only to be told nothing of it.
    let answer = unprivileged(&["diagnose", "--", "true"]);
    assert_eq!((answer.status, answer.out.as_str()), (Some(3), ""));
}

#[test]
fn a_mistake_is_one_for_everybody() {
    unprivileged(&["iolat", "-p", "4194304"]).complaint(2);
}

#[test]
fn what_needs_no_privileges_is_there_for_everybody() {
    for line in [&["--help"][..], &["iolat", "--help"], &["schema", "iolat"]] {
        let answer = unprivileged(line);
        assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""), "{line:?}");
    }
}
