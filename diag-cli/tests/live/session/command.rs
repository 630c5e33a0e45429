//! What becomes of a command that outlives its session, and of its status.

use std::fs;

use super::{LONG, ended, lives, number_in, running};
use crate::{
    Outcome, Test,
    lab::{Lab, wait_until},
    osdiag::Session,
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("session_command_that_outlives_it", outlives),
    ("session_command_that_ends_first", ends_first),
    ("session_command_and_a_signal_to_osdiag_alone", signal_to_osdiag_alone),
    ("session_command_that_is_left_running", left_running),
    ("session_command_gets_its_own_limit_of_files", limit_of_files),
];

/// Does nothing, for ever, once it has said who it is.
fn idle(file: &std::path::Path, trap: &str) -> String {
    format!("{trap} echo $$ > {}; while :; do sleep 0.05; done", file.display())
}

fn outlives() -> Outcome {
    for (trap, expected, words) in [
        ("", 128 + libc::SIGTERM, "was ended by SIGTERM"),
        ("trap 'exit 9' TERM;", 9, "was ended by SIGTERM"),
        ("trap '' TERM;", 128 + libc::SIGKILL, "took no notice of SIGTERM for 2 s, and was killed"),
    ] {
        let lab = Lab::new();
        let file = lab.path("pid");
        let finished = Session::start(running(&["-d", "500ms"], &idle(&file, trap))).finish();
        assert_eq!(finished.status.code(), Some(expected), "{trap} {}", finished.err);
        assert!(finished.err.contains(words), "{trap} {}", finished.err);
        assert!(!lives(number_in(&file)), "{trap} it runs on");
        assert_eq!(finished.any_records().last().map(|record| record.text("type")), Some("summary"));
    }
    Ok(())
}

fn ends_first() -> Outcome {
    let finished = Session::start(running(&["-d", "60s"], "exit 7")).finish();
    assert_eq!(finished.status.code(), Some(7), "{}", finished.err);
    assert!(!finished.err.contains("the session is over"), "{}", finished.err);
    Ok(())
}

/// A terminal would send SIGINT to both.
fn signal_to_osdiag_alone() -> Outcome {
    let lab = Lab::new();
    let file = lab.path("pid");
    let session = Session::start(running(&[], &idle(&file, "")));
    let pid = number_in(&file);
    session.signal(libc::SIGINT);
    let (status, said, _) = ended(session);
    assert_eq!(status, Some(128 + libc::SIGTERM), "{said}");
    assert!(!lives(pid), "it runs on");
    Ok(())
}

fn left_running() -> Outcome {
    let lab = Lab::new();
    let file = lab.path("pid");
    let session = Session::start(running(&["-d", "300ms", "--detach"], &idle(&file, "")));
    let (status, said, _) = ended(session);
    let pid = number_in(&file);
    let runs = lives(pid);
    // SAFETY: kill takes two numbers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    assert_eq!(status, Some(0), "{said}");
    assert!(runs && said.contains(&format!("goes on, untraced: process {pid}")), "{said}");
    assert!(wait_until(LONG, || !lives(pid)));
    Ok(())
}

/// osdiag raises its own.
fn limit_of_files() -> Outcome {
    let lab = Lab::new();
    let file = lab.path("limit");
    let mut command = running(&[], &format!("ulimit -Sn > {}", file.display()));
    super::course::limit_files(&mut command, 64, 4096);
    let finished = Session::start(command).finish();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.err);
    assert_eq!(fs::read_to_string(file).expect("it ran").trim(), "64");
    Ok(())
}
