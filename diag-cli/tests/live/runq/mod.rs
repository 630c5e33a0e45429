//! `osdiag runq` on the running kernel: waits for a CPU against the scheduler's own accounts.

pub(crate) mod bench;
mod contention;
mod policies;
pub(crate) mod record;
pub(crate) mod runner;
mod scale;

use crate::{
    Test,
    osdiag::{Session, tool},
};

/// The tests of this room.
pub(crate) const TESTS: &[&[Test]] = &[contention::TESTS, policies::TESTS, scale::TESTS];

/// The CPU that tests crowd.
const CROWDED: usize = 1;

/// Starts to trace with some flags.
fn trace(flags: &[&str]) -> Session {
    let mut all = vec!["--json"];
    all.extend_from_slice(flags);
    Session::tracing(tool("runq", &all))
}
