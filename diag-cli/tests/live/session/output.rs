//! Outputs that are not read, go away, do not block or are full.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    thread,
    time::Duration,
};

use super::{LONG, MOMENT, ended, full_pipe, lasted_ns, programs_of, running, set_blocking};
use crate::{
    Outcome, Test,
    lab::{Lab, wait_until},
    osdiag::{Session, iolat},
    record::{self, Record},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[
    ("session_output_stuck_detaches_in_time", stuck_detaches),
    ("session_output_stuck_is_given_up_after_a_signal", stuck_is_given_up),
    ("session_output_stuck_makes_intervals_longer", stuck_makes_intervals_longer),
    ("session_output_that_does_not_block", nonblocking),
    ("session_output_that_goes_away", goes_away),
    ("session_output_that_is_full", full),
];

/// What a pipe gives up to its end, a little at a time.
fn read_slowly(reader: OwnedFd) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut reader = File::from(reader);
        let (mut all, mut chunk) = (Vec::new(), [0; 1000]);
        while let Ok(length @ 1..) = reader.read(&mut chunk) {
            all.extend_from_slice(&chunk[..length]);
        }
        all
    })
}

fn records(bytes: &[u8]) -> Vec<Record> {
    let text = str::from_utf8(bytes).expect("records are UTF-8");
    text.lines().filter(|line| !line.is_empty()).map(record::read).collect()
}

/// The time is over when it is; the summary waits for its reader.
fn stuck_detaches() -> Outcome {
    let (reader, writer) = full_pipe();
    let mut session = Session::writing_to(iolat(&["--json", "-d", "300ms"]), writer);
    session.wait_for_words(": tracing ");
    assert!(programs_of(session.pid()) > 0);
    assert!(wait_until(LONG, || programs_of(session.pid()) == 0), "it traces on");
    assert!(!session.ended(), "{}", session.complaints());
    let reading = read_slowly(reader);
    let (status, said, _) = ended(session);
    assert_eq!(status, Some(0), "{said}");
    let records = records(&reading.join().expect("it reads"));
    assert_eq!(records.len(), 1);
    let lasted = Duration::from_nanos(lasted_ns(&records[0]));
    assert!(lasted >= Duration::from_millis(300) && lasted < MOMENT, "{lasted:?}");
    Ok(())
}

fn stuck_is_given_up() -> Outcome {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let (_reader, writer) = full_pipe();
        let mut session = Session::writing_to(iolat(&["--json"]), writer);
        session.wait_for_words(": tracing ");
        session.signal(signal);
        let (status, said, waited) = ended(session);
        assert_eq!(status, Some(1), "{said}");
        let last = said.trim_end().lines().last().unwrap_or_default();
        assert!(
            last.starts_with("osdiag: cannot write to standard output: its reader has taken nothing"),
            "{said}"
        );
        assert!(last.contains("not written: 1 text"), "{said}");
        assert!(waited < Duration::from_secs(2) + MOMENT, "{waited:?}");
    }
    Ok(())
}

/// Until 4 MiB wait. What is counted meanwhile is in the next interval.
fn stuck_makes_intervals_longer() -> Outcome {
    let (reader, writer) = full_pipe();
    let mut session = Session::writing_to(iolat(&["--json", "-i", "1ms"]), writer);
    session.wait_for_words("this interval gets longer");
    thread::sleep(Duration::from_millis(300));
    let reading = read_slowly(reader);
    // It reads everything that waits; a further interval then is on time.
    thread::sleep(Duration::from_millis(500));
    session.signal(libc::SIGINT);
    let (status, said, _) = ended(session);
    assert_eq!(status, Some(0), "{said}");
    let mut records = records(&reading.join().expect("it reads"));
    let summary = records.pop().expect("a summary");
    let lengths: Vec<u64> = records.iter().map(lasted_ns).collect();
    assert_eq!(lengths.iter().sum::<u64>(), lasted_ns(&summary));
    let longest = Duration::from_nanos(lengths.into_iter().max().unwrap_or(0));
    assert!(longest >= Duration::from_millis(300), "{longest:?}");
    Ok(())
}

/// Standard output in non-blocking mode, and a reader that is slower than the records come.
fn nonblocking() -> Outcome {
    let (reader, writer) = full_pipe();
    set_blocking(&writer.as_fd(), false);
    let session = Session::writing_to(iolat(&["--json", "-d", "500ms", "-i", "20ms"]), writer);
    let reading = read_slowly(reader);
    let (status, said, _) = ended(session);
    assert_eq!(status, Some(0), "{said}");
    let records = records(&reading.join().expect("it reads"));
    assert!(records.len() > 2, "{}", records.len());
    assert_eq!(records.last().map(|record| record.text("type")), Some("summary"));
    Ok(())
}

/// The command is waited for, and its status is that of the whole.
fn goes_away() -> Outcome {
    let lab = Lab::new();
    let mark = lab.path("mark");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let script = format!("sleep 0.6; echo > {}; exit 5", mark.display());
    let session = Session::writing_to(running(&["-i", "100ms"], &script), OwnedFd::from(writer));
    let (status, said, _) = ended(session);
    assert_eq!(status, Some(5), "{said}");
    assert!(mark.exists() && !said.contains("cannot write"), "{said}");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let session = Session::writing_to(iolat(&["--json", "-i", "100ms"]), OwnedFd::from(writer));
    assert_eq!(ended(session).0, Some(0));
    Ok(())
}

fn full() -> Outcome {
    let device = || File::options().write(true).open("/dev/full").expect("/dev/full");
    let words = "osdiag: cannot write to standard output: No space left on device";
    let session = Session::writing_to(iolat(&["--json", "-d", "200ms"]), device());
    let (status, said, _) = ended(session);
    assert!(status == Some(1) && said.trim_end().ends_with(words), "{status:?} {said}");
    for (script, expected) in [("sleep 0.5; exit 5", 5), ("sleep 0.5", 1)] {
        let session = Session::writing_to(running(&["-i", "100ms"], script), device());
        let (status, said, _) = ended(session);
        assert!(status == Some(expected) && said.contains(words), "{status:?} {said}");
    }
    Ok(())
}
