//! The processes of a fault, watched from outside.

use std::fs;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;

use crate::steps::SELF;

/// How often a process is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// A process that does one thing (`workload/job.rs`); it is killed when this is dropped.
pub(super) struct Job(Child);

impl Job {
    /// Starts it on one CPU or any, in one cgroup or none.
    pub(super) fn start(
        name: &str,
        cpu: Option<u32>,
        cgroup: Option<&str>,
        what: &str,
        file: &str,
    ) -> Result<Self> {
        let cpu = cpu.map_or("-".to_owned(), |cpu| cpu.to_string());
        let job = Command::new(SELF).args(["job", name, &cpu, cgroup.unwrap_or("-"), what, file]).spawn();
        Ok(Self(job.with_context(|| format!("cannot start {what}"))?))
    }

    /// Its number.
    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// Waits for its end, and says how often it was seen asleep with one of these functions in its stack: anywhere, or
    /// innermost if a `^` stands before it. The kernel leaves the functions of the scheduler and of locks out.
    pub(super) fn watch(self, functions: &[&str]) -> Result<u64> {
        self.watch_behind(functions, || false).map(|(seen, _)| seen)
    }

    /// The same, and how often of these `at_fault` was true at that moment.
    pub(super) fn watch_behind(
        mut self,
        functions: &[&str],
        at_fault: impl Fn() -> bool,
    ) -> Result<(u64, u64)> {
        let (mut seen, mut behind) = (0, 0);
        loop {
            if let Some(status) = self.0.try_wait()? {
                ensure!(status.success(), "a job failed: {status}");
                return Ok((seen, behind));
            }
            if self.sleeps_in(functions) {
                seen += 1;
                behind += u64::from(at_fault());
            }
            sleep(GLANCE);
        }
    }

    /// Whether it is asleep with one of these functions in its stack.
    pub(super) fn sleeps_in(&self, functions: &[&str]) -> bool {
        let text = fs::read_to_string(format!("/proc/{}/stack", self.0.id())).unwrap_or_default();
        functions.iter().any(|function| is_in(&text, function))
    }

    /// How long it has waited for a CPU so far, ms.
    pub(super) fn delay_ms(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.0.id()))?;
        let ns: u64 = text.split_whitespace().nth(1).context("schedstat has three numbers")?.parse()?;
        Ok(ns / 1_000_000)
    }

    /// Its state, as ps(1) shows it.
    pub(super) fn state(&self) -> Result<char> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let after = text.rsplit(')').next().unwrap_or_default();
        after.trim().chars().next().context("a process has a state")
    }

    /// Waits for its end.
    pub(super) fn end(self) -> Result<()> {
        self.watch(&[]).map(drop)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Whether a function is in a stack as the kernel writes it: `[<0>] function+0x1/0x2` a line.
fn is_in(stack: &str, function: &str) -> bool {
    let mut names = stack.lines().filter_map(|line| line.split(' ').nth(1)?.split('+').next());
    match function.strip_prefix('^') {
        Some(innermost) => names.next().is_some_and(|name| name.starts_with(innermost)),
        None => names.any(|name| name == function),
    }
}
