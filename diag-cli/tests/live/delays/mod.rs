//! `osdiag delays` on the running kernel: where threads' time goes, against the scheduler's account and the threads' own clocks.

mod account;
pub(crate) mod bench;
mod births;
mod crowds;
mod culprits;
mod disk;
mod faults;
mod lives;
mod memory;
mod others;
pub(crate) mod record;
mod roots;
mod stopped;
mod waits;
mod watch;

use crate::{
    Test,
    osdiag::{Session, tool},
};

/// The tests of this folder.
pub(crate) const TESTS: &[&[Test]] = &[
    account::TESTS,
    births::TESTS,
    crowds::TESTS,
    culprits::TESTS,
    disk::TESTS,
    faults::TESTS,
    lives::TESTS,
    memory::TESTS,
    others::TESTS,
    roots::TESTS,
    stopped::TESTS,
    waits::TESTS,
];

/// Starts to trace with some flags; as many groups as there can be.
fn trace(flags: &[&str]) -> Session {
    let mut all = vec!["--json", "--top", "200"];
    all.extend_from_slice(flags);
    Session::counting(tool("delays", &all))
}

/// That two numbers, mostly times, are equal but for a share of the second and so many ns.
#[track_caller]
fn assert_near(what: &str, ours: u64, truth: u64, share: f64, slack_ns: u64) {
    println!("{what}: {ours} of {truth}");
    let allowed_ns = share * truth as f64 + slack_ns as f64;
    assert!(ours.abs_diff(truth) as f64 <= allowed_ns, "{what}: {ours} of {truth}");
}
