//! Signals: the first one ends a session with its summary, a second one ends it at once.

use std::{os::unix::process::CommandExt, time::Duration};

use super::{
    MOMENT, ended, full_pipe, lasted_ns, lives, number_in, running, signals_of, wait_until_it_listens,
};
use crate::{
    Outcome, Test,
    lab::{Lab, wait_until},
    osdiag::{Session, iolat},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("session_first_signal_while_attaching", first_while_attaching),
    ("session_first_signal_before_the_command", first_before_the_command),
    ("session_second_signal_while_attaching", second_while_attaching),
    ("session_second_signal_while_the_output_is_stuck", second_while_stuck),
    ("session_second_signal_takes_the_command_along", second_with_a_command),
    ("session_ignored_signals_stay_ignored", ignored),
];

/// 128 and the number of a signal.
fn status_of(signal: i32) -> Option<i32> {
    Some(128 + signal)
}

/// All three give a summary, also of a session that has not begun to count.
fn first_while_attaching() -> Outcome {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let session = Session::start(iolat(&["--json"]));
        wait_until_it_listens(&session);
        session.signal(signal);
        session.finish().summary();
    }
    Ok(())
}

/// Then the command is not begun at all.
fn first_before_the_command() -> Outcome {
    let lab = Lab::new();
    let mark = lab.path("mark");
    let session = Session::start(running(&[], &format!("echo > {}", mark.display())));
    wait_until_it_listens(&session);
    session.signal(libc::SIGINT);
    let finished = session.finish();
    assert_eq!(finished.status.code(), status_of(libc::SIGINT), "{}", finished.err);
    assert!(!mark.exists() && finished.err.contains("before the command was begun"), "{}", finished.err);
    assert_eq!(finished.any_records().len(), 1);
    Ok(())
}

/// Pending at once, the one with the lower number comes first.
fn second_while_attaching() -> Outcome {
    let session = Session::start(iolat(&["-d", "60s"]));
    wait_until_it_listens(&session);
    session.signal(libc::SIGINT);
    session.signal(libc::SIGTERM);
    let (status, said, waited) = ended(session);
    assert_eq!(status, status_of(libc::SIGTERM), "{said}");
    assert!(waited < MOMENT, "{waited:?}");
    Ok(())
}

/// The summary cannot be written, and the session waits for its reader.
fn second_while_stuck() -> Outcome {
    let (_reader, writer) = full_pipe();
    let mut session = Session::writing_to(iolat(&["--json"]), writer);
    session.wait_for_words(": tracing ");
    session.signal(libc::SIGINT);
    let gone = || super::programs_of(session.pid()) == 0;
    assert!(wait_until(MOMENT, gone), "the first signal does not detach");
    session.signal(libc::SIGINT);
    let (status, said, waited) = ended(session);
    assert_eq!(status, status_of(libc::SIGINT), "{said}");
    assert!(waited < MOMENT, "{waited:?}");
    Ok(())
}

/// While a command that ignores SIGTERM has its two seconds.
fn second_with_a_command() -> Outcome {
    let lab = Lab::new();
    let file = lab.path("pid");
    let script = format!("trap '' TERM; echo $$ > {}; while :; do sleep 0.05; done", file.display());
    let session = Session::start(running(&[], &script));
    let pid = number_in(&file);
    session.signal(libc::SIGHUP);
    assert!(
        wait_until(MOMENT, || super::programs_of(session.pid()) == 0),
        "the first signal does not detach"
    );
    assert!(lives(pid));
    session.signal(libc::SIGTERM);
    let (status, said, waited) = ended(session);
    assert_eq!(status, status_of(libc::SIGTERM), "{said}");
    assert!(waited < MOMENT && wait_until(MOMENT, || !lives(pid)), "{waited:?}");
    Ok(())
}

/// As under `nohup`, and in the background of a script.
fn ignored() -> Outcome {
    let mut command = iolat(&["--json", "-d", "700ms"]);
    // SAFETY: between fork and exec it makes two system calls.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGINT, libc::SIGHUP] {
                libc::signal(signal, libc::SIG_IGN);
            }
            Ok(())
        });
    }
    let session = Session::counting(command);
    let both = 1 << (libc::SIGINT - 1) | 1 << (libc::SIGHUP - 1);
    assert_eq!(signals_of(session.pid(), "SigIgn") & both, both);
    for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGINT] {
        session.signal(signal);
    }
    let lasted = Duration::from_nanos(lasted_ns(&session.finish().summary()));
    assert!(lasted >= Duration::from_millis(700), "{lasted:?}");
    Ok(())
}
