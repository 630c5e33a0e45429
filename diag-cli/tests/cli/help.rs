//! Help teaches: it goes to standard output, with status 0, and has examples, units and defaults.

use std::process::{Command, Stdio};

use crate::osdiag;

#[test]
fn long_help_has_examples_and_short_help_fits_a_screen() {
    let long = osdiag(&["iolat", "--help"]);
    assert_eq!((long.status, long.err.as_str()), (Some(0), ""));
    for part in ["Examples:", "How to read it:", "[default: 1ms]", "--container", "-- <COMMAND>"] {
        assert!(long.out.contains(part), "{part}: {}", long.out);
    }
    let short = osdiag(&["iolat", "-h"]);
    assert_eq!((short.status, short.err.as_str()), (Some(0), ""));
    assert!(short.out.lines().count() <= 45, "{}", short.out);
    assert!(short.out.contains("--help"), "{}", short.out);
}

#[test]
fn every_flag_of_the_contract_is_there() {
    for tool in ["delays", "iolat", "runq"] {
        every_flag_is_there(tool);
    }
    let help = osdiag(&["runq", "--help"]).out;
    for part in ["--by", "--top", "[default: comm]", "Examples:", "How to read it:"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    let help = osdiag(&["delays", "--help"]).out;
    for part in ["--by", "--sort", "--folded", "[default: container]", "Examples:", "How to read it:"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    for tool in ["delays", "runq"] {
        let short = osdiag(&[tool, "-h"]).out;
        assert!(short.lines().count() <= 45, "{short}");
    }
}

fn every_flag_is_there(tool: &str) {
    let help = osdiag(&[tool, "--help"]).out;
    for flag in [
        "-d, --duration",
        "-i, --interval",
        "--json",
        "--cgroup",
        "--container",
        "--unit",
        "-p, --pid",
        "--comm",
        "[COMMAND]",
        "--detach",
        "-v, --verbose",
        "--slow",
    ] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
}

#[test]
fn the_first_help_names_the_commands_and_the_statuses() {
    let help = osdiag(&["--help"]);
    assert_eq!(help.status, Some(0));
    for part in ["iolat", "schema", "Examples:", "Exit status:"] {
        assert!(help.out.contains(part), "{part}: {}", help.out);
    }
    let version = osdiag(&["--version"]);
    assert_eq!((version.status, version.out), (Some(0), format!("osdiag {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_reader_who_has_seen_enough_is_no_failure() {
    for line in [&["iolat", "--help"][..], &["schema", "iolat"], &["schema"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_osdiag"))
            .args(line)
            .stdout(Stdio::from(writer))
            .stderr(Stdio::piped())
            .output()
            .expect("osdiag starts");
        assert_eq!(output.status.code(), Some(0), "{line:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line:?}");
    }
}

#[test]
fn every_tool_says_what_signals_do_and_what_becomes_of_a_command() {
    for tool in ["diagnose", "delays", "iolat", "runq", "lock", "hung", "vmexit"] {
        let help = osdiag(&[tool, "--help"]).out;
        for part in ["second SIGINT or SIGTERM", "nohup", "SIGKILL", "within 2s", "is waited for"] {
            let words: Vec<&str> = help.split_whitespace().collect();
            assert!(words.join(" ").contains(part), "{part}: {help}");
        }
    }
}

#[test]
fn what_cannot_be_written_is_said() {
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    for line in [&["--help"][..], &["iolat", "--help"], &["schema"], &["schema", "iolat"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osdiag"));
        let answer =
            command.args(line).stdout(full()).stderr(Stdio::piped()).output().expect("osdiag starts");
        assert_eq!(answer.status.code(), Some(1), "{line:?}");
        let said = String::from_utf8(answer.stderr).expect("osdiag writes UTF-8");
        assert_eq!(said, "osdiag: cannot write to standard output: No space left on device\n", "{line:?}");
    }
}
