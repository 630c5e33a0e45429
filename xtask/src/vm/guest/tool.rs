//! Running osdiag, with its output kept.

use std::fs::{self, File};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::report::Step;

/// How long a run may take; emulation is some ten times slower than the machine under it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look.
const GLANCE: Duration = Duration::from_millis(20);

/// The longest text that a step carries: a verifier's log can be longer than the serial line is fast.
const TEXT_LIMIT: usize = 1 << 20;

const STDOUT: &str = "/run/stdout";
const STDERR: &str = "/run/stderr";

/// osdiag while it runs.
pub(crate) struct Tool {
    child: Child,
    started: Instant,
}

impl Tool {
    /// Starts osdiag.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let child = Command::new("/osdiag")
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(File::create(STDOUT)?)
            .stderr(File::create(STDERR)?)
            .spawn()
            .context("cannot start osdiag")?;
        Ok(Self { child, started: Instant::now() })
    }

    /// Waits for the first record, which says that it traces; false if it ended before.
    pub(crate) fn wait_for_record(&mut self) -> Result<bool> {
        while !fs::read(STDOUT)?.contains(&b'\n') {
            if self.child.try_wait()?.is_some() || self.is_late() {
                return Ok(false);
            }
            sleep(GLANCE);
        }
        Ok(true)
    }

    /// What Ctrl-C does.
    pub(crate) fn interrupt(&self) -> Result<()> {
        let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) else { bail!("osdiag has no pid") };
        Ok(kill_process(pid, Signal::INT)?)
    }

    /// Waits for the end, or makes one.
    pub(crate) fn finish(mut self, tool: &str, name: &str) -> Result<Step> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if self.is_late() {
                self.child.kill()?;
            }
            sleep(GLANCE);
        };
        Ok(Step {
            name: name.to_owned(),
            tool: tool.to_owned(),
            status: status.code(),
            elapsed_ms: self.started.elapsed().as_millis(),
            stdout: text(STDOUT)?,
            stderr: text(STDERR)?,
            truth: Vec::new(),
        })
    }

    fn is_late(&self) -> bool {
        self.started.elapsed() > PATIENCE
    }
}

/// The end of a file, where a verifier's log has its point.
fn text(path: &str) -> Result<String> {
    let bytes = fs::read(path)?;
    let end = &bytes[bytes.len().saturating_sub(TEXT_LIMIT)..];
    Ok(String::from_utf8_lossy(end).into_owned())
}
