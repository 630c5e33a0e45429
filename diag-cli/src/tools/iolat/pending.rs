//! Operations that do not return: nothing was counted of them, and they may be the whole trouble.

use std::{fs, thread, time::Duration};

use diag_common::iolat::Op;
use schemars::JsonSchema;
use serde::Serialize;

use super::record::{CauseName, OpName};
use crate::{
    kernel::waits,
    output::text::escape,
    target::{Target, Thread, threads},
};

/// An operation that had not returned when tracing ended: its task was, and stayed, in uninterruptible sleep.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct PendingOperation {
    /// The system call.
    pub(crate) op: OpName,
    /// The process.
    pub(crate) pid: u32,
    /// The thread.
    pub(crate) tid: u32,
    /// The thread's name.
    pub(crate) comm: String,
    /// What the descriptor is, as `/proc/PID/fd` shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// What it waits for, where its stack tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<CauseName>,
    /// Where it waits, innermost function first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stack: Option<Vec<String>>,
}

/// How long a task must stay where it is to count as stuck rather than met on its way.
const STAYS: Duration = Duration::from_millis(50);
/// More than these are not looked at.
const MAX_PENDING: usize = 64;

/// A task asleep in an operation.
struct Sleeper {
    pid: i32,
    tid: i32,
    comm: String,
    op: Op,
    fd: u64,
    /// Number, arguments, stack and instruction pointer of the call, and how often the task has slept: the same as long as
    /// it sleeps the same sleep.
    place: (String, Option<u64>),
}

/// The operations of the target's tasks that are in uninterruptible sleep and stay there.
pub(crate) fn pending(target: &Target) -> Vec<PendingOperation> {
    let sleepers = sleepers(target);
    if sleepers.is_empty() {
        return Vec::new();
    }
    thread::sleep(STAYS);
    sleepers
        .iter()
        .filter(|sleeper| place(sleeper.pid, sleeper.tid) == Some(sleeper.place.clone()))
        .map(describe)
        .collect()
}

fn sleepers(target: &Target) -> Vec<Sleeper> {
    let asleep = threads(target).filter(|thread| thread.stat.state == 'D');
    let found = asleep.filter_map(|Thread { pid, stat }| {
        let tid = stat.pid;
        let place = place(pid, tid)?;
        let mut words = place.0.split_whitespace();
        let op = words.next().and_then(|number| Op::of_syscall(number.parse().ok()?))?;
        let fd = words.next().and_then(|fd| u64::from_str_radix(fd.trim_start_matches("0x"), 16).ok())?;
        Some(Sleeper { pid, tid, comm: stat.comm, op, fd, place })
    });
    found.take(MAX_PENDING).collect()
}

fn place(pid: i32, tid: i32) -> Option<(String, Option<u64>)> {
    let folder = format!("/proc/{pid}/task/{tid}");
    let call = fs::read_to_string(format!("{folder}/syscall")).ok()?;
    let status = fs::read_to_string(format!("{folder}/status")).ok()?;
    let slept = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    Some((call, slept.and_then(|count| count.trim().parse().ok())))
}

fn describe(sleeper: &Sleeper) -> PendingOperation {
    let Sleeper { pid, tid, comm, op, fd, .. } = sleeper;
    let file = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok();
    let stack = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stack")).unwrap_or_default();
    // `[<0>] jbd2_log_wait_commit+0xe6/0x150`
    let functions: Vec<String> = stack
        .lines()
        .filter_map(|line| Some(line.split_once("] ")?.1.split('+').next()?.to_owned()))
        .collect();
    PendingOperation {
        op: OpName(*op),
        pid: pid.cast_unsigned(),
        tid: tid.cast_unsigned(),
        comm: escape(comm.as_bytes()),
        file: file.map(|file| escape(file.as_os_str().as_encoded_bytes())),
        cause: waits::classify(&functions, false).map(CauseName),
        stack: Some(functions).filter(|functions| !functions.is_empty()),
    }
}
