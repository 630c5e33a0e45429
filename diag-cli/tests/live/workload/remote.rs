//! The test's side of a workload: where it announces itself, waits for the word, and reports.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use super::{Plan, Report};
use crate::lab::{Lab, wait_until};

/// How long a workload may take to come, and to do its work.
const PATIENCE: Duration = Duration::from_secs(90);

/// A socket at which workloads announce themselves.
pub(crate) struct Desk {
    listener: UnixListener,
    path: PathBuf,
}

impl Desk {
    /// Opens one in a lab.
    pub(crate) fn new(lab: &Lab) -> Desk {
        let path = lab.path("desk");
        let listener = UnixListener::bind(&path).expect("a lab takes a socket");
        listener.set_nonblocking(true).expect("a socket can be polled");
        Desk { listener, path }
    }

    /// A plan for a workload that comes here.
    pub(crate) fn plan(&self, jobs: Vec<super::Job>) -> Plan {
        Plan { desk: self.path.clone(), jobs, ..Plan::default() }
    }

    /// The same for one that runs before everything else, so that a busy machine does not keep it from a CPU.
    pub(crate) fn preferred(&self, jobs: Vec<super::Job>) -> Plan {
        Plan { preferred: true, ..self.plan(jobs) }
    }

    /// Starts a workload, without anybody watching it.
    pub(crate) fn start(&self, plan: &Plan) -> Visitor {
        let child = Command::new(std::env::current_exe().expect("the tests have a path"))
            .args(plan.arguments())
            .spawn()
            .expect("the tests can start themselves");
        let mut visitor = self.receive();
        visitor.child = Some(child);
        visitor
    }

    /// Waits for a workload that somebody else has started.
    pub(crate) fn receive(&self) -> Visitor {
        self.receive_unless(|| None)
    }

    /// The same, but panics with a reason as soon as there is one why it cannot come any more.
    pub(crate) fn receive_unless(&self, mut hopeless: impl FnMut() -> Option<String>) -> Visitor {
        let mut stream = None;
        wait_until(PATIENCE, || {
            if let Some(why) = hopeless() {
                panic!("no workload comes: {why}");
            }
            stream = self.listener.accept().ok().map(|(stream, _)| stream);
            stream.is_some()
        });
        let stream = stream.expect("the workload comes");
        stream.set_nonblocking(false).expect("a socket can wait");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket can be impatient");
        let mut words = BufReader::new(stream);
        let mut line = String::new();
        words.read_line(&mut line).expect("the workload speaks");
        Visitor { pid: line.trim().parse().expect("it says its number"), words, child: None }
    }
}

/// A workload process.
pub(crate) struct Visitor {
    /// Its process.
    pub(crate) pid: u32,
    words: BufReader<UnixStream>,
    child: Option<Child>,
}

impl Visitor {
    /// Lets it begin.
    pub(crate) fn go(&mut self) {
        self.words.get_mut().write_all(b"go\n").expect("the workload listens");
    }

    /// Waits for its report.
    pub(crate) fn report(&mut self) -> Report {
        let mut line = String::new();
        self.words.read_line(&mut line).expect("the workload reports");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the workload's report: {error}: {line:?}"))
    }

    /// Lets it end.
    pub(crate) fn end(mut self) {
        self.words.get_mut().write_all(b"end\n").ok();
        if let Some(mut child) = self.child.take() {
            child.wait().expect("the workload ends");
        }
    }

    /// Lets it do all its work, and end.
    pub(crate) fn through(mut self) -> Report {
        self.go();
        let report = self.report();
        self.end();
        report
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
