//! `osdiag runq` on the running kernel: waits for a CPU against the scheduler's own accounts.

mod advice;
pub(crate) mod bench;
mod contention;
mod culprits;
mod policies;
mod quota;
pub(crate) mod record;
pub(crate) mod runner;
mod scale;

use crate::{
    Outcome, Test,
    lab::{Lab, cgroup::Cgroup},
    osdiag::{Session, tool},
};

/// The tests of this room.
pub(crate) const TESTS: &[&[Test]] =
    &[advice::TESTS, contention::TESTS, culprits::TESTS, policies::TESTS, quota::TESTS, scale::TESTS];

/// The CPU that tests crowd.
const CROWDED: usize = 1;

/// A cgroup of the cpu controller, whose tasks have nearly all of a CPU that others want too: what they do to each other is then
/// the same on a busy machine.
fn favoured(lab: &Lab) -> Outcome<Cgroup> {
    let group = Cgroup::of(lab, "cpu")?;
    group.set("cpu.shares", "262144").or_else(|_| group.set("cpu.weight", "10000"))?;
    Ok(group)
}

/// Starts to trace with some flags.
fn trace(flags: &[&str]) -> Session {
    let mut all = vec!["--json"];
    all.extend_from_slice(flags);
    Session::tracing(tool("runq", &all))
}
