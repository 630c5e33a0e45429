//! What is known of a task: since when it waits for a CPU, and who it is.

pub use diag_common::runq::TaskState;

use crate::storage;

/// An object that keeps this state.
pub trait Tasks: storage::Tasks<State = TaskState> {}

impl<T: storage::Tasks<State = TaskState>> Tasks for T {}
