//! `osdiag delays` on the running kernel: the time of threads against the scheduler's account, the workload's own clocks and counts.

pub(crate) mod bench;
mod culprits;
pub(crate) mod record;
mod roots;
mod running;
mod sleeping;

use crate::{
    Test,
    osdiag::{Session, tool},
};

/// The tests of this folder.
pub(crate) const TESTS: &[&[Test]] = &[culprits::TESTS, roots::TESTS, running::TESTS, sleeping::TESTS];

/// Starts to trace with some flags.
fn trace(flags: &[&str]) -> Session {
    let mut all = vec!["--json"];
    all.extend_from_slice(flags);
    Session::counting(tool("delays", &all))
}
