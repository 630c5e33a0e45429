//! The flags that every tracing command takes.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args,
    builder::{OsStringValueParser, TypedValueParser as _},
};

use super::values;

/// How long to trace, what, and how to say it.
#[derive(Debug, Args)]
pub(crate) struct SessionArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// Stop by itself after this time, such as 10s or 1m30s [default: at Ctrl-C]
    ///
    /// The first SIGINT (Ctrl-C), SIGTERM or SIGHUP ends the session, with the same summary; a second SIGINT or SIGTERM
    /// ends the process at once, with status 128 + its number. A signal that is ignored when osdiag starts (nohup)
    /// stays ignored. After a signal, output that its reader has not begun to take within 2s is given up, with status 1.
    #[arg(short, long, value_name = "TIME", value_parser = values::time, allow_hyphen_values = true)]
    #[arg(help_heading = "How long")]
    pub(crate) duration: Option<Duration>,

    /// Report each interval, then give the summary
    ///
    /// Intervals follow each other without a gap or an overlap. What is counted when it ends, such as an operation or a
    /// wait, counts in one of them alone. While the reader of standard output does not keep up, the interval gets longer;
    /// nothing is left out.
    #[arg(short, long, value_name = "TIME", value_parser = values::time, allow_hyphen_values = true)]
    #[arg(help_heading = "How long")]
    pub(crate) interval: Option<Duration>,

    /// Leave the command running when the session ends before it
    ///
    /// The status is 0 then. Otherwise, when -d or a signal ends the session before the command, the command is sent SIGTERM
    /// and, if it has not ended within 2s, SIGKILL; standard error says which. The status is that of the command: 128 and
    /// the number of the signal where one ended it. Should output fail, the command is waited for. A second SIGINT or
    /// SIGTERM kills it at once.
    #[arg(long, requires = "command", help_heading = "How long")]
    pub(crate) detach: bool,

    /// Write records to standard output, one JSON object a line
    ///
    /// Everything for people then goes to standard error. 'osdiag schema' describes the records.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,

    /// Leave the HdrHistogram payloads out of records, which makes them much smaller
    ///
    /// 'hdr' is then null. Percentiles and 'buckets' stay.
    #[arg(long, requires = "json", help_heading = "Output")]
    pub(crate) no_hdr: bool,

    /// Say what was attached and why; -vv adds the kernel side's own log
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,

    /// Read the kernel's types from this BTF file instead of /sys/kernel/btf/vmlinux
    ///
    /// For kernels that were built without BTF; the file must be of exactly the running kernel.
    #[arg(long, value_name = "FILE", help_heading = "Kernel")]
    pub(crate) btf: Option<PathBuf>,
}

/// Which tasks to look at: at most one of these.
#[derive(Debug, Args)]
#[group(multiple = false)]
#[command(next_help_heading = "What to trace (default: the whole system; one of these)")]
struct TargetArgs {
    /// Only tasks in this cgroup and below it, by path or id
    ///
    /// The path is either the one under the mount point (/sys/fs/cgroup/…) or the one that /proc/PID/cgroup shows; one that
    /// does not begin with / counts from the working directory, in a cgroup mount. The id is the inode number of the
    /// cgroup's directory. Hosts with cgroup v2, v1 or both. Names that are not text are given as records show them, with \xHH.
    #[arg(long, value_name = "PATH|ID")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|text| values::named(&text)))]
    cgroup: Option<String>,

    /// Only tasks in this container, by name, id or the beginning of the id
    ///
    /// Resolved through the cgroup names that Docker, containerd, CRI-O, Podman and Kubernetes give; no daemon need
    /// answer.
    #[arg(long, value_name = "NAME|ID")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|text| values::named(&text)))]
    container: Option<String>,

    /// Only tasks of this systemd unit, such as nginx.service
    #[arg(long, value_name = "NAME")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|text| values::named(&text)))]
    unit: Option<String>,

    /// Only this process and its descendants; may be given several times
    #[arg(short, long, value_name = "PID", value_delimiter = ',', value_parser = values::pid)]
    #[arg(allow_hyphen_values = true)]
    pid: Vec<u32>,

    /// Only threads of this name, as 'ps -L -o comm' or a record shows it
    #[arg(long, value_name = "NAME")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|text| values::comm(&text)))]
    comm: Option<values::Comm>,

    /// Run this command, trace it and its children alone, and end when it ends, with its exit status
    ///
    /// What becomes of one that outlives the session stands at --detach.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Which tasks a session was asked to look at, in the words of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection<'a> {
    /// Every task.
    System,
    /// A cgroup's path or id.
    Cgroup(&'a str),
    /// A container's name, id, or the beginning of its id.
    Container(&'a str),
    /// A systemd unit's name.
    Unit(&'a str),
    /// Processes; at least one.
    Pids(&'a [u32]),
    /// A thread's name of 1 to 15 bytes.
    Comm(&'a [u8]),
    /// A command to run and its arguments; at least the command.
    Command(&'a [OsString]),
}

impl SessionArgs {
    /// Which tasks to look at.
    pub(crate) fn selection(&self) -> Selection<'_> {
        match &self.target {
            TargetArgs { cgroup: Some(cgroup), .. } => Selection::Cgroup(cgroup),
            TargetArgs { container: Some(container), .. } => Selection::Container(container),
            TargetArgs { unit: Some(unit), .. } => Selection::Unit(unit),
            TargetArgs { comm: Some(comm), .. } => Selection::Comm(&comm.0),
            TargetArgs { pid, .. } if !pid.is_empty() => Selection::Pids(pid),
            TargetArgs { command, .. } if !command.is_empty() => Selection::Command(command),
            TargetArgs { .. } => Selection::System,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        session: SessionArgs,
    }

    fn parse(line: &[&str]) -> Result<SessionArgs, clap::Error> {
        Line::try_parse_from([&["tool"], line].concat()).map(|line| line.session)
    }

    #[test]
    fn the_target_is_what_was_asked_for() {
        let command = [OsString::from("dd"), OsString::from("--json")];
        let cases: [(&[&str], Selection<'_>); 8] = [
            (&[], Selection::System),
            (&["--cgroup", "/a"], Selection::Cgroup("/a")),
            (&["--container", "web"], Selection::Container("web")),
            (&["--unit", "a.service"], Selection::Unit("a.service")),
            (&["--comm", "fio"], Selection::Comm(b"fio")),
            (&["-p", "1", "--pid", "2"], Selection::Pids(&[1, 2])),
            (&["-p", "1,2"], Selection::Pids(&[1, 2])),
            (&["-d", "1s", "--", "dd", "--json"], Selection::Command(&command)),
        ];
        for (line, expected) in cases {
            let args = parse(line).unwrap();
            assert_eq!(args.selection(), expected);
            assert!(!args.json);
        }
    }

    #[test]
    fn targets_exclude_each_other() {
        let targets: [&[&str]; 6] = [
            &["--cgroup", "/a"],
            &["--container", "web"],
            &["--unit", "a.service"],
            &["--comm", "fio"],
            &["-p", "1"],
            &["--", "true"],
        ];
        for (at, a) in targets.iter().enumerate() {
            for b in &targets[at + 1..] {
                let error = parse(&[*a, *b].concat()).unwrap_err();
                assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict, "{a:?} {b:?}");
            }
        }
    }
}
