//! Operations that do not return: nothing was counted of them, and they may be the whole trouble.

use diag_common::iolat::Op;
use schemars::JsonSchema;
use serde::Serialize;

use super::record::{CauseName, OpName};
use crate::{
    kernel::{
        procfs::{self, Call, Reader},
        waits,
    },
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
pub(crate) fn pending(target: &Target, reader: &mut Reader) -> Vec<PendingOperation> {
    let asleep = threads(target).filter(|thread| thread.state == 'D');
    let met = asleep.filter_map(|thread| {
        let place = place(&thread, reader)?;
        let op = Op::of_syscall(u64::try_from(place.0.number).ok()?)?;
        let fd = place.0.first();
        Some((Sleeper { thread, op, fd }, place))
    });
    let met = met.take(MAX_PENDING).collect();
    let stuck = staying(met, |sleeper| place(&sleeper.thread, reader));
    stuck.iter().map(|sleeper| describe(sleeper, reader)).collect()
}

/// The call that a thread is in, and how often it has slept: the same as long as it sleeps the same sleep.
fn place(thread: &Thread, reader: &mut Reader) -> Option<(Call, Option<u64>)> {
    let call = reader.call(thread.pid, thread.tid)?;
    Some((call, procfs::status(thread.pid, thread.tid)?.slept))
}

fn describe(sleeper: &Sleeper, reader: &mut Reader) -> PendingOperation {
    let Sleeper { thread, op, fd } = sleeper;
    let file = reader.descriptor(thread.pid, thread.tid, *fd);
    let functions = thread.stack(reader);
    PendingOperation {
        op: OpName(*op),
        pid: thread.pid.cast_unsigned(),
        tid: thread.tid.cast_unsigned(),
        comm: escape(&thread.comm),
        file: file.map(|file| escape(&file)),
        cause: waits::classify(&functions, false).map(CauseName),
        stack: Some(functions).filter(|functions| !functions.is_empty()),
    }
}
