//! The command line as a user or a script meets it: exit statuses, one line for each mistake, help, schemas. None of
//! these tests traces, so none needs privileges or a kernel that can be traced.

mod delays;
mod diagnose;
mod help;
mod hung;
mod lock;
mod privileges;
mod runq;
mod schema;
mod usage;
mod vmexit;

use std::{
    ffi::OsStr,
    io::ErrorKind,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// What a run of osdiag came to.
struct Answer {
    status: Option<i32>,
    out: String,
    err: String,
}

/// Runs osdiag with `line`.
fn osdiag(line: &[impl AsRef<OsStr>]) -> Answer {
    answer(Command::new(env!("CARGO_BIN_EXE_osdiag")).args(line))
}

fn answer(command: &mut Command) -> Answer {
    // A test that runs a copy has just written it, and another that forks at that moment holds it open for a while.
    let output = loop {
        match command.stdin(Stdio::null()).output() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(5));
            }
            output => break output.expect("osdiag starts"),
        }
    };
    Answer {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).expect("osdiag writes UTF-8"),
        err: String::from_utf8(output.stderr).expect("osdiag writes UTF-8"),
    }
}

impl Answer {
    /// The one line on standard error of a run that ended with `status` and said nothing else.
    fn complaint(&self, status: i32) -> &str {
        assert_eq!(self.status, Some(status), "{}", self.err);
        assert_eq!(self.out, "");
        let line = self.err.strip_suffix('\n').expect("a line");
        assert!(line.starts_with("osdiag: ") && !line.contains(char::is_control), "{line:?}");
        line
    }
}
