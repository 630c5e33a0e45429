//! Faults, made one at a time while osdiag runs. Each is proven by what the kernel counts or shows of the tasks themselves.

mod cgroups;
mod disks;
mod elsewhere;
mod fuse;
mod hierarchy;
mod jobs;
mod mapper;
mod memory;

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::report::{
    Ending, Step, Trial,
    fault::{self, Made},
};
use crate::tool::Tool;

pub(crate) use hierarchy::Hierarchy;
use hierarchy::Impossible;

/// What shows that a fault happened, and what came of each tool beside it.
type Seen = (String, Vec<(&'static str, Result<Step, Untraced>)>);

/// Makes a fault.
pub(crate) fn run(hierarchy: &Hierarchy, made: &Made) -> Vec<Trial> {
    let Made { name, place, tools } = made;
    let seen = match *name {
        fault::MEMCG_RECLAIM => cgroups::memcg_reclaim(hierarchy, tools),
        fault::MEMCG_THROTTLE => cgroups::memcg_throttle(hierarchy, tools),
        fault::QUOTA => cgroups::quota(hierarchy, tools),
        fault::REMOVED => cgroups::removed(hierarchy, tools),
        fault::RECLAIM => memory::reclaim(tools),
        fault::COMPACTION => memory::compaction(tools),
        fault::MMAP_LOCK => memory::map_lock(tools),
        fault::DIRTY => disks::dirty(tools),
        fault::JOURNAL => disks::journal(tools),
        fault::FS_WAIT => disks::unaligned(tools),
        fault::DEVICE => disks::device(tools),
        fault::QUEUE => disks::queue(tools),
        fault::BLOCK_THROTTLE => disks::throttle(tools),
        fault::BLOCK_WAIT => disks::delayed(tools),
        fault::FREEZE if tools.contains(&"hung") => elsewhere::stuck(),
        fault::FREEZE => elsewhere::freeze(tools),
        fault::INODE_LOCK | fault::HOLDER => elsewhere::inode_lock(tools),
        fault::LOCK => elsewhere::position(tools),
        fault::SERVER => fuse::slow_server(tools),
        fault::KERNEL_LOCK => fuse::slow_directory(tools),
        fault::RUNQUEUE => elsewhere::run_queue(tools),
        fault::INTERRUPTS => elsewhere::interrupts(),
        _ => Err(anyhow::anyhow!("there is no such fault")),
    };
    let trial = |tool: &str, ending| Trial {
        fault: (*name).to_owned(),
        tool: tool.to_owned(),
        place: (*place).to_owned(),
        ending,
    };
    match seen {
        Ok((proof, runs)) => {
            let ending = |run| match run {
                Ok(run) => Ending::Ran { proof: proof.clone(), run },
                Err(Untraced(why)) => Ending::Untraced(why),
            };
            runs.into_iter().map(|(tool, run)| trial(tool, ending(run))).collect()
        }
        Err(error) => {
            let ending = || match error.downcast_ref::<Impossible>() {
                Some(Impossible(why)) => Ending::Impossible(why.clone()),
                None => Ending::Broken(format!("{error:#}")),
            };
            tools.iter().map(|tool| trial(tool, ending())).collect()
        }
    }
}

/// osdiag did not come to trace, and what it said.
struct Untraced(String);

impl Untraced {
    fn by(run: &Step) -> Self {
        Self(match run.status {
            Some(status) => format!("it ended with {status}: {}", run.stderr.trim()),
            None => format!("it did not trace in {} s", run.elapsed_ms / 1000),
        })
    }
}

/// Runs tools of osdiag while `fault` is made; the fault says what shows that it happened.
fn beside(tools: &[&'static str], flags: &[&str], fault: impl FnOnce() -> Result<String>) -> Result<Seen> {
    let start = |&tool: &&'static str| {
        let arguments = [&[tool, "--json", "--no-hdr"], flags].concat();
        Ok((tool, Tool::start(&arguments, &[])?))
    };
    let mut running = tools.iter().map(start).collect::<Result<Vec<_>>>()?;
    let mut traces = Vec::new();
    for (_, tool) in &mut running {
        traces.push(tool.wait_until_it_traces()?);
    }
    let proof = if traces.contains(&true) { fault() } else { Ok(String::new()) };
    let mut runs = Vec::new();
    for ((name, tool), traces) in running.into_iter().zip(traces) {
        if traces {
            tool.interrupt()?;
        }
        let run = tool.finish(name, "fault")?;
        runs.push((name, if traces { Ok(run) } else { Err(Untraced::by(&run)) }));
    }
    Ok((proof?, runs))
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
