//! Operations that do not return: nothing was counted of them, and they may be the whole trouble.

use std::fs;

use diag_common::iolat::Op;
use schemars::JsonSchema;
use serde::Serialize;

use super::record::OpName;
use crate::{
    kernel::waits,
    output::{
        record::{
            cause::{CauseWord, LayerWord},
            parties::{Omitted, Task},
        },
        text::escape,
    },
    target::{Target, Thread, staying, threads},
};

/// An operation that had not returned when tracing ended: its task was, and stayed, in uninterruptible sleep.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct PendingOperation {
    /// The system call.
    pub(crate) op: OpName,
    /// The thread that called it.
    pub(crate) task: Task,
    /// What the descriptor is, as `/proc/PID/fd` shows it; null where that cannot be read.
    pub(crate) file: Option<String>,
    /// What it waits for: which part of the system; null where its stack does not say.
    pub(crate) layer: Option<LayerWord>,
    /// Why, within the layer; null likewise.
    pub(crate) cause: Option<CauseWord>,
    /// Where it waits, innermost function first; null where that cannot be read.
    pub(crate) stack: Option<Vec<String>>,
}

/// More than these are not listed.
const MAX_PENDING: usize = 64;

/// A task asleep in an operation.
struct Sleeper {
    thread: Thread,
    op: Op,
    fd: u64,
}

/// The operations of the target's tasks that are in uninterruptible sleep and stay there, and how many of them the list lacks.
pub(crate) fn pending(target: &Target) -> (Vec<PendingOperation>, Omitted) {
    let asleep = threads(target).filter(|thread| thread.stat.state == 'D');
    let met = asleep.filter_map(|thread| {
        let place = place(&thread)?;
        let mut words = place.0.split_whitespace();
        let op = words.next().and_then(|number| Op::of_syscall(number.parse().ok()?))?;
        let fd = words.next().and_then(|fd| u64::from_str_radix(fd.trim_start_matches("0x"), 16).ok())?;
        Some((Sleeper { thread, op, fd }, place))
    });
    let stuck = staying(met.collect(), |sleeper| place(&sleeper.thread));
    let omitted = Omitted { count: stuck.len().saturating_sub(MAX_PENDING) as u64, ns: None };
    (stuck.iter().take(MAX_PENDING).map(describe).collect(), omitted)
}

/// Number, arguments, stack and instruction pointer of the call that a thread is in, and how often it has slept: the same as
/// long as it sleeps the same sleep.
fn place(thread: &Thread) -> Option<(String, Option<u64>)> {
    let folder = format!("/proc/{}/task/{}", thread.pid, thread.stat.pid);
    let call = fs::read_to_string(format!("{folder}/syscall")).ok()?;
    let status = fs::read_to_string(format!("{folder}/status")).ok()?;
    let slept = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    Some((call, slept.and_then(|count| count.trim().parse().ok())))
}

fn describe(sleeper: &Sleeper) -> PendingOperation {
    let Sleeper { thread, op, fd } = sleeper;
    let file = fs::read_link(format!("/proc/{}/fd/{fd}", thread.pid)).ok();
    let functions = thread.stack();
    let cause = waits::classify(&functions, false);
    PendingOperation {
        op: OpName(*op),
        task: Task {
            pid: Some(thread.pid.cast_unsigned()),
            tid: Some(thread.stat.pid.cast_unsigned()),
            comm: Some(escape(thread.stat.comm.as_bytes())),
            ..Task::default()
        },
        file: file.map(|file| escape(file.as_os_str().as_encoded_bytes())),
        layer: cause.map(|cause| LayerWord(cause.layer())),
        cause: cause.map(CauseWord),
        stack: Some(functions).filter(|functions| !functions.is_empty()),
    }
}
