//! The command line of `osdiag lock`.

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use crate::cli::{SessionArgs, time_or_zero};

/// Locks that a record holds one by one unless asked otherwise.
const TOP_IN_RECORD: u32 = 20;
/// Locks that the screen shows unless asked otherwise.
const TOP_ON_SCREEN: u32 = 5;
/// The most locks that can be asked for.
const MAX_TOP: u32 = 200;

/// Which kernel locks are waited for, by whom, held by whom
///
/// Traces the kernel's own lock contention: mutexes, semaphores, rwsems, percpu-rwsems and those spinlocks that queue.
/// For each lock it shows how long the waits were, where in the kernel tasks waited, which tasks, and, for mutexes and
/// rwsems, who held the lock meanwhile and what that task was doing: running, waiting for a CPU, blocked in
/// I/O, reclaiming memory, and in which function. Locks of programs (pthread mutexes) are not seen, nor is taking a lock
/// that is free.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES, after_help = "'--help' says more, with examples.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// Call a lock slow when one wait in a hundred takes this time
    ///
    /// A lock for which tasks wait more than 5 % of the time in total counts as slow, too. Where there is neither, there is
    /// nothing to explain, and the verdict says so.
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = time_or_zero)]
    #[arg(allow_hyphen_values = true, help_heading = "What counts as slow")]
    pub(crate) slow: Duration,

    /// Take the stack of every wait for a spinning lock
    ///
    /// Without it such waits are counted, and few of them get their stack, to name the lock: taking one lasts 2 µs in
    /// which the lock is held.
    #[arg(long, help_heading = "Output")]
    pub(crate) spin: bool,

    /// Keep this many locks one by one, 1 to 200 [default: 20 in records, 5 on screen]
    ///
    /// The others are added up by type and name.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TOP)))]
    #[arg(allow_hyphen_values = true, help_heading = "Output")]
    top: Option<u32>,

    /// Put locks in this order, largest first
    #[arg(long, value_name = "KEY", value_enum, default_value_t = Sort::Wait, help_heading = "Output")]
    pub(crate) sort: Sort,
}

/// By what locks are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Time of all waits together
    Wait,
    /// Waits
    Count,
    /// The longest wait
    Max,
}

impl Args {
    /// How many locks a record holds one by one.
    pub(crate) fn top_in_record(&self) -> u32 {
        self.top.unwrap_or(TOP_IN_RECORD)
    }

    /// How many the screen shows.
    pub(crate) fn top_on_screen(&self) -> u32 {
        self.top.unwrap_or(TOP_ON_SCREEN)
    }
}

const EXAMPLES: &str = "\
Examples:
  osdiag lock -d 10s                      ten seconds of the whole system
  osdiag lock -i 1s                       a block each second until Ctrl-C
  osdiag lock --container web -d 30s      what one container waits for
  osdiag lock -p $(pgrep -d, postgres)    some processes and what they fork
  osdiag lock -- make -j8                 one command, from beginning to end
  osdiag lock --spin -d 5s                with the stacks of all spinning waits
  osdiag lock --json -d 60s | jq -r '.locks[0] | .name, .wait.p99_ns'
                                          for a program; see 'osdiag schema'

How to read it:
  Each block is one lock: how long its waits were, a row for each range of
  lengths; where tasks waited, which did; and who held it meanwhile.
  The letters of a holder's bar say what it was doing then: R running, q waiting
  for a CPU, D blocked in I/O, M reclaiming memory, h still in the lock's queue,
  as it was handed the lock, s asleep otherwise. The target is of the waiters: a
  holder can be anybody.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn defaults_are_those_that_the_help_names() {
        let args = Line::try_parse_from(["lock"]).unwrap().args;
        assert_eq!((args.slow, args.spin), (Duration::from_millis(1), false));
        assert_eq!((args.top_in_record(), args.top_on_screen()), (20, 5));
        let args = Line::try_parse_from(["lock", "--top", "7", "--spin", "--slow", "0"]).unwrap().args;
        assert_eq!((args.top_in_record(), args.top_on_screen(), args.spin), (7, 7, true));
        assert_eq!(args.sort, Sort::Wait);
        for wrong in [["--top", "0"], ["--top", "201"], ["--sort", "name"]] {
            assert!(Line::try_parse_from(["lock"].iter().chain(&wrong)).is_err(), "{wrong:?}");
        }
    }
}
