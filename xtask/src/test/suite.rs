//! Tests that `cargo test` runs: the parts `unit` and `cli`, and the counting of results for every part.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{Outcome, skip, targets};
use crate::workspace::{Workspace, cargo};

/// How the names of the command line's tests start.
const CLI: &str = "cli";
/// How the names of the running kernel's tests start.
pub(super) const LIVE: &str = "live";
/// The package whose integration tests are parts of their own.
pub(super) const PACKAGE: &str = "diag-cli";
/// The packages of the user side.
const PACKAGES: [&str; 3] = ["diag-cli", "diag-common", "xtask"];
/// How a test starts the line that says it could not run here.
const CANNOT: &str = "SKIPPED: ";

/// Libraries, programs and the integration tests that belong to no other part.
pub(super) fn unit(workspace: &Workspace) -> Result<Outcome> {
    let mut total =
        run(test(workspace).args(["--workspace", "--lib", "--bins", "--examples", "--no-fail-fast"]))?;
    for package in PACKAGES {
        let names = targets::of(&workspace.root().join(package));
        let rest = names.iter().filter(|name| package != PACKAGE || !is_other_part(name));
        total += integration(workspace, package, rest)?;
    }
    Ok(total)
}

/// The integration tests of the command line.
pub(super) fn cli(workspace: &Workspace) -> Result<Outcome> {
    let names = targets::of(&workspace.root().join(PACKAGE));
    if !names.iter().any(|name| name.starts_with(CLI)) {
        return Ok(skip("cli", "there are no tests of the command line"));
    }
    integration(workspace, PACKAGE, names.iter().filter(|name| name.starts_with(CLI)))
}

fn is_other_part(name: &str) -> bool {
    name.starts_with(CLI) || name.starts_with(LIVE)
}

fn integration<'a>(
    workspace: &Workspace,
    package: &str,
    names: impl Iterator<Item = &'a String>,
) -> Result<Outcome> {
    let names: Vec<_> = names.flat_map(|name| ["--test", name]).collect();
    if names.is_empty() {
        return Ok(Outcome::default());
    }
    run(test(workspace).args(["--package", package, "--no-fail-fast"]).args(names))
}

/// The arguments that name every integration test but those of the running kernel.
pub(super) fn integration_tests(workspace: &Workspace) -> Vec<String> {
    let names = PACKAGES.iter().flat_map(|package| targets::of(&workspace.root().join(package)));
    let names = names.filter(|name| !name.starts_with(LIVE));
    names.flat_map(|name| ["--test".to_owned(), name]).collect()
}

/// A `cargo test` in the workspace's root.
pub(super) fn test(workspace: &Workspace) -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(workspace.root()).arg("test");
    command
}

/// Runs a `cargo test` command, passes its output on and counts its results.
///
/// A test that finds it cannot run prints a line that starts with `SKIPPED: ` and returns.
pub(super) fn run(command: &mut Command) -> Result<Outcome> {
    if !command.get_args().any(|argument| argument == "--") {
        command.arg("--");
    }
    command.arg("--show-output");
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let stdout = child.stdout.take().context("cargo test has no output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("cannot read the output of cargo test")?;
        let line = String::from_utf8_lossy(&line);
        tally.read(&line);
        println!("{line}");
    }
    let mut total = tally.total;
    if !child.wait()?.success() && total.failed == 0 {
        total += Outcome::FAILED;
    }
    Ok(total)
}

/// How many tests a `cargo test` command would run.
pub(super) fn list(command: &mut Command) -> Result<usize> {
    if !command.get_args().any(|argument| argument == "--") {
        command.arg("--");
    }
    let output = command.arg("--list").stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the tests do not build");
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.ends_with(": test")).count())
}

/// Reads results off the lines of test runs.
#[derive(Default)]
struct Tally {
    total: Outcome,
    /// Tests of the run under way that said they cannot run, which the run's own result counts as passed.
    cannot: usize,
}

impl Tally {
    fn read(&mut self, line: &str) {
        if line.starts_with(CANNOT) {
            self.cannot += 1;
        }
        let Some((_, results)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        let count = |what| {
            results.split("; ").find_map(|it| it.strip_suffix(what)?.trim().parse().ok()).unwrap_or(0_usize)
        };
        let cannot = std::mem::take(&mut self.cannot).min(count("passed"));
        self.total += Outcome {
            passed: count("passed") - cannot,
            failed: count("failed"),
            skipped: count("ignored") + cannot,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Outcome {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally.total
    }

    #[test]
    fn results_of_all_runs_are_added() {
        let total = tally(&[
            "running 3 tests",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s",
        ]);
        assert_eq!(total, Outcome { passed: 5, failed: 1, skipped: 1 });
    }

    #[test]
    fn a_test_that_cannot_run_has_not_passed() {
        let total = tally(&[
            "SKIPPED: no btrfs here",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ]);
        assert_eq!(total, Outcome { passed: 1, failed: 0, skipped: 1 });
    }
}
