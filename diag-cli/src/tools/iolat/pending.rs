//! Operations that do not return: nothing was counted of them, and they may be the whole trouble.

use std::fs;

use diag_common::iolat::Op;
use schemars::JsonSchema;
use serde::Serialize;

use super::record::{CauseName, OpName};
use crate::{
    kernel::{task_files::TaskStatus, waits},
    output::text::escape,
    target::{Target, Thread, staying, threads},
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

/// More than these are not looked at.
const MAX_PENDING: usize = 64;

/// A task asleep in an operation.
struct Sleeper {
    thread: Thread,
    op: Op,
    fd: u64,
}

/// The operations of the target's tasks that are in uninterruptible sleep and stay there.
pub(crate) fn pending(target: &Target) -> Vec<PendingOperation> {
    let asleep = threads(target).filter(|thread| thread.stat.state == 'D');
    let met = asleep.filter_map(|thread| {
        let place = place(&thread)?;
        let mut words = place.0.split_whitespace();
        let op = words.next().and_then(|number| Op::of_syscall(number.parse().ok()?))?;
        let fd = words.next().and_then(|fd| u64::from_str_radix(fd.trim_start_matches("0x"), 16).ok())?;
        Some((Sleeper { thread, op, fd }, place))
    });
    let stuck = staying(met.take(MAX_PENDING).collect(), |sleeper| place(&sleeper.thread));
    stuck.iter().map(describe).collect()
}

/// Number, arguments, stack and instruction pointer of the call that a thread is in, and how often it has slept: the same as
/// long as it sleeps the same sleep.
fn place(thread: &Thread) -> Option<(String, Option<u64>)> {
    let folder = format!("/proc/{}/task/{}", thread.pid, thread.stat.pid);
    let call = fs::read_to_string(format!("{folder}/syscall")).ok()?;
    let status = TaskStatus::read(thread.pid.cast_unsigned(), thread.stat.pid.cast_unsigned())?;
    Some((call, status.number("voluntary_ctxt_switches")))
}

fn describe(sleeper: &Sleeper) -> PendingOperation {
    let Sleeper { thread, op, fd } = sleeper;
    let file = fs::read_link(format!("/proc/{}/fd/{fd}", thread.pid)).ok();
    let functions = thread.stack();
    PendingOperation {
        op: OpName(*op),
        pid: thread.pid.cast_unsigned(),
        tid: thread.stat.pid.cast_unsigned(),
        comm: escape(&thread.comm),
        file: file.map(|file| escape(file.as_os_str().as_encoded_bytes())),
        cause: waits::classify(&functions, false).map(CauseName),
        stack: Some(functions).filter(|functions| !functions.is_empty()),
    }
}
