//! The command line of `osdiag runq`.

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use crate::cli::{SessionArgs, time_or_zero};

/// Who waits for a CPU, how long, and who had it meanwhile
///
/// Measures run-queue delay: the time of a task from being runnable (woken, preempted, or having yielded) to running.
/// For each group of tasks it shows how long the waits were, and which tasks, interrupts or the hypervisor had the CPU
/// in that time. Time under a CPU quota (cpu.max) is told apart: there a task is not waiting for a CPU, but for its
/// next period.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES, after_help = "'--help' says more, with examples.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// Group waits by this
    #[arg(long, value_name = "KEY", value_enum, default_value_t = By::Comm, help_heading = "What is told apart")]
    pub(crate) by: By,

    /// Keep this many groups in a record; the others are one group of type 'rest'
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200))]
    #[arg(allow_hyphen_values = true, help_heading = "Output")]
    pub(crate) top: u32,

    /// Put groups in this order, largest first
    #[arg(long, value_name = "KEY", value_enum, default_value_t = Sort::Time, help_heading = "Output")]
    pub(crate) sort: Sort,

    /// Call a wait slow from this time on
    ///
    /// Where no wait is that long, there is nothing to explain, and no verdict.
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = time_or_zero)]
    #[arg(allow_hyphen_values = true, help_heading = "What counts as slow")]
    pub(crate) slow: Duration,
}

/// What waits are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// Threads of one name
    Comm,
    /// A process
    Process,
    /// A thread
    Thread,
    /// A cgroup
    Cgroup,
    /// The CPU that a wait ended on
    Cpu,
}

impl By {
    /// The word of the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            By::Comm => "comm",
            By::Process => "process",
            By::Thread => "thread",
            By::Cgroup => "cgroup",
            By::Cpu => "cpu",
        }
    }
}

/// By what groups are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Time of all waits together, and under a quota
    Time,
    /// The longest wait
    Longest,
    /// Waits
    Count,
    /// Time on a CPU
    Run,
}

const EXAMPLES: &str = "\
Examples:
  osdiag runq -d 10s                      ten seconds of the whole system
  osdiag runq -i 1s                       a block each second until Ctrl-C
  osdiag runq --container web -d 30s      one container, and who took its CPUs
  osdiag runq --by cgroup -d 30s          which cgroup waits, and for which
  osdiag runq --by cpu -d 10s             which CPU is too busy
  osdiag runq -p 1234 --by thread         a process, thread by thread
  osdiag runq -- make -j8                 one command, from beginning to end
  osdiag runq --json -d 60s | jq -r .verdict.statement
                                          for a program; see 'osdiag schema'

How to read it:
  A row of the picture is a range of waits: how many fell into it, and how
  much of all waiting they were. Below it stands who had the CPU in that time,
  by share. 'idle' is a CPU that nobody used: a wake-up it had not taken up
  yet. The table of CPUs shows whether some are full while others are idle.
  The verdict says who lost most by waiting, and to whom.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Args {
        Line::try_parse_from([&["runq"], line].concat()).unwrap().args
    }

    #[test]
    fn defaults_are_those_that_the_help_names() {
        let args = parse(&[]);
        assert_eq!((args.by, args.top, args.slow), (By::Comm, 100, Duration::from_millis(1)));
        assert_eq!(args.sort, Sort::Time);
    }

    #[test]
    fn values_are_taken() {
        for by in By::value_variants() {
            assert_eq!(parse(&["--by", by.word()]).by, *by);
        }
        let args = parse(&["--top", "3", "--sort", "run", "--slow", "0"]);
        assert_eq!((args.top, args.sort, args.slow), (3, Sort::Run, Duration::ZERO));
    }
}
