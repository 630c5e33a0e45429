//! The command line of `osdiag iolat`.

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use diag_common::iolat::MAX_SLOWEST;

use crate::cli::{SessionArgs, percent, time_or_zero};

/// Slow operations that a record holds unless asked otherwise.
const SLOWEST_IN_RECORD: u32 = 10;
/// Slow operations that the screen shows unless asked otherwise.
const SLOWEST_ON_SCREEN: u32 = 5;

/// Why is file I/O slow: memory, file system, disk, CPU or hypervisor
///
/// Traces read, write and sync system calls on files and block devices of real file systems, from the call to its
/// return, and gives every nanosecond in between to one cause: reclaim, dirty throttling, a lock, the journal, the
/// device, its queue, the CPU, the hypervisor… For each system call, device and file system it shows how long the
/// calls took, where that time went, and where it went in the slowest 1 % alone, which is the jitter. Sockets, pipes
/// and pseudo file systems do not count.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES, after_help = "'--help' says more, with examples.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// Call a tail slow when its mean reaches this time
    ///
    /// Where no operation's tail does, there is nothing to explain, and no verdict.
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = time_or_zero)]
    #[arg(allow_hyphen_values = true, help_heading = "What counts as slow")]
    pub(crate) slow: Duration,

    /// The tail: this share of operations, the slowest, in percent
    ///
    /// At least one operation of each group is in it.
    #[arg(long, value_name = "PERCENT", default_value = "1", value_parser = percent)]
    #[arg(allow_hyphen_values = true, help_heading = "What counts as slow")]
    pub(crate) tail: f64,

    /// Keep this many of the slowest single operations, 0 to 100 [default: 10 in records, 5 on screen]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_SLOWEST)))]
    #[arg(allow_hyphen_values = true, help_heading = "Output")]
    slowest: Option<u32>,

    /// Keep this many operations in a record; the others are counted in 'operations_omitted'
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=200))]
    #[arg(allow_hyphen_values = true, help_heading = "Output")]
    pub(crate) top: u32,

    /// Put operations in this order, largest first
    #[arg(long, value_name = "KEY", value_enum, default_value_t = Sort::Time, help_heading = "Output")]
    pub(crate) sort: Sort,
}

/// By what operations are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Time of all calls together
    Time,
    /// Time of the calls in the tail
    Tail,
    /// Calls
    Count,
    /// Bytes moved
    Bytes,
}

impl Args {
    /// How many slow operations a record holds.
    pub(crate) fn slowest_in_record(&self) -> u32 {
        self.slowest.unwrap_or(SLOWEST_IN_RECORD)
    }

    /// How many of them the screen shows.
    pub(crate) fn slowest_on_screen(&self) -> u32 {
        self.slowest.unwrap_or(SLOWEST_ON_SCREEN)
    }

    /// The share of operations that is faster than the tail, 0 to 1.
    pub(crate) fn quantile(&self) -> f64 {
        ((100.0 - self.tail) * 1e4).round() / 1e6
    }
}

const EXAMPLES: &str = "\
Examples:
  osdiag iolat -d 10s                     ten seconds of the whole system
  osdiag iolat -i 1s                      a block each second until Ctrl-C
  osdiag iolat --container web -d 30s     one container, whatever runs it
  osdiag iolat -p $(pgrep -d, postgres)   some processes and what they fork
  osdiag iolat -- dd if=/dev/zero of=x bs=1M count=1000 conv=fsync
                                          one command, from beginning to end
  osdiag iolat --slow 20ms --tail 0.1     for a database that may take 20 ms
  osdiag iolat --json -d 60s | jq -r .verdict.statement
                                          for a program; see 'osdiag schema'

How to read it:
  A row of the picture is a range of latencies: how many operations fell into
  it, and how much of all time they took, by layer. Rows marked '>' hold the
  tail. Begin with what follows the picture: the tail's causes, the verdict.
  'journal ← block.device' is a wait for the journal, which was itself waiting
  for the device.";

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
        Line::try_parse_from([&["iolat"], line].concat()).unwrap().args
    }

    #[test]
    fn defaults_are_those_that_the_help_names() {
        let args = parse(&[]);
        assert_eq!(args.slow, Duration::from_millis(1));
        assert_eq!(args.quantile(), 0.99);
        assert_eq!((args.slowest_in_record(), args.slowest_on_screen()), (10, 5));
        assert_eq!((args.top, args.sort), (64, Sort::Time));
    }

    #[test]
    fn values_are_taken() {
        let args = parse(&["--slow", "0", "--tail", "0.1%", "--slowest", "100"]);
        assert_eq!((args.slow, args.quantile()), (Duration::ZERO, 0.999));
        assert_eq!((args.slowest_in_record(), args.slowest_on_screen()), (100, 100));
    }
}
