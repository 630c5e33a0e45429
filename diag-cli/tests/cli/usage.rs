//! Wrong usage ends with status 2 and one line that says which word was wrong and what was expected.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    process::{Command, Stdio},
};

use crate::osdiag;

/// Lines, and what the complaint about each must name.
const WRONG: &[(&[&str], &[&str])] = &[
    (&[], &["command", "iolat", "schema"]),
    (&["iolta"], &["'iolta'", "'iolat'"]),
    (&["iolat", "-d", "0s"], &["'0s'", "--duration", "10s"]),
    (&["iolat", "-d", "-1s"], &["'-1s'", "--duration", "10s"]),
    (&["iolat", "-d", "10"], &["'10'", "--duration", "unit"]),
    (&["iolat", "--duration", "soon"], &["'soon'", "--duration", "10s"]),
    (&["iolat", "--duration"], &["--duration"]),
    (&["iolat", "-i", "0ms"], &["'0ms'", "--interval"]),
    (&["iolat", "--slow", "fast"], &["'fast'", "--slow", "1ms"]),
    (&["iolat", "--tail", "0"], &["'0'", "--tail", "100"]),
    (&["iolat", "--tail", "200"], &["'200'", "--tail", "100"]),
    (&["iolat", "--slowest", "1000"], &["'1000'", "--slowest", "100"]),
    (&["hung", "--threshold", "50ms"], &["'50ms'", "--threshold", "100ms"]),
    (&["iolat", "-p", "self"], &["'self'", "--pid", "process id"]),
    (&["iolat", "-p", "4194304"], &["4194304", "running process"]),
    (&["iolat", "--comm", "sixteen-bytes-xx"], &["'sixteen-bytes-xx'", "--comm", "15"]),
    (&["iolat", "--cgroup", "/no/such/cgroup"], &["/no/such/cgroup"]),
    (&["iolat", "--cgroup", "18446744073709551615"], &["18446744073709551615"]),
    (&["iolat", "--cgroup", ""], &["''", "--cgroup", "not empty"]),
    (&["iolat", "--cgroup", "."], &["'.'", "working directory", "in no cgroup hierarchy"]),
    (&["iolat", "--cgroup", "../x"], &["'../x'", "working directory", "in no cgroup hierarchy"]),
    (&["iolat", "--container", ""], &["''", "--container", "not empty"]),
    (&["iolat", "--unit", ""], &["''", "--unit", "not empty"]),
    (&["iolat", "--comm", ""], &["''", "--comm", "15"]),
    (&["iolat", "--pid", ""], &["''", "--pid", "process id"]),
    (&["iolat", "--detach"], &["COMMAND", "--detach"]),
    (&["iolat", "--container", "no-such-container"], &["no-such-container"]),
    (&["iolat", "--unit", "no-such-unit.service"], &["no-such-unit.service"]),
    (&["iolat", "--unit", "a.service", "-p", "1"], &["--unit", "--pid", "cannot be used with"]),
    (&["iolat", "--cgroup", "/", "--", "true"], &["--cgroup", "COMMAND", "cannot be used with"]),
    (&["iolat", "--jsno"], &["'--jsno'", "'--json'"]),
    (&["iolat", "stray"], &["'stray'"]),
    (&["runq", "--by", "user"], &["'user'", "--by", "comm", "cgroup", "cpu"]),
    (&["runq", "--by"], &["--by"]),
    (&["runq", "--top", "0"], &["'0'", "--top", "1"]),
    (&["runq", "--slow", "-1ms"], &["'-1ms'", "--slow", "1ms"]),
    (&["runq", "--cgroup", "/no/such/cgroup"], &["/no/such/cgroup"]),
    (&["schema", "iolta"], &["'iolta'", "iolat"]),
];

#[test]
fn a_wrong_line_gets_one_line() {
    for (line, named) in WRONG {
        let answer = osdiag(line);
        let complaint = answer.complaint(2);
        for name in *named {
            assert!(complaint.contains(name), "{line:?}: {complaint:?} does not name {name:?}");
        }
    }
}

#[test]
fn what_was_typed_cannot_act_on_the_terminal() {
    let answer = osdiag(&["iolat", "-d", "\x1b]0;title\x07\n\u{202e}"]);
    assert!(!answer.complaint(2).contains(['\x07', '\u{202e}']), "{}", answer.err);
    osdiag(&[OsStr::new("iolat"), OsStr::new("--unit"), OsStr::from_bytes(b"\xff\x1b[2J")]).complaint(2);
    osdiag(&[OsStr::from_bytes(b"\xff\x1b[2J")]).complaint(2);
}

#[test]
fn a_complaint_that_nobody_reads_keeps_its_status() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_osdiag"))
        .args(["iolat", "-d", "x"])
        .stderr(Stdio::from(writer))
        .status()
        .expect("osdiag starts");
    assert_eq!(status.code(), Some(2));
}
