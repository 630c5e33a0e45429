//! What a task does at a moment, in one word.

use schemars::JsonSchema;
use serde::Serialize;

/// What a task does at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TaskState {
    /// It is on a CPU, or could be.
    Running,
    /// It sleeps, and a signal wakes it.
    Sleeping,
    /// It sleeps, and no signal wakes it, but for a fatal one where it is killable.
    Uninterruptible,
    /// A signal has stopped it.
    Stopped,
    /// A tracer has stopped it.
    Traced,
    /// The freezer holds it.
    Frozen,
    /// It has exited.
    Dead,
    /// A kernel thread without work, whose sleep counts in no load.
    Idle,
    /// A kernel thread that is parked.
    Parked,
}
