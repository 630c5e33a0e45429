//! Faults, made one at a time while osdiag runs. Each is proven by what the kernel counts or shows of the tasks themselves.

mod cgroups;
mod elsewhere;
mod hierarchy;
mod jobs;

use std::fmt;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::report::{Ending, Step, Trial, fault};
use crate::tool::Tool;

pub(crate) use hierarchy::Hierarchy;
use hierarchy::Impossible;

/// What shows that a fault happened, and the run of osdiag beside it.
type Seen = (String, Step);

/// Makes a fault.
pub(crate) fn run(hierarchy: &Hierarchy, name: &str, place: &str) -> Trial {
    let seen = match name {
        fault::MEMCG_RECLAIM => cgroups::memcg_reclaim(hierarchy),
        fault::MEMCG_THROTTLE => cgroups::memcg_throttle(hierarchy),
        fault::QUOTA_IOLAT => cgroups::quota(hierarchy, "iolat"),
        fault::QUOTA_RUNQ => cgroups::quota(hierarchy, "runq"),
        fault::REMOVED => cgroups::removed(hierarchy),
        fault::DIRTY => elsewhere::dirty(),
        fault::FREEZE => elsewhere::freeze(),
        fault::INODE_LOCK => elsewhere::inode_lock("iolat"),
        fault::HOLDER => elsewhere::inode_lock("lock"),
        fault::JOURNAL => elsewhere::journal(),
        fault::DEVICE => elsewhere::device(),
        fault::RUNQUEUE_IOLAT => elsewhere::run_queue("iolat"),
        fault::RUNQUEUE_RUNQ => elsewhere::run_queue("runq"),
        fault::STUCK => elsewhere::stuck(),
        _ => Err(anyhow::anyhow!("there is no such fault")),
    };
    let ending = match seen {
        Ok((proof, run)) => Ending::Ran { proof, run },
        Err(error) => match (error.downcast_ref::<Impossible>(), error.downcast_ref::<Untraced>()) {
            (Some(Impossible(why)), _) => Ending::Impossible(why.clone()),
            (_, Some(Untraced(why))) => Ending::Untraced(why.clone()),
            _ => Ending::Broken(format!("{error:#}")),
        },
    };
    Trial { fault: name.to_owned(), place: place.to_owned(), ending }
}

/// osdiag did not come to trace, and what it said.
#[derive(Debug)]
struct Untraced(String);

impl Untraced {
    fn by(run: &Step) -> Self {
        Self(match run.status {
            Some(status) => format!("it ended with {status}: {}", run.stderr.trim()),
            None => format!("it wrote no record in {} s", run.elapsed_ms / 1000),
        })
    }
}

impl fmt::Display for Untraced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Untraced {}

/// Runs osdiag while `fault` is made; the fault says what shows that it happened.
fn beside(tool: &str, flags: &[&str], fault: impl FnOnce() -> Result<String>) -> Result<Seen> {
    let arguments = [&[tool, "--json", "--no-hdr", "-i", "1s"], flags].concat();
    let mut running = Tool::start(&arguments, &[])?;
    if !running.wait_for_record()? {
        return Err(Untraced::by(&running.finish(tool, "fault")?).into());
    }
    let proof = fault();
    running.interrupt()?;
    let run = running.finish(tool, "fault")?;
    Ok((proof?, run))
}

/// A number that must not be zero, as a proof.
fn proven(what: &str, count: u64) -> Result<String> {
    ensure!(count > 0, "the fault did not happen: {what} is 0");
    Ok(format!("{what} {count}"))
}

/// The number in the `column` of the line that begins with `word` in a file of the kernel's.
fn counted(file: &str, word: &str, column: usize) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut rows = lines.filter(|words| words.first().is_some_and(|first| *first == word));
    let row = rows.next().with_context(|| format!("{file} has no {word}"))?;
    row.get(column).and_then(|number| number.parse().ok()).with_context(|| format!("{file}: {word}: {row:?}"))
}
