//! Running the binary under test.

use std::{
    ffi::OsStr,
    io::Read,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    lab::wait_until,
    record::{self, Record},
    workload::{Desk, Plan, Report, Visitor},
};

/// How long a session may take to end after its work has.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("OSDIAG_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_osdiag")), PathBuf::from)
}

/// A tool of osdiag with some flags.
pub(crate) fn tool<S: AsRef<OsStr>>(name: &str, flags: &[S]) -> Command {
    let mut command = Command::new(binary());
    command.arg(name).args(flags);
    command
}

/// `osdiag iolat` with some flags.
pub(crate) fn iolat<S: AsRef<OsStr>>(flags: &[S]) -> Command {
    tool("iolat", flags)
}

/// What a stream has said so far.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    fn listen(mut stream: impl Read + Send + 'static) -> (Heard, JoinHandle<()>) {
        let heard = Heard::default();
        let ear = heard.clone();
        let thread = thread::spawn(move || {
            let mut chunk = [0; 64 << 10];
            while let Ok(length @ 1..) = stream.read(&mut chunk) {
                ear.0.lock().expect("nobody panics while listening").extend_from_slice(&chunk[..length]);
            }
        });
        (heard, thread)
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("nobody panics while listening").clone()
    }
}

/// How long it may take to begin.
const START: Duration = Duration::from_secs(10);

/// A running osdiag; it is killed when this is dropped.
pub(crate) struct Session {
    child: Child,
    out: (Heard, JoinHandle<()>),
    err: (Heard, JoinHandle<()>),
}

impl Session {
    /// Starts it.
    pub(crate) fn start(command: Command) -> Session {
        let mut session = Session::writing_to(command, Stdio::piped());
        session.out = Heard::listen(session.child.stdout.take().expect("its output is a pipe"));
        session
    }

    /// Starts it with an output that is not listened to.
    pub(crate) fn writing_to(mut command: Command, output: impl Into<Stdio>) -> Session {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        let out = Heard::listen(std::io::empty());
        let err = Heard::listen(child.stderr.take().expect("its complaints are a pipe"));
        Session { child, out, err }
    }

    /// Starts it, and waits until it says what it has attached, with `-v`.
    pub(crate) fn tracing(mut command: Command) -> Session {
        command.arg("-v");
        let mut session = Session::start(command);
        let began = wait_until(START, || session.ended() || session.said_tracing());
        assert!(began && session.said_tracing(), "never traced: {}", session.complaints());
        session
    }

    fn said_tracing(&self) -> bool {
        self.complaints().contains("attached: ")
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the workload that it runs as its command.
    pub(crate) fn workload(&mut self, desk: &Desk) -> Visitor {
        desk.receive_unless(|| self.ended().then(|| self.complaints()))
    }

    /// Starts it, and waits until it says that it traces, which is when it begins to count.
    pub(crate) fn counting(command: Command) -> Session {
        let mut session = Session::start(command);
        session.wait_for_words(": tracing ");
        session
    }

    /// Waits until it says something on standard error.
    pub(crate) fn wait_for_words(&mut self, words: &str) {
        let says = |session: &Session| session.complaints().contains(words);
        let began = wait_until(PATIENCE, || self.ended() || says(self));
        assert!(began && says(self), "never said {words:?}: {}", self.complaints());
    }

    /// What it has said on standard error so far.
    pub(crate) fn complaints(&self) -> String {
        String::from_utf8_lossy(&self.err.0.bytes()).into_owned()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its child processes.
    pub(crate) fn children(&self) -> Vec<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        lists
            .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    /// How long it was silent: until a first line was on its output.
    pub(crate) fn wait_for_output(&self) {
        assert!(
            wait_until(PATIENCE, || self.out.0.bytes().contains(&b'\n')),
            "no record: {}",
            self.complaints()
        );
    }

    /// Waits for a record of which `is` is true.
    pub(crate) fn wait_for(&mut self, is: impl Fn(&Record) -> bool) -> Record {
        let mut found = None;
        wait_until(PATIENCE, || {
            let bytes = self.out.0.bytes();
            let text = String::from_utf8_lossy(&bytes);
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            found = whole.lines().map(record::read).find(&is);
            found.is_some() || self.ended()
        });
        let said = || String::from_utf8_lossy(&self.out.0.bytes()).into_owned();
        found.unwrap_or_else(|| panic!("no such record: {}\n{}", said(), self.complaints()))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: kill takes two numbers; the process is a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        let start = Instant::now();
        assert!(wait_until(PATIENCE, || self.ended()), "did not end: {}", self.complaints());
        let waited = start.elapsed();
        let status = self.child.wait().expect("it has ended");
        // Its children may hold the streams for a moment longer.
        wait_until(Duration::from_secs(5), || self.out.1.is_finished() && self.err.1.is_finished());
        Finished { status, out: self.out.0.bytes(), err: self.complaints(), waited }
    }

    /// Ends it with SIGINT, as Ctrl-C does.
    pub(crate) fn interrupt(self) -> Finished {
        self.signal(libc::SIGINT);
        self.finish()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An osdiag that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its standard output.
    pub(crate) out: Vec<u8>,
    /// Its standard error.
    pub(crate) err: String,
    /// How long the end took to come.
    pub(crate) waited: Duration,
}

impl Finished {
    /// Its records, each of them checked, after a session that went well.
    pub(crate) fn records(&self) -> Vec<Record> {
        assert!(self.status.success(), "{}: {}", self.status, self.err);
        self.any_records()
    }

    /// Its records, each of them checked, however it ended.
    pub(crate) fn any_records(&self) -> Vec<Record> {
        let text = str::from_utf8(&self.out).expect("records are UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is cut: {text:?}");
        text.lines().map(record::read).collect()
    }

    /// The last record, which has to be the summary, after a session that went well.
    pub(crate) fn summary(&self) -> Record {
        let mut records = self.records();
        let summary = records.pop().unwrap_or_else(|| panic!("no record: {}", self.err));
        assert_eq!(summary.text("type"), "summary");
        assert!(records.iter().all(|record| record.text("type") != "summary"), "a record comes late");
        summary
    }
}

/// A workload that osdiag ran as its command.
pub(crate) struct Trace {
    /// What osdiag says.
    pub(crate) finished: Finished,
    /// What the workload says.
    pub(crate) report: Report,
}

/// Lets osdiag run a workload as its command, and waits for both. `meanwhile` runs while the workload does.
pub(crate) fn trace_with(desk: &Desk, flags: &[&str], plan: &Plan, meanwhile: impl FnOnce(u32)) -> Trace {
    let mut command = iolat(&["--json"]);
    command.args(flags).arg("--").arg(std::env::current_exe().expect("the tests have a path"));
    command.args(plan.arguments());
    let mut session = Session::start(command);
    let mut visitor = session.workload(desk);
    visitor.go();
    meanwhile(visitor.pid);
    let report = visitor.report();
    visitor.end();
    Trace { finished: session.finish(), report }
}

/// The same, when nothing happens meanwhile.
pub(crate) fn trace(desk: &Desk, flags: &[&str], plan: &Plan) -> Trace {
    trace_with(desk, flags, plan, |_| ())
}
