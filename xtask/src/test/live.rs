//! The part `live`: the release binary on the running kernel, as root.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{Outcome, say, suite, targets};
use crate::workspace::Workspace;
use crate::{build, privilege};

/// Where the tests find the binary.
const BINARY: &str = "OSDIAG_BIN";
/// A command that must be able to trace, and soon ends.
const TRIAL: [&str; 4] = ["iolat", "--json", "-d", "1ms"];
/// The exit status by which osdiag says that this kernel or these privileges cannot run a command.
const UNAVAILABLE: i32 = 3;
/// What it says where the kernel could be traced, but takes one of its programs amiss: that is for the tests to show.
const REFUSED: &str = "which nothing works without";

/// Builds the binary and runs the live tests, one at a time, where they can run.
pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    let names = targets::of(&workspace.root().join(suite::PACKAGE));
    let names: Vec<_> = names.iter().filter(|name| name.starts_with(suite::LIVE)).collect();
    if names.is_empty() {
        return Ok(super::skip("live", "there are no tests of the running kernel"));
    }
    let osdiag = build::release(workspace)?;
    let mut tests = suite::test(workspace);
    tests.args(["--package", suite::PACKAGE, "--no-fail-fast"]);
    tests.args(names.iter().flat_map(|name| ["--test", name]));
    if let Some(why) = obstacle(&osdiag)? {
        let skipped = suite::list(&mut tests)?;
        say(&format!("live: SKIPPED all {skipped} tests: {why}"));
        return Ok(Outcome { skipped, ..Outcome::default() });
    }
    if !privilege::is_root() {
        tests.env(build::runner_variable()?, format!("sudo --preserve-env={BINARY}"));
    }
    suite::run(tests.env(BINARY, osdiag).args(["--", "--test-threads=1"]))
}

/// What keeps osdiag from tracing here, in its own words where it has any.
fn obstacle(osdiag: &Path) -> Result<Option<String>> {
    if !privilege::is_at_hand() {
        return Ok(Some("this needs root, or sudo without a password".to_owned()));
    }
    let mut trial: Command = privilege::as_root(osdiag);
    let trial = trial.args(TRIAL).stdin(Stdio::null()).output().context("cannot run osdiag")?;
    let said = String::from_utf8_lossy(&trial.stderr).trim().to_owned();
    let unavailable = trial.status.code() == Some(UNAVAILABLE) && !said.contains(REFUSED);
    Ok(unavailable.then_some(said))
}
