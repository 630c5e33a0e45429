//! Tests of the running kernel: the release binary, as root.

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

/// Builds the binary and runs a tier of the live tests (`diag-cli/tests/live/tiers.rs`), where they can run.
pub(super) fn run(workspace: &Workspace, tier: &str) -> Result<Outcome> {
    let names = targets::of(&workspace.root().join(suite::PACKAGE));
    if !names.iter().any(|name| name.starts_with(suite::LIVE)) {
        return Ok(super::skip("live", "there are no tests of the running kernel"));
    }
    let osdiag = build::release(workspace)?;
    if let Some(why) = obstacle(&osdiag)? {
        let skipped = suite::list(command(workspace, &[]).args(["--", "--tier", tier]))?;
        say(&format!("live: SKIPPED all {skipped} tests: {why}"));
        return Ok(Outcome { skipped, ..Outcome::default() });
    }
    tests(workspace, &osdiag, tier, None, &[])
}

/// Runs a tier, or what of it has `filter` in its name.
pub(crate) fn tests(
    workspace: &Workspace,
    osdiag: &Path,
    tier: &str,
    filter: Option<&str>,
    flags: &[&str],
) -> Result<Outcome> {
    let mut tests = command(workspace, flags);
    if !privilege::is_root() {
        tests.env(build::runner_variable()?, format!("sudo --preserve-env={BINARY}"));
    }
    suite::run(tests.env(BINARY, osdiag).args(["--", "--tier", tier]).args(filter))
}

fn command(workspace: &Workspace, flags: &[&str]) -> Command {
    let mut tests = suite::test(workspace);
    let names = targets::of(&workspace.root().join(suite::PACKAGE));
    let live = names.iter().filter(|name| name.starts_with(suite::LIVE));
    tests.args(["--package", suite::PACKAGE, "--no-fail-fast"]).args(flags);
    tests.args(live.flat_map(|name| ["--test", name]));
    tests
}

/// What keeps osdiag from tracing here, in its own words where it has any.
pub(crate) fn obstacle(osdiag: &Path) -> Result<Option<String>> {
    if !privilege::is_at_hand() {
        return Ok(Some("this needs root, or sudo without a password".to_owned()));
    }
    let mut trial: Command = privilege::as_root(osdiag);
    let trial = trial.args(TRIAL).stdin(Stdio::null()).output().context("cannot run osdiag")?;
    let said = String::from_utf8_lossy(&trial.stderr).trim().to_owned();
    let unavailable = trial.status.code() == Some(UNAVAILABLE) && !said.contains(REFUSED);
    Ok(unavailable.then_some(said))
}
