//! The command line of `osdiag delays`.

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, ValueEnum};
use diag_common::cause::{Cause, Layer};

use crate::cli::{SessionArgs, time_or_zero};

/// Where the time of each container goes: running, and waiting for what
///
/// Every thread is at each moment running, waiting for a CPU, or asleep for one reason. For each container (or systemd
/// unit, cgroup, process, thread name, thread) osdiag adds up the time of its threads by reason: memory, file system,
/// disk, CPU, hypervisor, locks, network, other processes, or nothing to do. Page faults, io_uring workers and kernel
/// threads are in it, and the parts add up to the whole.
///
/// Time that the machine took from the threads is called lost: only that can be the verdict. Waiting for other programs
/// (a socket, a futex, a child) is shown, but may be how the program is built.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES, after_help = "'--help' says more, with examples.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// Group threads by this
    #[arg(long, value_name = "KEY", value_enum, default_value_t = By::Container)]
    #[arg(help_heading = "What is told apart")]
    pub(crate) by: By,

    /// Keep this many groups in a record; the others are one group of type 'rest'
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200))]
    #[arg(allow_hyphen_values = true, help_heading = "Output")]
    pub(crate) top: u32,

    /// Put groups in this order, largest first: 'lost' time, 'threads', or the time of a layer or a cause
    ///
    /// A layer or a cause is named as records name it, such as 'block' or 'block.device'.
    #[arg(long, value_name = "KEY", default_value = "lost", value_parser = sort, help_heading = "Output")]
    pub(crate) sort: Sort,

    /// Write the stacks at which threads slept to this file, for flame graphs
    ///
    /// One line for each group, place and stack, outermost function first, with the time that it stands for in ns:
    /// what flamegraph.pl and speedscope read. The stacks are samples; the times of those sampled stand for all.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) folded: Option<PathBuf>,

    /// Give a verdict from this much lost time on, for each second of the session
    ///
    /// It is the time of all threads of a group together, so it can be more than a second. It also has to be 5 % of the
    /// time in which the group's threads wanted to go on.
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = time_or_zero)]
    #[arg(allow_hyphen_values = true, help_heading = "What counts as slow")]
    pub(crate) slow: Duration,
}

/// What threads are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// A container; outside of containers a systemd unit, else a cgroup. Kernel threads are one group
    Container,
    /// A cgroup
    Cgroup,
    /// Threads of one name
    Comm,
    /// A process
    Process,
    /// A thread
    Thread,
}

impl By {
    /// The word of the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            By::Container => "container",
            By::Cgroup => "cgroup",
            By::Comm => "comm",
            By::Process => "process",
            By::Thread => "thread",
        }
    }
}

/// By what groups are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Lost time.
    Lost,
    /// Threads.
    Threads,
    /// Time of a layer.
    Layer(Layer),
    /// Time of a cause.
    Cause(Cause),
}

/// Reads `--sort`.
fn sort(text: &str) -> Result<Sort, String> {
    let layer = || Layer::ALL.into_iter().find(|layer| layer.name() == text).map(Sort::Layer);
    let cause = || Cause::ALL.iter().find(|cause| cause.path() == text).copied().map(Sort::Cause);
    match text {
        "lost" => Ok(Sort::Lost),
        "threads" => Ok(Sort::Threads),
        _ => layer().or_else(cause).ok_or_else(|| {
            let layers = Layer::ALL.map(Layer::name).join(", ");
            format!("expected lost, threads, a layer ({layers}) or a cause such as block.device")
        }),
    }
}

const EXAMPLES: &str = "\
Examples:
  osdiag delays -d 10s                      ten seconds of every container
  osdiag delays -i 1s                       a block each second until Ctrl-C
  osdiag delays --container web --by comm -d 30s
                                            one container, by the names of its threads
  osdiag delays --sort block -d 10s         who waits for disks
  osdiag delays --sort cpu.throttled        who is held by a CPU quota
  osdiag delays -p 1234 --by thread         a process, thread by thread
  osdiag delays --folded off.txt -d 30s     stacks for flamegraph.pl or speedscope
  osdiag delays -- make -j8                 one command, from beginning to end
  osdiag delays --json -d 60s | jq -r .verdict.statement
                                            for a program; see 'osdiag schema'

How to read it:
  A line is a group. Its bar is the time of its threads without that in which
  they had nothing to do: CAPITALS are lost time, by layer, 'c' is running,
  other small letters are waiting for other programs. 'lost/s' is lost time
  of all its threads in each second: with many threads it can be more than a
  second. Below stand, for the groups that lost most, the causes with how long
  single waits were, the places where threads slept (a system call, 'fault',
  'return' to user mode, 'exit', 'worker'), who had the CPUs, and the longest
  waits. The verdict says who lost most, to what, and what to run next.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Result<Args, clap::Error> {
        Line::try_parse_from([&["delays"], line].concat()).map(|line| line.args)
    }

    #[test]
    fn defaults_are_those_that_the_help_names() {
        let args = parse(&[]).unwrap();
        assert_eq!((args.by, args.top, args.slow), (By::Container, 100, Duration::from_millis(10)));
        assert_eq!((args.sort, args.folded), (Sort::Lost, None));
    }

    #[test]
    fn values_are_taken() {
        for by in By::value_variants() {
            assert_eq!(parse(&["--by", by.word()]).unwrap().by, *by);
        }
        let sort = |text| parse(&["--sort", text]).map(|args| args.sort);
        assert_eq!(sort("threads").unwrap(), Sort::Threads);
        for layer in Layer::ALL {
            assert_eq!(sort(layer.name()).unwrap(), Sort::Layer(layer));
        }
        for &cause in Cause::ALL {
            assert_eq!(sort(cause.path()).unwrap(), Sort::Cause(cause));
        }
        assert!(sort("device").unwrap_err().to_string().contains("block.device"));
        assert!(parse(&["--top", "201"]).is_err());
    }
}
