//! The command line of `osdiag vmexit`.

use clap::{Args as ClapArgs, ValueEnum};

use crate::cli::SessionArgs;

/// What makes this guest exit to its hypervisor, who causes it, what it costs, and what would stop it
///
/// Counts, inside the guest, what may take its virtual CPUs out of guest mode: writes and reads of model-specific
/// registers, IPIs with what they are for, timer interrupts with who armed the timers, halts of idle CPUs. For each it
/// says who did it, whether it exits on this guest and why, and estimates the time from what an exit was measured to cost
/// when the session began. What a guest cannot see is listed, not guessed.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES, after_help = "'--help' says more, with examples.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// Keep this many activities, 1 to 200; the others are summed up [default: 64 in records, 8 on screen]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    #[arg(allow_hyphen_values = true, help_heading = "Output")]
    top: Option<u32>,

    /// Put activities in this order, largest first
    #[arg(long, value_name = "KEY", value_enum, default_value_t = Sort::Time, help_heading = "Output")]
    pub(crate) sort: Sort,
}

/// Activities that a record holds unless asked otherwise.
const TOP_IN_RECORD: u32 = 64;
/// Activities that the screen shows unless asked otherwise.
const TOP_ON_SCREEN: u32 = 8;

/// By what activities are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Estimated time that exits took from tasks and interrupts
    Time,
    /// Events
    Count,
}

impl Args {
    /// How many activities a record holds.
    pub(crate) fn top_in_record(&self) -> usize {
        self.top.unwrap_or(TOP_IN_RECORD) as usize
    }

    /// How many of them the screen shows.
    pub(crate) fn top_on_screen(&self) -> usize {
        self.top.unwrap_or(TOP_ON_SCREEN) as usize
    }
}

const EXAMPLES: &str = "\
Examples:
  osdiag vmexit -d 10s                    ten seconds of the whole guest
  osdiag vmexit -i 1s                     a block each second until Ctrl-C
  osdiag vmexit --container web -d 30s    what one container causes
  osdiag vmexit -- ./benchmark            what one command causes
  osdiag vmexit --json -d 60s | jq -r '.activities[] | [.activity, .name, .events_per_second] | @tsv'
                                          for a program; see 'osdiag schema'

How to read it:
  A row is a thing that the guest does: how often, what share of all CPUs' time
  its exits take (an estimate: its count times what one exit costs here), and
  whether it exits: yes, no, or depends on what no guest can see. Below it
  stands who does it. Each thing is in one row: an IPI that is sent by writing
  a register is an IPI, and no register write.

  With a target, sends, register accesses and timers count where a task of the
  target does them or armed them. Halts are of CPUs: with a target they are
  shown below 'Idle CPUs', and count nowhere else.

  CPU time is what exits take from tasks and interrupts. Exits of idle CPUs
  take none; they make a wake-up later, and are shown as a share of their own.";
