//! The command line of `osdiag hung`.

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use crate::cli::{SessionArgs, time_or_zero};

/// The shortest time after which a task can be called stuck.
const SHORTEST: Duration = Duration::from_millis(100);

/// Which tasks are stuck, on what, and behind whom, while they are stuck
///
/// Finds tasks in uninterruptible sleep (state D) for longer than --threshold: those that are stuck already, and those
/// that become so, each within 200 ms (later where crowds are stuck, as no more than 5 % of a CPU is spent). For each it
/// tells what it waits for, where in the kernel, on which file or device, and behind whom: the owner of the lock, the
/// journal's thread, a FUSE or NFS server; what that one waits for itself, and so on up to the one at the end. It does
/// not wait for the kernel's own hung-task watchdog, and hangs nothing on context switches.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES, after_help = "'--help' says more, with examples.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// Call a task stuck when it has slept uninterruptibly for this long, from 100ms on
    ///
    /// In one sleep: a task that is woken in between, and be it for nothing, begins anew.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = threshold)]
    #[arg(allow_hyphen_values = true, help_heading = "What counts as stuck")]
    pub(crate) threshold: Duration,

    /// Keep this many stuck tasks in a record, and as many groups of them; the others are counted in '…_omitted'
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200))]
    #[arg(allow_hyphen_values = true, help_heading = "Output")]
    pub(crate) top: u32,

    /// Put groups of stuck tasks in this order, largest first; tasks are always listed longest first
    #[arg(long, value_name = "KEY", value_enum, default_value_t = Sort::Tasks, help_heading = "Output")]
    pub(crate) sort: Sort,
}

/// By what groups are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Tasks that are stuck in the same place
    Tasks,
    /// The longest time that one of them has been stuck
    Time,
}

fn threshold(text: &str) -> Result<Duration, String> {
    let long_enough = time_or_zero(text).ok().filter(|&time| time >= SHORTEST);
    long_enough.ok_or_else(|| "expected a time from 100ms on and its unit, such as 500ms or 10s".to_owned())
}

const EXAMPLES: &str = "\
Examples:
  osdiag hung                             until Ctrl-C; a line as soon as a task
                                          has been stuck for ten seconds
  osdiag hung -d 1s --threshold 1s        what is stuck right now
  osdiag hung --container web --threshold 2s
                                          one container, less patience
  osdiag hung --threshold 500ms -- tar xf a.tar
                                          one command, from beginning to end
  osdiag hung --json | jq 'select(.type == \"event\") | .tasks[]'
                                          for a program; see 'osdiag schema'

How to read it:
  The first line of a block is who is stuck, for how long, and on what. Each
  line below it is what the one above waits for: 'held by' is the owner of the
  lock, and its own line says what that one waits for. The last line is where
  to look. Tasks that are stuck in the same place are one block.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_a_tenth_of_a_second_at_least() {
        assert_eq!(threshold("100ms"), Ok(SHORTEST));
        assert_eq!(threshold("10s"), Ok(Duration::from_secs(10)));
        for wrong in ["99ms", "0", "-1s", "10", "soon"] {
            assert!(threshold(wrong).unwrap_err().contains("100ms"), "{wrong}");
        }
    }
}
