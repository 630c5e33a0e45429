//! The command line: which tools there are, how one is chosen, and what a wrong line is answered.

#[cfg(test)]
mod conventions;
mod session;
mod values;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use serde_json::Value;

pub(crate) use self::{
    session::{Selection, SessionArgs},
    values::{percent, time_or_zero},
};
use crate::{
    exit::Failure,
    output::{
        record::{Body, Record},
        streams,
        writer::Unwritten,
    },
    tools,
};

/// Why is this guest slow: osdiag watches the kernel for a while and says where the time went.
///
/// Begin with 'osdiag diagnose': one verdict from all signals together. Each other command traces one kind of trouble
/// through eBPF, on the running kernel, without changing anything on the system, and ends with a verdict in one sentence.
/// Tracing needs root.
#[derive(Debug, Parser)]
#[command(name = "osdiag", version, after_long_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  osdiag diagnose                            who suffers, from what, because of whom
  osdiag diagnose --container web            the same of one container
  osdiag iolat -d 10s                        ten seconds of this machine's file I/O
  osdiag iolat --json -d 60s | jq .verdict   the verdict alone, for a program
  osdiag schema iolat                        what a record of --json holds

Exit status:
  0  done
  1  failed while running
  2  wrong usage: a line on standard error says what was expected
  3  this kernel or these privileges cannot run it: the line says what is missing";

/// A tool, as `osdiag schema` knows it.
struct Tool {
    name: &'static str,
    schema_name: &'static str,
    schema: fn() -> Value,
}

/// Each tool is a module of [`tools`] with `Args`, `Body` and `run`.
macro_rules! tools {
    ($($variant:ident = $module:ident;)*) => {
        /// What osdiag was asked to do.
        #[derive(Debug, Subcommand)]
        enum Command {
            $($variant(Box<tools::$module::Args>),)*
            Schema(SchemaArgs),
        }

        impl Command {
            fn run(&self) -> anyhow::Result<ExitCode> {
                match self {
                    $(Command::$variant(args) => tools::$module::run(args),)*
                    Command::Schema(args) => args.run(),
                }
            }
        }

        const TOOLS: &[Tool] = &[$(Tool {
            name: stringify!($module),
            schema_name: <tools::$module::Body as Body>::SCHEMA,
            schema: Record::<tools::$module::Body>::json_schema,
        },)*];
    };
}

tools! {
    Diagnose = diagnose;
    Delays = delays;
    Iolat = iolat;
    Runq = runq;
    Lock = lock;
    Hung = hung;
    Vmexit = vmexit;
}

/// Print the JSON Schema of a tool's records
///
/// The schema (draft 2020-12) describes each line that the tool writes with --json. Without a tool, all of them
/// are listed with the name and version that their records carry in "schema".
#[derive(Debug, clap::Args)]
struct SchemaArgs {
    /// The tool, such as iolat
    tool: Option<String>,
}

impl SchemaArgs {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let text = match &self.tool {
            None => TOOLS.iter().map(|tool| format!("{:8} {}\n", tool.name, tool.schema_name)).collect(),
            Some(name) => {
                let tool = TOOLS.iter().find(|tool| tool.name == name).ok_or_else(|| {
                    let names: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
                    Failure::Usage(format!("no tool '{name}' has a schema; there is: {}", names.join(", ")))
                })?;
                format!("{:#}\n", (tool.schema)())
            }
        };
        streams::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Does what the command line asks, and says with which status to end.
pub(crate) fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let status = answer(&line);
    streams::finish_notes();
    status
}

fn answer(line: &[OsString]) -> ExitCode {
    match Cli::try_parse_from(line) {
        Ok(cli) => cli.command.run().unwrap_or_else(|error| failed(&error)),
        // Help or the version.
        Err(answer) if !answer.use_stderr() => match answer.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&Unwritten::from(error).into()),
        },
        Err(wrong) => {
            streams::note(complaint(&wrong, line.get(1)));
            ExitCode::from(2)
        }
    }
}

/// Says what went wrong; a reader who has seen enough is no failure.
fn failed(error: &anyhow::Error) -> ExitCode {
    if streams::is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    streams::note(format_args!("osdiag: {error:#}"));
    Failure::status(error)
}

/// What clap says about a wrong line, in one line. `first` is the line's first argument.
fn complaint(wrong: &clap::Error, first: Option<&OsString>) -> String {
    let tool = first
        .and_then(|first| first.to_str())
        .filter(|first| Cli::command().find_subcommand(first).is_some());
    let what = match wrong.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let names: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
            format!(
                "a command is needed: begin with 'osdiag diagnose'; there are {} and schema",
                names.join(", ")
            )
        }
        ErrorKind::MissingRequiredArgument => {
            let said = wrong.render().to_string();
            let usage = said.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or_default();
            format!("{}, as in '{usage}'", condensed(&said))
        }
        _ => condensed(&wrong.render().to_string()),
    };
    let help = tool.map_or("osdiag --help".to_owned(), |tool| format!("osdiag {tool} --help"));
    format!("osdiag: {what}; see '{help}'")
}

/// The lines before the usage, joined.
fn condensed(rendered: &str) -> String {
    let mut said = String::new();
    for line in rendered.lines().map(str::trim) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        if let Some(tip) = line.strip_prefix("tip: ") {
            // Further tips say how to pass the word as a value, which no command here needs.
            return format!("{said} ({tip})");
        } else if !line.is_empty() {
            said.push_str(if said.is_empty() { "" } else { " " });
            said.push_str(line.strip_prefix("error: ").unwrap_or(line));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_tool_has_a_schema_under_its_own_name() {
        for tool in TOOLS {
            let schema = (tool.schema)();
            assert_eq!(schema["properties"]["schema"]["const"], tool.schema_name);
            assert!(tool.schema_name.starts_with(&format!("osdiag.{}/", tool.name)));
        }
    }

    fn complaint_about(line: &[&str]) -> String {
        let wrong = Cli::try_parse_from(line).unwrap_err();
        complaint(&wrong, line.get(1).map(OsString::from).as_ref())
    }

    #[test]
    fn a_complaint_is_one_line_that_names_the_place_and_the_expectation() {
        insta::assert_snapshot!(
            [
                complaint_about(&["osdiag"]),
                complaint_about(&["osdiag", "iolta"]),
                complaint_about(&["osdiag", "iolat", "-d", "ten"]),
                complaint_about(&["osdiag", "iolat", "-d", "-5s"]),
                complaint_about(&["osdiag", "iolat", "--duration", "0s"]),
                complaint_about(&["osdiag", "iolat", "-d"]),
                complaint_about(&["osdiag", "iolat", "-p", "0"]),
                complaint_about(&["osdiag", "iolat", "-p", "x"]),
                complaint_about(&["osdiag", "iolat", "--comm", "a-name-that-is-too-long"]),
                complaint_about(&["osdiag", "iolat", "--tail", "0"]),
                complaint_about(&["osdiag", "iolat", "--slowest", "101"]),
                complaint_about(&["osdiag", "iolat", "--unit", "a.service", "-p", "1"]),
                complaint_about(&["osdiag", "iolat", "--cgroup", "/a", "--", "true"]),
                complaint_about(&["osdiag", "iolat", "--jsno"]),
                complaint_about(&["osdiag", "iolat", "stray"]),
            ]
            .join("\n")
        );
    }
}
