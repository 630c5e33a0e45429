//! Running osdiag, with its output kept.

use std::fs::{self, File};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::report::Step;

/// How long a run may take; emulation is some ten times slower than the machine under it.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often to look.
const GLANCE: Duration = Duration::from_millis(20);

/// The longest text that a step carries: a verifier's log can be longer than the serial line is fast.
const TEXT_LIMIT: usize = 1 << 20;

/// osdiag while it runs.
pub(crate) struct Tool {
    child: Child,
    started: Instant,
    stdout: String,
    stderr: String,
}

impl Tool {
    /// Starts osdiag. The first argument is the tool's name; of each one runs at a time.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let tool = arguments.first().context("there is no tool")?;
        let [stdout, stderr] = ["stdout", "stderr"].map(|kind| format!("/run/{tool}.{kind}"));
        let child = Command::new("/osdiag")
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .spawn()
            .context("cannot start osdiag")?;
        Ok(Self { child, started: Instant::now(), stdout, stderr })
    }

    /// Waits for the first record, which says that it traces; false if it ended before.
    pub(crate) fn wait_for_record(&mut self) -> Result<bool> {
        while !fs::read(&self.stdout)?.contains(&b'\n') {
            if self.child.try_wait()?.is_some() || self.is_late() {
                return Ok(false);
            }
            sleep(GLANCE);
        }
        Ok(true)
    }

    /// Waits until it says that it traces; false if it ended before.
    pub(crate) fn wait_until_it_traces(&mut self) -> Result<bool> {
        while !fs::read_to_string(&self.stderr)?.contains(": tracing ") {
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
            stdout: text(&self.stdout)?,
            stderr: text(&self.stderr)?,
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
