//! The workload: a process that makes known system calls and times each of them with its own clock.
//!
//! It tells what it saw over a socket, which is no file I/O, and asks there before it begins, so that a test can attach
//! first and look at it while it runs.

mod call;
mod job;
mod plan;
mod remote;

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    process::{Command, ExitCode},
};

pub(crate) use call::{Buffer, Call, make};
pub(crate) use plan::{Job, Open, Plan, Report, Samples, Step};
pub(crate) use remote::{Desk, Visitor};

use crate::lab::fault;

/// Prefers this thread, and those it will start, to everything else on their CPU, so that a busy machine disturbs no
/// measurement. Harmless where the system does not allow it.
pub(crate) fn prefer_this_thread() {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameter is valid; 0 is the calling thread, whose threads-to-be inherit it.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) };
}

/// Gives this thread a name.
pub(crate) fn set_comm(name: &[u8]) {
    let mut text = [0u8; 16];
    let length = name.len().min(15);
    text[..length].copy_from_slice(&name[..length]);
    // SAFETY: PR_SET_NAME reads at most 16 bytes, which the array has, with a zero at the end.
    unsafe { libc::prctl(libc::PR_SET_NAME, text.as_ptr()) };
}

/// The workload process.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let text = arguments.next().expect("a plan");
    let plan: Plan = serde_json::from_str(text.to_str().expect("a plan is UTF-8")).expect("a plan is valid");
    for group in &plan.cgroups {
        std::fs::write(group.join("cgroup.procs"), "0").expect("a process can move");
    }
    if let Some(name) = &plan.comm {
        set_comm(name);
    }
    if let Some(cpu) = plan.cpu {
        fault::pin(cpu);
    }
    if plan.preferred {
        prefer_this_thread();
    }
    if plan.nice != 0 {
        // SAFETY: nice takes a number.
        unsafe { libc::nice(plan.nice) };
    }
    let mut socket = UnixStream::connect(&plan.desk).expect("the test listens");
    let mut words = BufReader::new(socket.try_clone().expect("a socket can be shared")).lines();
    writeln!(socket, "{}", std::process::id()).expect("the test listens");
    // An end of file here means that the test has gone.
    let Some(Ok(_)) = words.next() else { return ExitCode::FAILURE };
    let child = plan.child.as_ref().map(|child| {
        Command::new(std::env::current_exe().expect("the tests have a path"))
            .args(child.arguments())
            .spawn()
            .expect("the tests can start themselves")
    });
    let samples = job::run_all(&plan.jobs);
    if let Some(mut child) = child {
        child.wait().expect("a child ends");
    }
    let report = Report { samples };
    let text = serde_json::to_string(&report).expect("a report is plain data");
    writeln!(socket, "{text}").expect("the test listens");
    words.next();
    ExitCode::from(plan.exit)
}
