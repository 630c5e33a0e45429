//! The part `known`: tests that show a fault which a later issue mends. Each must fail; one that passes is to be unmarked.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::{Outcome, live, say, suite};
use crate::workspace::Workspace;

/// Runs all of them, and counts those that fail as passed.
pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    let tests = || {
        let mut tests = suite::test(workspace);
        tests.args(["--workspace", "--lib", "--bins", "--examples", "--no-fail-fast"]);
        tests.args(suite::integration_tests(workspace));
        tests
    };
    let built = tests().arg("--no-run").status().context("cannot run cargo test")?;
    ensure!(built.success(), "the tests do not build");
    let ignored = tests().args(["--", "--ignored"]).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let mut total = Outcome::default();
    for (name, passed) in results(&String::from_utf8_lossy(&ignored.stdout)) {
        if passed {
            say(&format!("known: {name} passes: it is no longer to be ignored"));
        }
        total += if passed { Outcome::FAILED } else { Outcome::PASSED };
    }
    total += live::run(workspace, "known")?;
    Ok(total)
}

/// The tests in the output of test runs, and whether each passed.
fn results(output: &str) -> Vec<(&str, bool)> {
    let lines = output.lines().filter_map(|line| line.strip_prefix("test ")?.rsplit_once(" ... "));
    let results = lines.filter_map(|(name, result)| match result {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    });
    results.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_is_told_by_its_result() {
        let output = "running 2 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d ... ignored, issue 9\n\nfailures:\n    c\n";
        assert_eq!(results(output), [("a::b", true), ("c", false)]);
    }
}
