//! The command line of `osdiag diagnose`.

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum, builder::ArgPredicate};

use super::triage::Triage;
use crate::cli::SessionArgs;

/// Why is this machine, or this container, slow right now: one verdict from all signals together
///
/// Looks at the whole machine for ten seconds, or at one container, and says who suffers, from what, because of whom, what
/// it is not, and what to run next. In the first second it reads what the kernel keeps in files (pressure, quotas, steal,
/// disks, stuck threads); then it accounts for the time of every thread, as 'osdiag delays' does, and sets what each group
/// lost against what it took from itself.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES, after_help = "'--help' says more, with examples.")]
#[command(mut_arg("duration", |arg| arg
    .default_value("10s")
    .default_value_if("command", ArgPredicate::IsPresent, None)
    .help("Stop by itself after this time, such as 10s or 1m30s; a command is traced to its end")))]
#[command(mut_arg("interval", |arg| arg.hide(true).value_parser(no_interval)))]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// End with status 4 on this
    #[arg(long, value_name = "WHAT", value_enum, help_heading = "Output")]
    pub(crate) fail_on: Option<FailOn>,

    /// What is read beside it.
    #[arg(skip)]
    pub(super) triage: Triage,
}

/// What `--fail-on` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Something was found.
    Finding,
}

fn no_interval(_: &str) -> Result<Duration, String> {
    Err("one answer is given for the whole time: use -d, or 'osdiag delays -i' for a report each interval"
        .to_owned())
}

const EXAMPLES: &str = "\
Examples:
  osdiag diagnose                           ten seconds of the whole machine
  osdiag diagnose --container web           one container, whoever is to blame
  osdiag diagnose -d 60s -v                 a minute, and where each group's time went
  osdiag diagnose -- make -j8               one command, from beginning to end
  osdiag diagnose --fail-on finding --json | tail -n 1 | jq -r .verdict.statement
                                            for a program: status 4 if there is a finding

How to read it:
  The verdict names who lost time (the victim), to what, and who had it
  meanwhile (the culprit). Below stand the numbers that it rests on, each with
  where it comes from; what was ruled out, with numbers; what could not be seen,
  with the command that sees it; and what to run next. A group that only waits
  for its own threads or its own requests is at work, and is no finding.";

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
        Line::try_parse_from([&["diagnose"], line].concat()).map(|line| line.args)
    }

    #[test]
    fn it_lasts_ten_seconds_unless_said_otherwise() {
        assert_eq!(parse(&[]).unwrap().session.duration, Some(Duration::from_secs(10)));
        assert_eq!(parse(&["-d", "3s"]).unwrap().session.duration, Some(Duration::from_secs(3)));
        assert_eq!(parse(&["--", "make"]).unwrap().session.duration, None, "a command is not cut short");
        assert_eq!(parse(&["--fail-on", "finding"]).unwrap().fail_on, Some(FailOn::Finding));
    }

    #[test]
    fn there_are_no_intervals() {
        let error = parse(&["-i", "1s"]).unwrap_err().to_string();
        assert!(error.contains("one answer"), "{error}");
    }
}
