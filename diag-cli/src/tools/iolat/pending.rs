//! Operations that do not return: nothing was counted of them, and they may be the whole trouble.

use diag_common::iolat::Op;
use schemars::JsonSchema;
use serde::Serialize;

use super::record::OpName;
use crate::{
    arch,
    kernel::{
        procfs::{self, Call, Reader},
        waits,
    },
    output::{
        record::{
            cause::{CauseWord, LayerWord},
            parties::{Omitted, Task},
        },
        text::escape,
    },
    target::{Members, Thread, staying},
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
pub(crate) fn pending(members: &Members<'_>, reader: &mut Reader) -> (Vec<PendingOperation>, Omitted) {
    let asleep = members.threads().filter(|thread| thread.state == 'D');
    let met = asleep.filter_map(|thread| {
        let place = place(&thread, reader)?;
        let op = arch::operation(place.0.number)?;
        let fd = place.0.first();
        Some((Sleeper { thread, op, fd }, place))
    });
    let stuck = staying(met.collect(), |sleeper| place(&sleeper.thread, reader));
    let omitted = Omitted { count: stuck.len().saturating_sub(MAX_PENDING) as u64, ns: None };
    (stuck.iter().take(MAX_PENDING).map(|sleeper| describe(sleeper, reader)).collect(), omitted)
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
    let cause = waits::classify(&functions, false);
    PendingOperation {
        op: OpName(*op),
        task: thread.task(),
        file: file.map(|file| escape(&file)),
        layer: cause.map(|cause| LayerWord(cause.layer())),
        cause: cause.map(CauseWord),
        stack: Some(functions).filter(|functions| !functions.is_empty()),
    }
}
